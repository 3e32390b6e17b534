"""The hosts of a page, batch by batch: how each ended, its steps, and what changed there."""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.planning.plan import Change, ChangeKind
from aegis_provision.report.console import (
    count_words,
    fine_duration,
    is_plain,
    pin_text,
    play_title,
)
from aegis_provision.report.html_markup import Markup, element, together
from aegis_provision.report.html_timeline import WORDS_OF_STATE
from aegis_provision.rollout.results import SUCCESSES, Status
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.report.html_timeline import BatchRows, HostRow, Timeline

_BAD = frozenset(item.value for item in set(Status) - SUCCESSES - {Status.NOT_ATTEMPTED})
_DONE = frozenset({Status.APPLIED.value, Status.RESTART_PENDING.value})
_OPEN_AT_MOST = 20
_LONGEST = 200
_SECRET = {
    ChangeKind.ADDED: "secret, set",
    ChangeKind.CHANGED: "secret, changed",
    ChangeKind.REMOVED: "secret, removed",
}


def groups_of(row: HostRow, attention: frozenset[str]) -> tuple[str, ...]:
    """Return which filters show a row; ``attention`` are the hosts that need attention."""
    state = row.state
    groups = ("bad",) if row.host in attention else ()
    if state in _DONE:
        return (*groups, "done")
    if state == Status.UNCHANGED.value:
        return (*groups, "same")
    return groups if state in _BAD else (*groups, "left")


@dataclass(frozen=True, slots=True)
class HostSections:
    """Makes the sections about hosts. Each host's changes are shown the first time it comes.

    ``attention`` are the hosts that need attention. With ``changes_once`` what several hosts share
    is shown on the first of them.
    """

    timeline: Timeline
    attention: frozenset[str]
    changes_once: bool
    _hosts: set[str] = field(default_factory=set)
    _changes: set[object] = field(default_factory=set)

    def batch(self, batch: BatchRows, *, folded: bool) -> Markup:
        """Return a batch with all its hosts; ``folded`` closes one in which nothing went wrong."""
        states = Counter(row.state for row in batch.rows)
        bad = sum(number for state, number in states.items() if state in _BAD)
        # A host's details are open where a person looks, unless it were too much.
        rows = [
            self._host(row, is_open=row.state in _BAD and bad <= _OPEN_AT_MOST)
            for row in batch.rows
        ]
        summary = element(
            "summary",
            _title(self.timeline, batch),
            element("span", f"  {_counts_text(batch, states)}", class_="dim"),
        )
        return element("details", summary, *rows, class_="card batch", open=bool(bad) or not folded)

    def _host(self, row: HostRow, *, is_open: bool) -> Markup:
        took = "" if row.start is None or row.end is None else fine_duration(row.end - row.start)
        summary = element(
            "summary",
            element("i", class_="dot"),
            element("span", row.host, class_="name"),
            element("span", WORDS_OF_STATE[row.state], class_="state"),
            _track(self.timeline, row),
            element("span", took, class_="took"),
        )
        details = [_reason(row), _steps(self.timeline, row), self._changes_of(row)]
        parts = [part for part in details if part is not None]
        if not parts:
            parts = [element("p", "Nothing was done here.", class_="dim")]
        if row.plan is not None and row.plan.pin is not None:
            pin = f"{row.plan.provider}: {pin_text(row.plan.pin)}"
            parts.insert(0, element("p", pin, class_="v dim"))
        groups = (f"g-{group}" for group in groups_of(row, self.attention))
        return element(
            "details",
            summary,
            element("div", *parts, class_="inside"),
            class_=" ".join(("host", row.state, *groups)),
            id=f"h{row.number}",
            open=is_open,
        )

    def _changes_of(self, row: HostRow) -> Markup | None:
        plan = row.plan
        if plan is None or not plan.changes or row.host in self._hosts:
            return None
        self._hosts.add(row.host)
        if self.changes_once:
            if plan.changes in self._changes:
                text = f"{counted(len(plan.changes), 'change')}, the same as on a host above."
                return element("p", text, class_="dim")
            self._changes.add(plan.changes)
        return changes_table(plan.changes, plan.path)


