"""How long the rest of a run will take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Restart
from aegis_provision.rollout.run_state import Sample, waiting

if TYPE_CHECKING:
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Gates, ScheduledPlay
    from aegis_provision.rollout.run_state import RunState


def estimate(state: RunState, now: float, forks: int | None = None) -> float | None:
    """Return how many seconds the rest will take, ``None`` where it can't be known.

    Hosts that pass the same gates take about the same time; a play whose gates no host has
    passed yet makes the whole unknown, and so do a stop and a spent budget. ``forks`` is how
    many hosts are worked on at once; without it, as many as were seen at once.
    """
    if state.schedule is None or state.play is None or state.stopping or state.spent:
        return None
    width = forks or state.most_in_flight
    total = 0.0
    for index in range(state.play, len(state.schedule.plays)):
        seconds = _estimate_play(state, state.schedule.plays[index], index, width)
        if seconds is None:
            return None
        total += seconds
    return total + _rest_of_pause(state, now) + _rest_of_flight(state, now)


def _estimate_play(
    state: RunState, scheduled: ScheduledPlay, index: int, width: int
) -> float | None:
    """Return how long the hosts of a play that have not begun will take, pauses included."""
    current = state.batch if index == state.play else None
    ahead = len(scheduled.batches) - (1 if current is None else current + 1)
    pauses = max(0, ahead - (index == state.play and state.pause_until is not None))
    gates = scheduled.play.gates
    todo = {host for host in waiting(state, index) if _has_work(state.plans.get(host), gates)}
    flying = index == state.play and state.in_flight
    if not todo and not flying:
        return pauses * scheduled.play.pause
    sample = state.samples.get(gates)
    if sample is None or not width:
        return None
    rounds = sum(math.ceil(len(todo.intersection(part)) / width) for part in scheduled.batches)
    return pauses * scheduled.play.pause + rounds * sample.mean


def _has_work(plan: HostPlan | None, gates: Gates) -> bool:
    if plan is None or plan.action in (Action.ERROR, Action.UNREACHABLE):
        return False
    owed = gates.restart is Restart.CHANGED and plan.restart_owed
    return plan.write is not None or owed or gates.restart is Restart.ALWAYS


def _rest_of_pause(state: RunState, now: float) -> float:
    return 0.0 if state.pause_until is None else max(0.0, state.pause_until - now)


def _rest_of_flight(state: RunState, now: float) -> float:
    if state.schedule is None or state.play is None or not state.in_flight:
        return 0.0
    begun = [host.begun for host in state.flying if host.begun is not None]
    sample = state.samples.get(state.schedule.plays[state.play].play.gates, Sample())
    return max(0.0, *(sample.mean - (now - since) for since in begun))
