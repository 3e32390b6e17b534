"""The schedule of a rollback: an earlier run's schedule in reverse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.playbook.plays import (
    OnFailure,
    Restart,
    Schedule,
    ScheduledPlay,
)

if TYPE_CHECKING:
    from collections.abc import Collection


def rollback_schedule(schedule: Schedule, hosts: Collection[str]) -> Schedule:
    """Return the schedule that rolls ``hosts`` back: plays, batches and hosts in reverse order.

    Every host is in one play: the last of its plays that restarted Aegis, else the last. The gates
    are those of the run, less the probe before the write; a rollback that fails is not rolled back
    itself.
    """
    play_of = _places(schedule, hosts)
    plays = []
    for index in reversed(range(len(schedule.plays))):
        scheduled = schedule.plays[index]
        batches = tuple(
            tuple(host for host in reversed(batch) if play_of.get(host) == index)
            for batch in reversed(scheduled.batches)
        )
        gates = replace(scheduled.play.gates, on_failure=OnFailure.KEEP, probe_first=False)
        plays.append(
            ScheduledPlay(
                replace(scheduled.play, gates=gates), tuple(batch for batch in batches if batch)
            )
        )
    return Schedule(tuple(play for play in plays if play.batches))


def _places(schedule: Schedule, hosts: Collection[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, scheduled in enumerate(schedule.plays):
        restarts = scheduled.play.gates.restart is not Restart.NEVER
        for host in scheduled.hosts:
            known = found.get(host)
            before = (
                known is not None and schedule.plays[known].play.gates.restart is not Restart.NEVER
            )
            if host in hosts and (restarts or not before):
                found[host] = index
    return found
