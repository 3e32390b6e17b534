"""Runs that never were: schedules, and what is told while they are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Play, Schedule, ScheduledPlay
from aegis_provision.rollout.events import (
    BatchStarted,
    HostFinished,
    HostPlanned,
    HostRestarted,
    HostWritten,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    Step,
    StepStarted,
)
from aegis_provision.rollout.results import SUCCESSES, HostResult, Status, later_result
from aegis_provision.rollout.run_state import RunState, reduce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aegis_provision.rollout.events import Event

RUN = "20261125T101500Z-1a2b3c"
PATH = "/opt/aegis/aegis.config.json"
CHANGES = (
    Change("ANTHROPIC_BASE_URL", ChangeKind.CHANGED, "http://127.0.0.1:1234/v1", "", False),
    Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.ADDED, None, None, True),
    Change("ANTHROPIC_DEFAULT_MODEL", ChangeKind.ADDED, None, "glm-4.6", False),
)


def plan(host: str, action: Action = Action.UPDATE, **more: object) -> HostPlan:
    """Return a plan for ``host`` with something to write where ``action`` writes."""
    writes = action in (Action.CREATE, Action.UPDATE)
    return HostPlan(
        host=host,
        provider="glm",
        path=PATH,
        action=action,
        changes=CHANGES if writes else (),
        write=Write(PATH, b"{}", 0o600, 1000, 1000, None) if writes else None,
        **more,  # type: ignore[arg-type]
    )


def play(name: str, *batches: Sequence[str], **more: object) -> ScheduledPlay:
    """Return a play over ``batches``."""
    return ScheduledPlay(
        Play(name=name, hosts="all", **more),  # type: ignore[arg-type]
        tuple(tuple(batch) for batch in batches),
    )


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """What was told of a run, and when."""

    schedule: Schedule
    events: tuple[tuple[float, Event], ...]


def simulate_run(
    schedule: Schedule,
    status_of: Callable[[int, str], Status],
    *,
    plans: Mapping[str, HostPlan] | None = None,
    forks: int = 4,
    seconds: float = 2.0,
) -> SimulatedRun:
    """Tell of a run in which every host ends as ``status_of`` says, in waves of ``forks``.

    A host that did not end well in one play is passed over by the later ones. Each host takes
    ``seconds`` to be written, and as long again to be restarted.
    """
    plans = plans or {host: plan(host) for host in schedule.hosts}
    run: list[tuple[float, Event]] = []
    now = 0.0

    def tell(event: Event) -> None:
        run.append((now, event))

    tell(ReadingStarted(len(schedule.hosts)))
    for host in schedule.hosts:
        tell(HostPlanned(plans[host]))
    tell(RunStarted(RUN, schedule, tuple(plans[host] for host in schedule.hosts)))
    ends: dict[str, HostResult] = {}
    for index, scheduled in enumerate(schedule.plays):
        tell(PlayStarted(index))
        for number, batch in enumerate(scheduled.batches):
            hosts = [host for host in batch if host not in ends or ends[host].status in SUCCESSES]
            if number and scheduled.play.pause:
                tell(PauseStarted(scheduled.play.pause))
                now += scheduled.play.pause
            tell(BatchStarted(index, number, tuple(hosts)))
            for start in range(0, len(hosts), forks):
                wave = hosts[start : start + forks]
                for host in wave:
                    tell(StepStarted(host, Step.WRITE))
                now += seconds
                for host in wave:
                    tell(HostWritten(host))
                    tell(StepStarted(host, Step.RESTART))
                now += seconds
                for host in wave:
                    tell(HostRestarted(host))
                    result = _result(host, status_of(index, host))
                    ends[host] = later_result(ends.get(host), result)
                    tell(HostFinished(index, result))
    tell(RunFinished(tuple(ends[host] for host in schedule.hosts), 0))
    return SimulatedRun(schedule, tuple(run))


def _result(host: str, status: Status) -> HostResult:
    if status in SUCCESSES:
        return HostResult(host, status)
    return HostResult(host, status, "it said no", "ask it again")


def hosts(count: int, stem: str = "host") -> tuple[str, ...]:
    """Return ``count`` names of hosts."""
    return tuple(f"{stem}-{number:04}.example.com" for number in range(1, count + 1))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Draw schedules of up to three plays over up to twelve hosts."""
    names = hosts(draw(st.integers(1, 12)))
    plays = []
    for number in range(draw(st.integers(1, 3))):
        chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names)))
        size = draw(st.integers(1, 5))
        batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        share = HostCount(draw(st.integers(0, 100)), percent=draw(st.booleans()))
        pause = draw(st.sampled_from([0.0, 30.0]))
        plays.append(play(f"play {number}", *batches, max_fail=share, pause=pause))
    return Schedule(tuple(plays))


@st.composite
def runs(draw: st.DrawFn) -> SimulatedRun:
    """Draw runs in which hosts end in any way."""
    schedule = draw(schedules())
    ends = {
        (index, host): draw(st.sampled_from(list(Status)))
        for index, scheduled in enumerate(schedule.plays)
        for host in scheduled.hosts
    }
    return simulate_run(
        schedule, lambda index, host: ends[index, host], forks=draw(st.integers(1, 5))
    )


def replay(entries: Iterable[tuple[float, Event]]) -> RunState:
    """Return what is known of a run after all of its events, each with its time."""
    state = RunState()
    for at, event in entries:
        state = reduce(state, event, at)
    return state
