"""Hosts in batches, counted as Ansible counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.playbook.host_counts import rounded_down

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.playbook.plays import HostCount


def batches(hosts: Sequence[str], serial: Sequence[HostCount]) -> tuple[tuple[str, ...], ...]:
    """Return ``hosts`` in batches whose sizes are those of ``serial`` in turn.

    As Ansible does it (``serial`` in its playbook guide, ``pct_to_int`` in its source): a share
    is one of the play's hosts, not of those that are left; it is rounded down, to 1 at least;
    the last size repeats; the last batch holds what remains. ``serial`` is not empty.
    """
    found: list[tuple[str, ...]] = []
    start = 0
    while start < len(hosts):
        share = serial[min(len(found), len(serial) - 1)]
        size = max(1, rounded_down(share, len(hosts)))
        found.append(tuple(hosts[start : start + size]))
        start += size
    return tuple(found)
