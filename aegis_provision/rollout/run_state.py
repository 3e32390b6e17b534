"""What is known of a run, as one value that every event advances.

``reduce`` is the only place that interprets a run's events. The live view, the recap, the page, the
history of runs, ``--retry`` and ``rollback`` all read the state that it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostChecked,
    HostDiagnosed,
    HostFinished,
    HostPlanned,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    KeysAccepted,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    SessionReported,
    SessionsListed,
    StepStarted,
    StopRequested,
    WriteBegun,
)
from aegis_provision.rollout.host_run_state import HostRunState, reduce_host, run_ended
from aegis_provision.rollout.results import SUCCESSES, Status
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Gates, Play, Schedule
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_run_state import HostEvent
    from aegis_provision.rollout.results import HostResult

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_CHUNK = 100
_EMPTY: Mapping[Any, Any] = {}


class PersistentMap(Mapping[Key, Value], Generic[Key, Value]):
    """Entries in a fixed order that never change, for thousands of hosts.

    A copy with another value shares all but two short tuples.
    """

    __slots__ = ("_chunks", "_index")

    def __init__(
        self, index: Mapping[Key, int] | None = None, chunks: tuple[tuple[Value, ...], ...] = ()
    ) -> None:
        """Hold the values of ``chunks``, each at the index of its key; use :meth:`of`."""
        self._index = {} if index is None else index
        self._chunks = chunks

    @classmethod
    def of(cls, entries: Iterable[tuple[Key, Value]]) -> PersistentMap[Key, Value]:
        """Return a map of ``entries``, in their order."""
        content = dict(entries)
        values = tuple(content.values())
        chunks = tuple(values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
        return cls({key: index for index, key in enumerate(content)}, chunks)

    def __getitem__(self, key: Key) -> Value:
        index = self._index[key]
        return self._chunks[index // _CHUNK][index % _CHUNK]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.items())!r})"

    def replaced(self, key: Key, value: Value) -> PersistentMap[Key, Value]:
        """Return a copy in which ``key`` has ``value``; a new key costs a copy of everything."""
        if key not in self._index:
            return self.of((*self.items(), (key, value)))
        which, index = divmod(self._index[key], _CHUNK)
        chunk = self._chunks[which]
        chunk = (*chunk[:index], value, *chunk[index + 1 :])
        chunks = (*self._chunks[:which], chunk, *self._chunks[which + 1 :])
        return PersistentMap(self._index, chunks)


Hosts: TypeAlias = "PersistentMap[str, HostRunState]"
Batches: TypeAlias = "PersistentMap[tuple[int, int], float | None]"


class Phase(StrEnum):
    """What the whole run is at."""

    BEFORE = "before"
    READING = "reading"
    RUNNING = "running"
    OVER = "over"


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


class RunState(NamedTuple):
    """A run, as far as it has come. All times are the caller's, in seconds.

    ``since`` is when the phase began (that of the run, once it is over), ``last`` the time of the
    last event. ``total`` and ``done`` count the hosts of a phase without plays. ``hosts`` has every
    host of the schedule in its order, ``batches`` when each batch began, ``keys`` the host keys
    that were taken on trust. ``in_flight`` is how many hosts are worked on, ``most_in_flight`` how
    many ever were at once; ``failed`` how many count against the budget.
    """

    phase: Phase = Phase.BEFORE
    since: float = 0.0
    last: float = 0.0
    total: int = 0
    done: int = 0
    run: str = ""
    schedule: Schedule | None = None
    plans: Mapping[str, HostPlan] = _EMPTY
    play: int | None = None
    batch: int | None = None
    hosts: Hosts = PersistentMap()
    batches: Batches = PersistentMap()
    keys: tuple[KeysAccepted, ...] = ()
    in_flight: int = 0
    most_in_flight: int = 0
    failed: int = 0
    samples: Mapping[Gates, Sample] = _EMPTY
    pause_until: float | None = None
    spent: BudgetSpent | None = None
    stopping: bool = False
    exit_code: int | None = None

    def host(self, name: str) -> HostRunState:
        """Return what is known of a host."""
        return self.hosts.get(name) or HostRunState(name)

    @property
    def results(self) -> tuple[HostResult, ...]:
        """Return how each host ended that has, in the schedule's order."""
        return tuple(host.result for host in self.hosts.values() if host.result is not None)

    @property
    def flying(self) -> tuple[HostRunState, ...]:
        """Return the hosts that are being worked on."""
        return tuple(host for host in self.hosts.values() if host.begun is not None)


