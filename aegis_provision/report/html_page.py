"""A run as one page that needs nothing besides itself: no script, no font, no request."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.playbook.budget import budget_of
from aegis_provision.report.apply_report import (
    MOST_URGENT_FIRST,
    WORDS,
    group_results,
    needs_attention,
)
from aegis_provision.report.console import fine_duration
from aegis_provision.report.html_hosts import HostSections, groups_of
from aegis_provision.report.html_markup import Markup, element
from aegis_provision.report.html_timeline import chart, timeline_of
from aegis_provision.rollout.results import INTERRUPTED_EXIT_CODE, Status
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.report.html_timeline import HostRow, Timeline
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.rollout.run_state import RunState

_MOST_NAMES = 24
_MANY_HOSTS = 60
_MANY_CHANGES = 8000
_FILTERS = {
    "bad": "Needs attention",
    "done": "Written",
    "same": "Unchanged",
    "left": "Not attempted",
}


def render_page(state: RunState, about: Mapping[str, str] | None = None) -> str:
    """Return the page of the run whose ``state`` is given, with times since the epoch.

    ``about`` is what else the reader should know, by title: the playbook, who ran it. The page
    holds no secret since no event does.
    """
    timeline = timeline_of(state)
    title = f"Run {timeline.state.run}" if timeline.state.run else "Run that never began"
    sections = (
        _header(timeline, title, about or {}),
        _attention(timeline),
        chart(timeline),
        _hosts(timeline),
        _keys(timeline),
    )
    return whole_page(title, sections)


def whole_page(title: str, sections: Iterable[Markup | None]) -> str:
    """Return a page of ``sections``, in the one style that all pages have."""
    style = (resources.files("aegis_provision.report") / "page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        _policy(style),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{title} - aegis-provision"),
        element("style", Markup(style)),
    )
    footer = element("footer", f"Written by aegis-provision {__version__}. Holds no secrets.")
    body = element("body", element("main", *sections, footer))
    page = element("html", head, body, lang="en")
    return f"<!DOCTYPE html>\n{page.text}\n"


def _policy(style: str) -> Markup:
    """Return the policy that lets the browser take this very style, and nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element("meta", http_equiv="Content-Security-Policy", content=rules)


def _header(timeline: Timeline, title: str, about: Mapping[str, str]) -> Markup:
    state = timeline.state
    words, tone = _verdict(timeline)
    facts = {
        "Started": f"{datetime.fromtimestamp(timeline.start, UTC):%Y-%m-%d %H:%M:%S} UTC",
        "Took": fine_duration(timeline.end - timeline.start),
        "Hosts": str(len(state.schedule.hosts) if state.schedule else 0),
        "Exit code": "none" if state.exit_code is None else str(state.exit_code),
        **about,
    }
    counts = Counter(result.status for result in state.results)
    tiles = [
        element("li", element("b", str(counts[status])), words_of, class_=status.value)
        for status, words_of in WORDS.items()
        if counts[status]
    ]
    return element(
        "header",
        element("p", "aegis-provision", class_="brand"),
        element("h1", title),
        element("p", element("span", words, class_=f"verdict {tone}".strip())),
        fact_list(facts),
        element("ul", *tiles, class_="tiles") if tiles else None,
        _budget(timeline),
    )


def fact_list(facts: Mapping[str, str]) -> Markup:
    """Return what is to be known of a run or a plan, each fact with its title."""
    pairs = [
        element("div", element("dt", name), element("dd", value, class_="v"))
        for name, value in facts.items()
    ]
    return element("dl", *pairs, class_="facts")


def _verdict(timeline: Timeline) -> tuple[str, str]:
    state = timeline.state
    if state.exit_code is None:
        return "Cut off: this run has no end", "bad"
    if state.exit_code == INTERRUPTED_EXIT_CODE:
        return "Interrupted", "odd"
    if state.spent is not None:
        return "Stopped: too many hosts failed", "bad"
    bad = [item for item in state.results if not item.ok]
    if bad:
        return f"{counted(len(bad), 'host')} did not go well", "bad"
    if any(item.status is Status.RESTART_PENDING for item in state.results):
        return "All went well; restarts are pending", ""
    return "All went well", ""


