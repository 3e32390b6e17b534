"""Which hosts an apply takes up again after an earlier run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.rollout.results import SUCCESSES

if TYPE_CHECKING:
    from aegis_provision.history.past_run import PastRun


def hosts_to_retry(past: PastRun) -> tuple[str, ...]:
    """Return the hosts of ``past`` that did not end well or were not attempted, in its order.

    Those that a crashed run left without an end are among them.
    """
    return tuple(name for name, host in past.hosts.items() if host.status not in SUCCESSES)
