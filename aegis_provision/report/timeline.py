"""What happened when in a run: batches, the hosts in each, and each host's steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.rollout.run_state import left_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.host_state import StepSpan
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.rollout.run_state import RunState


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host in a play. ``result`` is ``None`` where it did not come to its turn.

    ``passed_over`` says that it went wrong in an earlier play. ``number`` is its own in the run.
    All of its ``steps`` have an end: for one that went on when the run was cut off, it is that.
    """

    number: int
    host: str
    plan: HostPlan | None
    result: HostResult | None
    passed_over: bool
    steps: tuple[StepSpan, ...]

    @property
    def start(self) -> float | None:
        """When work on it began, ``None`` where there was none."""
        return self.steps[0].start if self.steps else None

    @property
    def end(self) -> float | None:
        """When work on it ended."""
        return self.steps[-1].end if self.steps else None


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
    """A whole run, from ``start`` to ``end``; one that was cut off ends with its last event."""

    state: RunState
    start: float
    end: float
    batches: tuple[BatchRows, ...]


def timeline_of(state: RunState) -> Timeline:
    """Return the timeline of the run whose ``state``, as far as it came, is given."""
    return Timeline(state, state.since, state.last, tuple(_batches(state)))


def _batches(state: RunState) -> Iterator[BatchRows]:
    if state.schedule is None:
        return
    number = 0
    for play, scheduled in enumerate(state.schedule.plays):
        passed = left_out(state, play)
        for batch, hosts in enumerate(scheduled.batches):
            rows = tuple(
                _row(state, number + place, play, host, passed_over=host in passed)
                for place, host in enumerate(hosts)
            )
            number += len(rows)
            start = state.batches[play, batch]
            end = None if start is None else _last(rows, start)
            yield BatchRows(play, batch, start, end, rows)


def _row(state: RunState, number: int, play: int, name: str, *, passed_over: bool) -> HostRow:
    host = state.host(name)
    result = host.results.get(play)
    if result is None and not passed_over and not host.results:
        result = host.result
    steps = tuple(
        span if span.end is not None else span._replace(end=state.last) for span in host.steps(play)
    )
    return HostRow(number, name, state.plans.get(name), result, passed_over, steps)


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