def _budget(timeline: Timeline) -> Markup | None:
    spent, schedule = timeline.state.spent, timeline.state.schedule
    if spent is None or schedule is None:
        return None
    allowed = budget_of(schedule.plays[spent.play].play, len(schedule.hosts)).words
    words = (
        f"{spent.message} (allowed: {allowed})" if allowed not in spent.message else spent.message
    )
    return element("p", element("span", words, class_="v"), class_="card budget")


def _attention(timeline: Timeline) -> Markup | None:
    attention = _needing_attention(timeline)
    if not attention:
        return None
    numbers = _numbers(timeline)
    reasons = []
    for shared, names in group_results(attention):
        head = f"{WORDS[shared.status]} ({len(names)})" if len(names) > 1 else WORDS[shared.status]
        links = [element("a", name, href=f"#h{numbers[name]}") for name in names[:_MOST_NAMES]]
        listed = [part for link in links for part in (", ", link)][1:]
        if len(names) > _MOST_NAMES:
            listed.append(f" and {len(names) - _MOST_NAMES} more")
        reasons.append(
            element(
                "li",
                element(
                    "p",
                    element("b", head),
                    ": " if shared.message else "",
                    element("span", shared.message, class_="v"),
                ),
                _hint(shared),
                element("p", *listed, class_="name"),
                class_=f"card {shared.status.value}",
            )
        )
    heading = element("h2", f"{_FILTERS['bad']} ({len(attention)})", id="attention")
    return element("section", heading, element("ul", *reasons, class_="reasons"))


def _needing_attention(timeline: Timeline) -> list[HostResult]:
    """Return how the hosts ended that need attention, the most urgent first."""
    urgency = {status: place for place, status in enumerate(MOST_URGENT_FIRST)}
    attention = [item for item in timeline.state.results if needs_attention(item)]
    return sorted(attention, key=lambda item: urgency.get(item.status, len(urgency)))


def _hint(result: HostResult) -> Markup | None:
    if not result.hint:
        return None
    return element("p", "Try: ", element("span", result.hint, class_="v"), class_="dim")


def _numbers(timeline: Timeline) -> dict[str, int]:
    """Return for every host the number of the row that tells of its end."""
    numbers: dict[str, int] = {}
    for row in _rows(timeline):
        if row.host not in numbers or row.result is not None:
            numbers[row.host] = row.number
    return numbers


def _rows(timeline: Timeline) -> Iterable[HostRow]:
    return (row for batch in timeline.batches for row in batch.rows)


def _hosts(timeline: Timeline) -> Markup:
    rows = list(_rows(timeline))
    if not rows:
        return element("section", element("p", "No host was taken on."))
    attention = frozenset(item.host for item in _needing_attention(timeline))
    changes = sum(len(plan.changes) for plan in timeline.state.plans.values())
    sections = HostSections(timeline, attention, changes_once=changes > _MANY_CHANGES)
    folded = len(rows) > _MANY_HOSTS
    batches = [sections.batch(batch, folded=folded) for batch in timeline.batches]
    return element("section", element("h2", "Hosts"), _filters(rows, attention), *batches)


def _filters(rows: Sequence[HostRow], attention: frozenset[str]) -> Markup | None:
    """Return the buttons; each says how many hosts it shows, some of them in several plays."""
    shown = {(group, row.host) for row in rows for group in groups_of(row, attention)}
    counts = Counter(group for group, _ in shown)
    names = {"all": "All", **{key: name for key, name in _FILTERS.items() if counts[key]}}
    if len(names) <= 2:
        return None
    labels = [
        element(
            "label",
            element("input", type="radio", name="only", id=f"only-{key}", checked=key == "all"),
            f"{name} {len({row.host for row in rows}) if key == 'all' else counts[key]}",
        )
        for key, name in names.items()
    ]
    return element("fieldset", *labels, class_="filters", aria_label="Which hosts to show")


def _keys(timeline: Timeline) -> Markup | None:
    if not timeline.state.keys:
        return None
    items = [
        element(
            "li",
            element("span", event.host, class_="name"),
            f" {key.key_type} ",
            element("code", key.fingerprint),
        )
        for event in timeline.state.keys
        for key in event.keys
    ]
    return element(
        "section",
        element("h2", "Host keys taken on trust"),
        element("ul", *items, class_="card keys"),
    )
