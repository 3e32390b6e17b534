"""Batches that change most of a fleet at once, so that a second question is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from aegis_provision.playbook.plays import Schedule

SMALLEST_GUARDED = 10
"""The smallest inventory for which a change of more than half at once asks a second question."""


@dataclass(frozen=True, slots=True)
class LargeBatch:
    """A batch (indices from 0) that changes ``changes`` of an inventory's ``fleet`` hosts."""

    play: int
    batch: int
    changes: int
    fleet: int


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