def changes_table(changes: Sequence[Change], path: str) -> Markup:
    """Return the changes of the file at ``path``; secrets are masked."""
    caption = element("caption", "Changes in ", element("span", path, class_="mono v"))
    rows = [
        element("tr", element("th", change.key, class_="mono", scope="row"), _values(change))
        for change in changes
    ]
    return element("table", caption, together(rows), class_="changes")


def warning_paragraph(text: str) -> Markup:
    """Return a warning."""
    return element("p", "Warning: ", element("span", text, class_="v"), class_="warning")


def _title(timeline: Timeline, batch: BatchRows) -> str:
    schedule = timeline.state.schedule
    if schedule is None:
        return ""
    batches = len(schedule.plays[batch.play].batches)
    words = [] if is_plain(schedule) else [play_title(schedule, batch.play)]
    if batches > 1:
        words.append(f"batch {batch.batch + 1}/{batches}")
    return ", ".join(words) or "All hosts"


def _counts_text(batch: BatchRows, states: Counter[str]) -> str:
    parts = count_words(states, WORDS_OF_STATE)
    if batch.start is not None and batch.end is not None and batch.end > batch.start:
        parts.append(f"took {fine_duration(batch.end - batch.start)}")
    return f"{counted(len(batch.rows), 'host')}: {', '.join(parts)}"


def _track(timeline: Timeline, row: HostRow) -> Markup:
    """Return the host's own part of the whole run, drawn small."""
    span = timeline.end - timeline.start
    bar = None
    if row.start is not None and row.end is not None and span > 0:
        left = 100 * (row.start - timeline.start) / span
        width = max(0.6, 100 * (row.end - row.start) / span)
        left = min(left, 100 - width)
        bar = element(
            "rect", class_="bar", x=f"{left:.1f}%", width=f"{width:.1f}%", height="8", rx="2"
        )
    track = element("rect", class_="track", width="100%", height="8", rx="2")
    return element("svg", track, bar, aria_hidden="true")


def _reason(row: HostRow) -> Markup | None:
    result = row.result
    if result is None:
        words = "It went wrong in an earlier play." if row.passed_over else "Not begun."
        return element("div", element("p", words, class_="dim"), *_plan_problem(row))
    lines = [
        element("p", result.message, class_="v") if result.message else None,
        element("p", "Try: ", element("span", result.hint, class_="v")) if result.hint else None,
        *(warning_paragraph(item) for item in result.warnings),
        *(warning_paragraph(item) for item in (row.plan.warnings if row.plan else ())),
    ]
    return element("div", *lines) if any(lines) else None


def _plan_problem(row: HostRow) -> Iterator[Markup]:
    """Yield why a host that was not begun could not have been written anyway."""
    if row.plan is None or row.passed_over:
        return
    if row.plan.message:
        yield element("p", row.plan.message, class_="v")
    if row.plan.hint:
        yield element("p", "Try: ", element("span", row.plan.hint, class_="v"))


def _steps(timeline: Timeline, row: HostRow) -> Markup | None:
    if not row.steps:
        return None
    rows = [
        element(
            "tr",
            element("td", step.step.words, class_="step"),
            element("td", _short(step.detail), class_="v dim"),
            element("td", f"+{fine_duration(step.start - timeline.start)}", class_="n dim"),
            element("td", fine_duration((step.end or step.start) - step.start), class_="n"),
        )
        for step in row.steps
    ]
    return element("table", element("caption", "Steps"), together(rows))


def _values(change: Change) -> Markup:
    if change.sensitive:
        return element("td", _SECRET[change.kind], class_="secret")
    before, after = _value_code(change.before), _value_code(change.after)
    if change.kind is ChangeKind.ADDED:
        return element("td", after)
    if change.kind is ChangeKind.REMOVED:
        return element("td", element("s", before), " removed")
    return element("td", before, " \N{RIGHTWARDS ARROW} ", after)


def _value_code(value: str | None) -> Markup:
    return element("code", _short(value) if value else '""', class_="v")


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({len(text)} characters)"