class RunTracker:
    """An observer of a run's events that knows its ``state``. ``clock`` tells the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.state = RunState()
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.state = reduce(self.state, event, self._clock())


def reduce(state: RunState, event: Event, at: float) -> RunState:
    """Return what is known after ``event``, which happened at the time ``at``."""
    match event:
        case HostPlanned() | HostChecked() | HostDiagnosed() | SessionReported() | SessionsListed():
            return state._replace(done=state.done + 1, last=at)
        case StepStarted() | WriteBegun() | HostWritten() | HostRestarted() | HostRolledBack():
            return _host_advanced(state, event.host, event, at)
        case HostFinished():
            return _host_finished(state, event, at)
        case RunStarted():
            return _run_started(state, event, at)
        case RunFinished():
            return _run_finished(state, event, at)
        case ReadingStarted(hosts):
            return RunState(phase=Phase.READING, since=at, last=at, total=hosts)
        case _:
            return _moved_on(state, event, at)._replace(last=at)


def _moved_on(state: RunState, event: Event, at: float) -> RunState:
    match event:
        case KeysAccepted():
            return state._replace(keys=(*state.keys, event))
        case PlayStarted(play):
            return state._replace(play=play, batch=None, pause_until=None)
        case BatchStarted(play, batch):
            begun = state.batches.replaced((play, batch), at)
            return state._replace(play=play, batch=batch, pause_until=None, batches=begun)
        case PauseStarted(seconds):
            return state._replace(pause_until=at + seconds)
        case BudgetSpent():
            return state._replace(spent=event, pause_until=None)
        case StopRequested():
            return state._replace(stopping=True, pause_until=None)
        case _:
            return state


def _run_started(state: RunState, event: RunStarted, at: float) -> RunState:
    return state._replace(
        phase=Phase.RUNNING,
        since=at,
        last=at,
        total=0,
        done=0,
        run=event.run,
        schedule=event.schedule,
        plans={plan.host: plan for plan in event.plans},
        hosts=PersistentMap.of((host, HostRunState(host)) for host in event.schedule.hosts),
        batches=PersistentMap.of(
            ((play, batch), None)
            for play, scheduled in enumerate(event.schedule.plays)
            for batch in range(len(scheduled.batches))
        ),
    )


def _run_finished(state: RunState, event: RunFinished, at: float) -> RunState:
    for result in event.results:
        if state.host(result.host).result != result:
            state = _host_finished(state, HostFinished(None, result), at)
    for host in state.flying:
        state = state._replace(hosts=state.hosts.replaced(host.host, run_ended(host, at)))
    return state._replace(
        phase=Phase.OVER,
        last=at,
        in_flight=0,
        pause_until=None,
        exit_code=event.exit_code,
    )


def _host_advanced(state: RunState, name: str, event: HostEvent, at: float) -> RunState:
    before = state.host(name)
    after = reduce_host(before, event, at, state.play or 0)
    in_flight = state.in_flight + (after.begun is not None) - (before.begun is not None)
    return state._replace(
        last=at,
        hosts=state.hosts.replaced(name, after),
        in_flight=in_flight,
        most_in_flight=max(state.most_in_flight, in_flight),
    )


def _host_finished(state: RunState, event: HostFinished, at: float) -> RunState:
    result, before = event.result, state.host(event.result.host)
    after = _host_advanced(state, result.host, event, at)
    if event.play is None:
        return after
    failed_before = any(item.counts_as_failed for item in before.results.values())
    return after._replace(
        done=state.done + 1,
        failed=state.failed + (result.counts_as_failed and not failed_before),
        samples=_sampled(state, event.play, before.begun, at),
    )


def _sampled(
    state: RunState, play: int, begun: float | None, ended: float
) -> Mapping[Gates, Sample]:
    if state.schedule is None or begun is None:
        return state.samples
    gates = state.schedule.plays[play].play.gates
    sample = state.samples.get(gates, Sample())
    return {**state.samples, gates: Sample(sample.count + 1, sample.seconds + ended - begun)}


def left_out(state: RunState, play: int) -> frozenset[str]:
    """Return the hosts of a play that it passes over, having gone wrong in an earlier one."""
    if state.schedule is None:
        return frozenset()
    hosts = (state.host(name) for name in state.schedule.plays[play].hosts)
    return frozenset(host.host for host in hosts if _is_left_out(host, play))


def _is_left_out(host: HostRunState, play: int) -> bool:
    return play not in host.results and any(
        index < play and result.status not in SUCCESSES for index, result in host.results.items()
    )


def waiting(state: RunState, play: int) -> tuple[str, ...]:
    """Return the hosts of a play that are neither over, nor in flight, nor left out."""
    if state.schedule is None:
        return ()
    hosts = (state.host(name) for name in state.schedule.plays[play].hosts)
    return tuple(
        host.host
        for host in hosts
        if play not in host.results
        and not _is_left_out(host, play)
        and (play != state.play or host.begun is None)
    )


def tallies(state: RunState) -> tuple[Tally, ...]:
    """Return every play of the run in numbers; there is none before the run has started."""
    if state.schedule is None:
        return ()
    return tuple(
        Tally(
            scheduled.play,
            Counter(
                result.status
                for name in scheduled.hosts
                if (result := state.host(name).results.get(index)) is not None
            ),
            len(left_out(state, index)),
            len(waiting(state, index)),
        )
        for index, scheduled in enumerate(state.schedule.plays)
    )


def progress(state: RunState) -> tuple[int, int]:
    """Return how many hosts are over and how many there are, each counted once per play."""
    if state.schedule is None:
        return state.done, state.total
    todo = sum(len(waiting(state, index)) for index in range(len(state.schedule.plays)))
    return state.done, state.done + todo + state.in_flight
