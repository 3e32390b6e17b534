"""The timeline of a page: a bar for each host, in as few lanes as hold them, over its batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.report.html_hosts import WORDS_OF_STATE, state_of
from aegis_provision.report.markup import Markup, element
from aegis_provision.report.text import fine_duration, is_plain, play_title
from aegis_provision.report.timeline import lanes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.report.timeline import BatchRows, HostRow, Timeline

_HIGHEST = 420
_LANE = 14
_LABELS = 18
_NARROWEST_LABEL = 18.0
_TICKS = 5
_THINNEST = 0.15


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
    state = state_of(row)
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
    seen = {state_of(row) for row in rows}
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
