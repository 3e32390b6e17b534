"""A plan as one page that needs nothing besides itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.inventory.ranges import compress
from aegis_provision.planning.plan import Action
from aegis_provision.report.console import UNKNOWN
from aegis_provision.report.html_hosts import changes_table, warning_paragraph
from aegis_provision.report.html_markup import Markup, element
from aegis_provision.report.html_page import fact_list, whole_page
from aegis_provision.report.plan_report import (
    SUMMARY,
    WORST_FIRST,
    groups_worst_first,
    verdict,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.report.plan_report import PlanGroup

_TONES = {
    Action.ERROR: "failed",
    Action.UNREACHABLE: "unreachable",
    Action.CREATE: "applied",
    Action.UPDATE: "restart_pending",
    Action.UNCHANGED: "unchanged",
}
"""The class that gives an action its colour."""

_MANY_GROUPS = 40
_MANY_NAMES = 40
_RESTART_OWED = "Restart owed: Aegis has not started since the file came."


def render_plan_page(plans: Sequence[HostPlan], about: Mapping[str, str]) -> str:
    """Return the page of ``plans``; ``about`` is what else the reader should know, by title.

    Hosts with the same plan are one part of it: what can't be planned first, what does not change
    last. It holds no secret, as no change does.
    """
    groups = groups_worst_first(plans)
    folded = len(groups) > _MANY_GROUPS
    parts = [_group(group, folded=folded) for group in groups]
    hosts = element("section", element("h2", "Hosts"), *parts) if parts else None
    return whole_page("Plan", [_header(plans, about), _warnings(plans), hosts])


def _header(plans: Sequence[HostPlan], about: Mapping[str, str]) -> Markup:
    counts = Counter(plan.action for plan in plans)
    words = verdict(plans)
    bad = any(plan.action.is_failure for plan in plans)
    tiles = [
        element("li", element("b", str(counts[action])), SUMMARY[action], class_=_TONES[action])
        for action in WORST_FIRST
        if counts[action]
    ]
    return element(
        "header",
        element("p", "aegis-provision", class_="brand"),
        element("h1", "Plan"),
        element(
            "p",
            element(
                "span", words[0].upper() + words[1:], class_="verdict bad" if bad else "verdict"
            ),
        ),
        fact_list({"Hosts": str(len(plans)), **about}),
        element("ul", *tiles, class_="tiles") if tiles else None,
    )


def _warnings(plans: Sequence[HostPlan]) -> Markup | None:
    warnings = warnings_of(plans)
    if not warnings:
        return None
    items = [
        element("li", warning_paragraph(words), _names(hosts), class_="card")
        for words, hosts in warnings.items()
    ]
    heading = element("h2", f"Warnings ({len(warnings)})")
    return element("section", heading, element("ul", *items, class_="reasons"))


def _group(group: PlanGroup, *, folded: bool) -> Markup:
    plan = group.plan
    summary = element(
        "summary",
        element("i", class_="dot"),
        f" {group.title} ",
        element("span", group.provider, class_="dim v"),
    )
    told = [
        element("p", group.pin, class_="v dim") if group.pin else None,
        element("p", plan.message, class_="v") if plan.message else None,
        element("p", "Try: ", element("span", plan.hint, class_="v")) if plan.hint else None,
        element("p", _RESTART_OWED) if plan.restart_pending else None,
        changes_table(plan.changes, group.path) if plan.changes else None,
        element("p", f"{UNKNOWN}: {', '.join(plan.unknown)}", class_="dim")
        if plan.unknown
        else None,
    ]
    is_open = plan.action.is_failure or (plan.action is not Action.UNCHANGED and not folded)
    return element(
        "details",
        summary,
        element("div", _names(group.hosts), *told, class_="inside"),
        class_=f"card batch {_TONES[plan.action]}",
        open=is_open,
    )


def _names(hosts: Sequence[str]) -> Markup:
    """Return the names of ``hosts``; more than a few lines of them are folded."""
    names = compress(hosts)
    shown = element("p", ", ".join(names), class_="name")
    if len(names) <= _MANY_NAMES:
        return shown
    return element("details", element("summary", counted(len(hosts), "host")), shown)
