"""What happened when in a run, and the chart of it: a bar for each host, over its batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.report.apply_report import WORDS
from aegis_provision.report.console import fine_duration, is_plain, play_title
from aegis_provision.report.html_markup import Markup, element
from aegis_provision.rollout.results import Status
from aegis_provision.rollout.run_state import left_out
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.rollout.host_run_state import StepSpan
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.rollout.run_state import RunState

_LEFT_OUT = "left_out"
WORDS_OF_STATE = {**{status.value: words for status, words in WORDS.items()}, _LEFT_OUT: "left out"}
"""How a host's state is called, by the name of its class."""
_HIGHEST = 420
_LANE = 14
_LABELS = 18
_NARROWEST_LABEL = 18.0
_TICKS = 5
_THINNEST = 0.15


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
    def state(self) -> str:
        """The state of the host in the play: its status, or why it has none."""
        if self.result is not None:
            return self.result.status.value
        return _LEFT_OUT if self.passed_over else Status.NOT_ATTEMPTED.value

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
                _host_row(state, number + place, play, host, passed_over=host in passed)
                for place, host in enumerate(hosts)
            )
            number += len(rows)
            start = state.batches[play, batch]
            end = None if start is None else _last(rows, start)
            yield BatchRows(play, batch, start, end, rows)


def _host_row(state: RunState, number: int, play: int, name: str, *, passed_over: bool) -> HostRow:
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


def chart(timeline: Timeline) -> Markup | None:
    """Return the section with the timeline, ``None`` for a run in which nothing took time."""
    drawn = lanes(row for batch in timeline.batches for row in batch.rows)
    span = timeline.end - timeline.start
    schedule = timeline.state.schedule
    if not drawn or span <= 0 or schedule is None:
        return None
    lane = max(3.0, min(float(_LANE), _HIGHEST / len(drawn)))
    height = _LABELS + lane * len(drawn)
    begun = [batch for batch in timeline.batches if batch.start is not None]
    bands = [_band(timeline, schedule, batch, height) for batch in begun]
    bars = [
        _bar(timeline, row, _LABELS + index * lane, lane)
        for index, rows in enumerate(drawn)
        for row in rows
    ]
    picture = element(
        "svg",
        element("title", "Timeline of the run"),
        *[part for pair in bands for part in pair],
        *bars,
        class_="chart",
        height=height,
        role="img",
    )
    ticks = [element("span", fine_duration(span * tick / (_TICKS - 1))) for tick in range(_TICKS)]
    return element(
        "section",
        element("h2", "Timeline"),
        element(
            "div",
            picture,
            element("p", *ticks, class_="axis"),
            _legend(row for rows in drawn for row in rows),
            _note(timeline, drawn),
            class_="card",
        ),
    )


def _share(timeline: Timeline, at: float) -> float:
    return 100 * (at - timeline.start) / (timeline.end - timeline.start)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _band(
    timeline: Timeline, schedule: Schedule, batch: BatchRows, height: float
) -> Sequence[Markup]:
    """Return a batch's background: it says how long the batch was the current one."""
    if batch.start is None or batch.end is None:
        return ()
    left, right = _share(timeline, batch.start), _share(timeline, batch.end)
    batches = len(schedule.plays[batch.play].batches)
    if is_plain(schedule) and batches == 1:
        return ()
    name = "" if is_plain(schedule) else play_title(schedule, batch.play)
    part = f"batch {batch.batch + 1}/{batches}" if batches > 1 else ""
    words = "  ".join(filter(None, (name, part)))
    short = "" if is_plain(schedule) else f"Play {batch.play + 1}"
    label = ", ".join(filter(None, (short, f"{batch.batch + 1}/{batches}" if part else "")))
    parts = [
        element(
            "rect",
            element("title", f"{words}: {counted(len(batch.rows), 'host')}"),
            class_="band",
            x=_percent(left),
            y=0.0,
            width=_percent(max(_THINNEST, right - left)),
            height=height,
        ),
        element(
            "line",
            class_="edge",
            x1=_percent(left),
            x2=_percent(left),
            y1=0.0,
            y2=height,
        ),
    ]
    if right - left >= _NARROWEST_LABEL:
        parts.append(element("text", label, x=_percent(left), y=12.0, dx=4.0))
    return parts


def _bar(timeline: Timeline, row: HostRow, top: float, lane: float) -> Markup:
    start, end = row.start or timeline.start, row.end or timeline.start
    left = _share(timeline, start)
    state = row.state
    words = f"{row.host}: {WORDS_OF_STATE[state]}, {fine_duration(end - start)}"
    bar = element(
        "rect",
        element("title", words),
        class_=f"bar {state}",
        x=_percent(left),
        y=f"{top + 0.5:.1f}",
        width=_percent(max(_THINNEST, _share(timeline, end) - left - _THINNEST / 2)),
        height=f"{max(2.0, lane - 1.5):.1f}",
        rx=1.5,
    )
    return element("a", bar, href=f"#h{row.number}")


def _legend(rows: Iterable[HostRow]) -> Markup:
    seen = {row.state for row in rows}
    entries = [
        element("span", element("i", class_=f"dot {state}"), words)
        for state, words in WORDS_OF_STATE.items()
        if state in seen
    ]
    return element("p", *entries, class_="legend")


def _note(timeline: Timeline, drawn: Sequence[Sequence[HostRow]]) -> Markup:
    missing = sum(len(batch.rows) for batch in timeline.batches) - sum(map(len, drawn))
    words = "Each bar is a host; the shaded spans are batches."
    if missing:
        words += f" Not drawn, as nothing was done there: {counted(missing, 'host')}."
    return element("p", words, class_="note")
