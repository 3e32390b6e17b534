"""What is known of a run while it goes on, as one value that every event advances."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Restart
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostChecked,
    HostFinished,
    HostPlanned,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import FAILURES, SUCCESSES, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Gates, Play, Schedule, ScheduledPlay
    from aegis_provision.rollout.events import Event, Step
    from aegis_provision.rollout.results import HostResult


class Phase(StrEnum):
    """What the whole run is at."""

    BEFORE = "before"
    READING = "reading"
    WRITING = "writing"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class InFlight:
    """A host that is being worked on: since when at all, and since when at ``step``."""

    host: str
    begun: float
    step: Step
    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class Sample:
    """How long hosts took that passed the same gates: ``count`` of them, ``seconds`` in all."""

    count: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Return how long one host took on average."""
        return self.seconds / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """A play in numbers: hosts by status, and those that it has left out or not come to yet."""

    play: Play
    counts: Mapping[Status, int]
    left_out: int
    waiting: int


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, as far as it has come. All times are the caller's, in seconds.

    ``since`` is when the phase began. ``total`` and ``done`` count the hosts of a phase without
    plays. ``ended`` holds, per play, how its hosts ended; ``failed`` the hosts that count against
    the budget. ``widest`` is the largest number of hosts that were ever in flight together.
    """

    phase: Phase = Phase.BEFORE
    since: float = 0.0
    total: int = 0
    done: int = 0
    run: str = ""
    schedule: Schedule | None = None
    plans: Mapping[str, HostPlan] = field(default_factory=dict)
    play: int | None = None
    batch: int | None = None
    in_flight: Mapping[str, InFlight] = field(default_factory=dict)
    ended: tuple[Mapping[str, HostResult], ...] = ()
    failed: frozenset[str] = frozenset()
    samples: Mapping[Gates, Sample] = field(default_factory=dict)
    widest: int = 0
    pause_until: float | None = None
    spent: BudgetSpent | None = None
    stopping: bool = False
    results: tuple[HostResult, ...] = ()
    exit_code: int | None = None


def reduce(state: RunState, event: Event, at: float) -> RunState:
    """Return what is known after ``event``, which was told at the time ``at``."""
    match event:
        case HostPlanned() | HostChecked():
            return replace(state, done=state.done + 1)
        case StepStarted():
            return _step_started(state, event, at)
        case HostFinished():
            return _host_finished(state, event, at)
        case RunStarted():
            return _run_started(state, event, at)
        case _:
            return _moved_on(state, event, at)


def _moved_on(state: RunState, event: Event, at: float) -> RunState:
    match event:
        case ReadingStarted(hosts):
            return RunState(phase=Phase.READING, since=at, total=hosts)
        case PlayStarted(play):
            return replace(state, play=play, batch=None, pause_until=None)
        case BatchStarted(play, batch):
            return replace(state, play=play, batch=batch, pause_until=None)
        case PauseStarted(seconds):
            return replace(state, pause_until=at + seconds)
        case BudgetSpent():
            return replace(state, spent=event, pause_until=None)
        case StopRequested():
            return replace(state, stopping=True, pause_until=None)
        case RunFinished(results, code):
            over = replace(state, phase=Phase.OVER, in_flight={}, pause_until=None)
            return replace(over, results=results, exit_code=code)
        case _:
            return state


def _run_started(state: RunState, event: RunStarted, at: float) -> RunState:
    return replace(
        state,
        phase=Phase.RUNNING,
        since=at,
        total=0,
        done=0,
        run=event.run,
        schedule=event.schedule,
        plans={plan.host: plan for plan in event.plans},
        ended=tuple({} for _ in event.schedule.plays),
    )


def _step_started(state: RunState, event: StepStarted, at: float) -> RunState:
    before = state.in_flight.get(event.host)
    begun = at if before is None else before.begun
    now = InFlight(event.host, begun, event.step, event.detail, at)
    in_flight = {**state.in_flight, event.host: now}
    return replace(state, in_flight=in_flight, widest=max(state.widest, len(in_flight)))


def _host_finished(state: RunState, event: HostFinished, at: float) -> RunState:
    result = event.result
    in_flight = dict(state.in_flight)
    flown = in_flight.pop(result.host, None)
    after = replace(state, in_flight=in_flight, done=state.done + 1)
    if result.status in FAILURES:
        after = replace(after, failed=state.failed | {result.host})
    if state.schedule is None or event.play >= len(state.ended):
        return after
    ended = list(state.ended)
    ended[event.play] = {**ended[event.play], result.host: result}
    after = replace(after, ended=tuple(ended))
    if flown is None:
        return after
    gates = state.schedule.plays[event.play].play.gates
    seen = state.samples.get(gates, Sample())
    sample = Sample(seen.count + 1, seen.seconds + at - flown.begun)
    return replace(after, samples={**state.samples, gates: sample})


def left_out(state: RunState, play: int) -> frozenset[str]:
    """Return the hosts of a play that it passes over, having gone wrong in an earlier one."""
    if state.schedule is None:
        return frozenset()
    bad = {
        host
        for earlier in state.ended[:play]
        for host, result in earlier.items()
        if result.status not in SUCCESSES
    }
    return frozenset(bad.intersection(state.schedule.plays[play].hosts) - state.ended[play].keys())


def waiting(state: RunState, play: int) -> tuple[str, ...]:
    """Return the hosts of a play that are neither over, nor in flight, nor left out."""
    if state.schedule is None:
        return ()
    settled = left_out(state, play) | state.ended[play].keys()
    if play == state.play:
        settled |= state.in_flight.keys()
    return tuple(host for host in state.schedule.plays[play].hosts if host not in settled)


def tallies(state: RunState) -> tuple[Tally, ...]:
    """Return every play of the run in numbers; there is none before the run has started."""
    if state.schedule is None:
        return ()
    return tuple(
        Tally(
            scheduled.play,
            Counter(result.status for result in state.ended[index].values()),
            len(left_out(state, index)),
            len(waiting(state, index)),
        )
        for index, scheduled in enumerate(state.schedule.plays)
    )


def progress(state: RunState) -> tuple[int, int]:
    """Return how many hosts are over and how many there are, each counted once per play."""
    if state.schedule is None:
        return state.done, state.total
    done = sum(map(len, state.ended))
    todo = sum(len(waiting(state, index)) for index in range(len(state.ended)))
    return done, done + todo + len(state.in_flight)


def estimate(state: RunState, now: float, forks: int | None = None) -> float | None:
    """Return how many seconds the rest will take, or ``None`` where nobody can know.

    Hosts that pass the same gates take about the same time; a play whose gates no host has
    passed yet makes the whole unknown, and so do a stop and a spent budget. ``forks`` is how
    many hosts are worked on at once; without it, as many as were seen at once.
    """
    if state.schedule is None or state.play is None or state.stopping or state.spent:
        return None
    width = forks or state.widest
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
    sample = state.samples.get(state.schedule.plays[state.play].play.gates, Sample())
    return max(0.0, *(sample.mean - (now - item.begun) for item in state.in_flight.values()))
