"""Batches of a play, counted as Ansible counts them, and batches that change most of a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.playbook.host_counts import rounded_down

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aegis_provision.playbook.plays import HostCount, Schedule


SMALLEST_GUARDED = 10
"""The smallest inventory for which a change of more than half at once asks a second question."""


@dataclass(frozen=True, slots=True)
class LargeBatch:
    """A batch (indices from 0) that changes ``changes`` of an inventory's ``fleet`` hosts."""

    play: int
    batch: int
    changes: int
    fleet: int


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


def large_batches(
    schedule: Schedule, changing: Collection[str], fleet: int
) -> tuple[LargeBatch, ...]:
    """Return the batches that change more than half of an inventory of ten or more hosts.

    ``changing`` are the hosts whose plan is a change, ``fleet`` is how many hosts the inventory
    has. A host changes in the first of its plays.
    """
    if fleet < SMALLEST_GUARDED:
        return ()
    found: list[LargeBatch] = []
    seen: set[str] = set()
    for play, scheduled in enumerate(schedule.plays):
        for batch, hosts in enumerate(scheduled.batches):
            changes = sum(host in changing and host not in seen for host in hosts)
            seen.update(hosts)
            if 2 * changes > fleet:
                found.append(LargeBatch(play, batch, changes, fleet))
    return tuple(found)
