"""What happened when in a run, put together from its events: plays, batches, hosts, steps."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.report.run_state import RunState, left_out, reduce
from aegis_provision.rollout.events import (
    BatchStarted,
    HostFinished,
    HostPlanned,
    KeysAccepted,
    RunFinished,
    RunStarted,
    StepStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.results import HostResult


class EventLog:
    """Takes events and keeps them with the time at which they were told.

    ``clock`` tells the time in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.entries: list[tuple[float, Event]] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.entries.append((self._clock(), event))


@dataclass(frozen=True, slots=True)
class StepSpan:
    """A step of a host, from when to when; ``detail`` may say more."""

    step: str
    detail: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host in a play. ``result`` is ``None`` where it did not come to its turn.

    ``passed_over`` says that it went wrong in an earlier play. ``number`` is its own in the run.
    """

    number: int
    host: str
    plan: HostPlan | None
    result: HostResult | None
    passed_over: bool
    stretches: tuple[StepSpan, ...]

    @property
    def start(self) -> float | None:
        """When work on it began, ``None`` where there was none."""
        return self.stretches[0].start if self.stretches else None

    @property
    def end(self) -> float | None:
        """When work on it ended."""
        return self.stretches[-1].end if self.stretches else None


@dataclass(frozen=True, slots=True)
class BatchRows:
    """A batch: ``start`` is ``None`` where it never began, ``end`` where its last host ended."""

    play: int
    batch: int
    start: float | None
    end: float | None
    rows: tuple[HostRow, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole run. ``start`` and ``end`` are those of the carrying out.

    ``state`` is what the monitor knew at the end, ``plans`` each host's plan, ``keys`` the host
    keys that were taken on trust.
    """

    state: RunState
    start: float
    end: float
    batches: tuple[BatchRows, ...]
    plans: Mapping[str, HostPlan]
    keys: tuple[KeysAccepted, ...]


def timeline_of(entries: Iterable[tuple[float, Event]]) -> Timeline:
    """Return the run that ``entries`` tell of; one that was cut off ends with the last of them."""
    gathered = _Gathered()
    for at, event in entries:
        gathered.take(at, event)
    return gathered.timeline()


@dataclass(slots=True)
class _Gathered:
    state: RunState = field(default_factory=RunState)
    start: float | None = None
    end: float = 0.0
    plans: dict[str, HostPlan] = field(default_factory=dict)
    keys: list[KeysAccepted] = field(default_factory=list)
    begun: dict[tuple[int, int], float] = field(default_factory=dict)
    open: dict[str, StepStarted] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    done: dict[tuple[int, str], list[StepSpan]] = field(default_factory=dict)

    def take(self, at: float, event: Event) -> None:
        if self.start is None or isinstance(event, RunStarted):
            self.start = at
        self.end = max(self.end, at)
        match event:
            case HostPlanned(plan):
                self.plans[plan.host] = plan
            case KeysAccepted():
                self.keys.append(event)
            case RunStarted(_, _, plans):
                self.plans |= {plan.host: plan for plan in plans}
            case BatchStarted(play, batch):
                self.begun[play, batch] = at
            case StepStarted(host):
                self._close(host, at)
                self.open[host], self.since[host] = event, at
            case HostFinished(_, result):
                self._close(result.host, at)
            case RunFinished():
                self._close_all(at)
            case _:
                pass
        self.state = reduce(self.state, event, at)

    def _close(self, host: str, at: float) -> None:
        step = self.open.pop(host, None)
        if step is not None:
            stretch = StepSpan(step.step.value, step.detail, self.since.pop(host), at)
            self.done.setdefault((self.state.play or 0, host), []).append(stretch)

    def _close_all(self, at: float) -> None:
        for host in list(self.open):
            self._close(host, at)

    def timeline(self) -> Timeline:
        self._close_all(self.end)
        start = self.end if self.start is None else self.start
        plans, keys = self.plans, tuple(self.keys)
        return Timeline(self.state, start, self.end, tuple(self._batches()), plans, keys)

    def _batches(self) -> Iterable[BatchRows]:
        if self.state.schedule is None:
            return
        number = 0
        final = {result.host: result for result in self.state.results}
        for play, scheduled in enumerate(self.state.schedule.plays):
            passed = left_out(self.state, play)
            for batch, hosts in enumerate(scheduled.batches):
                rows = [
                    self._row(number + place, play, host, final, passed_over=host in passed)
                    for place, host in enumerate(hosts)
                ]
                number += len(rows)
                start = self.begun.get((play, batch))
                end = None if start is None else _last(rows, start)
                yield BatchRows(play, batch, start, end, tuple(rows))

    def _row(
        self,
        number: int,
        play: int,
        host: str,
        final: Mapping[str, HostResult],
        *,
        passed_over: bool,
    ) -> HostRow:
        result = self.state.ended[play].get(host)
        if result is None and not passed_over and not any(host in it for it in self.state.ended):
            result = final.get(host)
        stretches = tuple(self.done.get((play, host), ()))
        return HostRow(number, host, self.plans.get(host), result, passed_over, stretches)


def _last(rows: Sequence[HostRow], start: float) -> float:
    return max((row.end for row in rows if row.end is not None), default=start)


def lanes(rows: Iterable[HostRow]) -> list[list[HostRow]]:
    """Return the rows that took time in as few lanes as hold them without any two overlapping."""
    found: list[list[HostRow]] = []
    until: list[float] = []
    drawn = [(row.start, row.end, row) for row in rows if row.start is not None]
    for start, end, row in sorted(drawn, key=lambda item: (item[0], item[2].number)):
        free = next((lane for lane, last in enumerate(until) if last <= start), None)
        if free is None:
            free = len(found)
            found.append([])
            until.append(start)
        found[free].append(row)
        until[free] = start if end is None else end
    return found
