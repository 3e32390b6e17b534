"""A plan, as text and as a JSON document; secrets are masked."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control, group_by, group_pairs
from aegis_provision.inventory.ranges import compress, truncate
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, change_content
from aegis_provision.report.console import (
    PLAIN_WIDTH,
    UNKNOWN,
    hint_lines,
    host_warning_lines,
    is_plain,
    name_lines,
    pin_text,
    play_title,
)
from aegis_provision.report.json_documents import Document, count_by_value, document, message_of
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from aegis_provision.inventory.pins import Pin
    from aegis_provision.playbook.plays import Schedule, ScheduledPlay

_SIGN = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.UNCHANGED: "=",
    Action.ERROR: "!",
    Action.UNREACHABLE: "?",
}
_STYLE = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.UNCHANGED: "dim",
    Action.ERROR: "bold red",
    Action.UNREACHABLE: "bold red",
}
_CHANGE_SIGN = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}
_CHANGE_STYLE = {
    ChangeKind.ADDED: "green",
    ChangeKind.CHANGED: "yellow",
    ChangeKind.REMOVED: "red",
}
_SECRET_WORD = {
    ChangeKind.ADDED: "set",
    ChangeKind.CHANGED: "changed",
    ChangeKind.REMOVED: "removed",
}
SUMMARY = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.UNCHANGED: "unchanged",
    Action.ERROR: "in error",
    Action.UNREACHABLE: "unreachable",
}
"""What hosts with an action are counted as."""

WORST_FIRST = (
    Action.ERROR,
    Action.UNREACHABLE,
    Action.CREATE,
    Action.UPDATE,
    Action.UNCHANGED,
)
"""The actions in the order of pages and comments: failures first, unchanged hosts last."""

_LISTED = 8
_FEW_LISTED = 4
_MANY_LISTED = 24
_NAME_WIDTH = 30
_LONGEST_VALUE = 200
_SCREEN = 40


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Hosts with the same plan, except for the host's name, its warnings, and perhaps the path.

    ``path`` is the common one; if paths differ, their common parts around ``...``. ``pin`` is the
    text of the common pin, empty if the pins differ.
    """

    plan: HostPlan
    hosts: tuple[str, ...]
    path: str
    pin: str

    @property
    def title(self) -> str:
        """Return what is planned for how many hosts: ``update: 3 hosts``."""
        return f"{self.plan.action}: {counted(len(self.hosts), 'host')}"

    @property
    def provider(self) -> str:
        """Return the hosts' provider, and whether it is a pin: ``glm (pin)``."""
        return f"{self.plan.provider} (pin)" if self.plan.pin else self.plan.provider


@dataclass(frozen=True, slots=True)
class _LineOptions:
    width: int
    every_host: bool
    as_diff: bool
    dense: bool = False

    @property
    def most_names(self) -> int:
        """How many names, or ranges of names, are listed of hosts that need no attention."""
        return _FEW_LISTED if self.dense else _LISTED


def plan_lines(
    plans: Sequence[HostPlan], *, width: int, every_host: bool = False, as_diff: bool = False
) -> list[Text]:
    """Return the lines that show ``plans``.

    Hosts with the same plan form a group, at the place of the first. A warning that concerns other
    hosts than one group's stands at the end, once, with its hosts. If the text fills more than a
    screen, changes share lines, unchanged variables are left out, and so are the reasons of pins
    that differ within a group. ``every_host`` names each host and path in full, with one change a
    line; ``as_diff`` shows changes as a unified diff.
    """
    options = _LineOptions(width, every_host=every_host, as_diff=as_diff)
    lines = _all_lines(plans, options)
    if len(lines) > _SCREEN and not every_host and not as_diff:
        lines = _all_lines(plans, replace(options, dense=True))
    return [*lines, summary_line(plans)]


def warnings_of(plans: Sequence[HostPlan]) -> dict[str, tuple[str, ...]]:
    """Return each warning of ``plans`` with its hosts."""
    groups = group_pairs((words, plan.host) for plan in plans for words in plan.warnings)
    return {words: tuple(dict.fromkeys(hosts)) for words, hosts in groups.items()}


def _all_lines(plans: Sequence[HostPlan], options: _LineOptions) -> list[Text]:
    groups, warnings = _grouped(plans, options), warnings_of(plans)
    lines: list[Text] = []
    shown: set[str] = set()
    for group in groups:
        own = [words for words, hosts in warnings.items() if hosts == group.hosts]
        shown.update(own)
        lines.extend(_group_lines(group, own, options))
    for words, hosts in warnings.items():
        if words not in shown:
            lines.append(Text(f"warning: {escape_control(words)}", style="magenta"))
            names = hosts if options.every_host else truncate(hosts, options.most_names)
            lines.extend(name_lines(names, options.width))
    return lines


def warning_lines(plans: Sequence[HostPlan]) -> list[Text]:
    """Return what ``plans`` warn of, without the plans: each warning once, with its hosts."""
    return [
        Text(escape_control(f"warning: {', '.join(truncate(hosts, _MANY_LISTED))}: {words}"))
        for words, hosts in warnings_of(plans).items()
    ]


def summary_line(plans: Sequence[HostPlan]) -> Text:
    """Return the plan's summary line."""
    parts = [f"{number} {words}" for words, number in summary_counts(plans).items() if number]
    return Text("Plan: " + (", ".join(parts) if parts else "no hosts"), style="bold")


def summary_counts(plans: Sequence[HostPlan]) -> dict[str, int]:
    """Return how many hosts there are of each kind, by the words for it: ``{"to update": 3}``."""
    counts = Counter(plan.action for plan in plans)
    return {
        **{words: counts[action] for action, words in SUMMARY.items()},
        "owed a restart": sum(plan.restart_pending for plan in plans),
        f"with tokens {UNKNOWN}": sum(bool(plan.unknown) for plan in plans),
    }


def verdict(plans: Sequence[HostPlan]) -> str:
    """Return how many hosts are to be written and how many can't be planned, in a few words."""
    changes = sum(plan.action in {Action.CREATE, Action.UPDATE} for plan in plans)
    words = f"{counted(changes, 'host')} to write" if changes else "nothing to write"
    bad = sum(plan.action.is_failure for plan in plans)
    return f"{words}, {bad} can't be planned" if bad else words


def groups_worst_first(plans: Sequence[HostPlan]) -> list[PlanGroup]:
    """Return the groups of hosts with the same plan, in the order of :data:`WORST_FIRST`.

    Of those with one action the largest is first.
    """
    groups = _grouped(plans, _LineOptions(PLAIN_WIDTH, every_host=False, as_diff=True))
    return sorted(groups, key=lambda it: (WORST_FIRST.index(it.plan.action), -len(it.hosts)))


def _grouped(plans: Sequence[HostPlan], options: _LineOptions) -> list[PlanGroup]:
    groups = group_by(plans, lambda plan: _group_key(plan, options))
    return [
        PlanGroup(
            group[0],
            tuple(plan.host for plan in group),
            _common([plan.path for plan in group]),
            _pin_of(group[0]) if len({_pin_of(plan) for plan in group}) == 1 else "",
        )
        for group in groups.values()
    ]


def _group_key(plan: HostPlan, options: _LineOptions) -> Hashable:
    return (
        plan.action,
        plan.provider,
        bool(plan.pin),
        "" if options.dense else _pin_of(plan),
        plan.path if options.every_host else None,
        plan.changes,
        plan.same,
        plan.unknown,
        plan.message,
        plan.hint,
        plan.restart_pending,
    )


def _pin_of(plan: HostPlan) -> str:
    """Return the text of a host's pin, empty if it has neither an end nor a reason."""
    if plan.pin is None or not (plan.pin.until or plan.pin.reason):
        return ""
    return pin_text(plan.pin)


def _common(paths: Sequence[str]) -> str:
    parts = [path.split("/") for path in paths]
    head = _same_parts(parts)
    if all(len(part) == len(head) for part in parts):
        return paths[0]
    tail = _same_parts([part[len(head) :][::-1] for part in parts])[::-1]
    return "/".join([*head, "...", *tail])


def _same_parts(paths: Sequence[Sequence[str]]) -> list[str]:
    return [
        parts[0]
        for parts in itertools.takewhile(
            lambda parts: len(set(parts)) == 1, zip(*paths, strict=False)
        )
    ]


def _group_lines(group: PlanGroup, warnings: Sequence[str], options: _LineOptions) -> list[Text]:
    plan = group.plan
    lines = _headline(group, options)
    if group.pin:
        lines.append(Text(f"    {escape_control(group.pin)}", style="dim"))
    lines.extend(group_message_lines(group))
    if options.as_diff and plan.changes:
        lines.extend(diff_lines(group))
    elif options.dense:
        lines.extend(_dense_lines(plan, options.width))
    else:
        lines.extend(_change_line(change) for change in plan.changes)
        lines.extend(
            Text(f"    ? {name:<{_NAME_WIDTH}}(secret) {UNKNOWN}", style="dim")
            for name in plan.unknown
        )
        if plan.changes and plan.same:
            lines.append(Text(f"    = same: {', '.join(plan.same)}", style="dim"))
    return [*lines, *host_warning_lines(warnings)]


def group_message_lines(group: PlanGroup) -> list[Text]:
    """Return what is said of a group beside its changes: why, and what to do next."""
    plan = group.plan
    lines: list[Text] = []
    if plan.message:
        lines.append(Text(f"    {escape_control(plan.message)}", style=_STYLE[plan.action]))
    if plan.restart_pending:
        lines.append(Text("    restart owed: Aegis has not started since the file came", "cyan"))
    return [*lines, *hint_lines(plan.hint)]


def _headline(group: PlanGroup, options: _LineOptions) -> list[Text]:
    plan, style = group.plan, _STYLE[group.plan.action]
    label = f"{_SIGN[plan.action]} {plan.action:<12}"
    tail = f"  [{group.provider}]  {escape_control(group.path)}"
    names = list(group.hosts) if options.every_host else compress(group.hosts)
    if plan.action is Action.UNCHANGED and not options.every_host:
        names = truncate(group.hosts, options.most_names)
    line = f"{label}{', '.join(names)}{tail}"
    if len(group.hosts) == 1 or (options.dense and len(line) <= options.width):
        return [Text(line, style=style)]
    head = Text(f"{label}{len(group.hosts)} hosts{tail}", style=style)
    return [head, *name_lines(names, options.width)]


def _change_line(change: Change) -> Text:
    sign = _CHANGE_SIGN[change.kind]
    return Text(
        f"    {sign} {change.key:<{_NAME_WIDTH}}{_change_words(change)}",
        style=_CHANGE_STYLE[change.kind],
    )


def _dense_lines(plan: HostPlan, width: int) -> list[Text]:
    """Return the changes of ``plan`` alone, as many on a line as fit."""
    pieces = [
        Text(
            f"{_CHANGE_SIGN[change.kind]} {change.key} {_change_words(change)}",
            style=_CHANGE_STYLE[change.kind],
        )
        for change in plan.changes
    ]
    lines: list[Text] = []
    for piece in pieces:
        if lines and len(lines[-1]) + len("  ") + len(piece) <= width:
            lines[-1] = lines[-1] + Text("  ") + piece
        else:
            lines.append(Text("    ") + piece)
    return lines


def _change_words(change: Change) -> str:
    if change.sensitive:
        return f"(secret) {_SECRET_WORD[change.kind]}"
    if change.before is None:
        return _value_text(change.after)
    if change.after is None:
        return f"{_value_text(change.before)} removed"
    return f"{_value_text(change.before)} -> {_value_text(change.after)}"


def _value_text(value: str | None) -> str:
    if not value:
        return '""'
    if len(value) > _LONGEST_VALUE:
        value = f"{value[:_LONGEST_VALUE]}... ({len(value)} characters)"
    return escape_control(value)


def diff_lines(group: PlanGroup) -> list[Text]:
    """Return a group's changes as a unified diff of session variables, secrets masked."""
    plan, path = group.plan, escape_control(group.path)
    before = "/dev/null" if plan.action is Action.CREATE else path
    lines = [Text(f"    --- {before}", style="bold"), Text(f"    +++ {path}", style="bold")]
    for change in plan.changes:
        if change.kind is not ChangeKind.ADDED:
            old = "(secret)" if change.sensitive else _value_text(change.before)
            lines.append(Text(f"    -{change.key}: {old}", style="red"))
        if change.kind is not ChangeKind.REMOVED:
            new = f"(secret, {_SECRET_WORD[change.kind]})"
            new = new if change.sensitive else _value_text(change.after)
            lines.append(Text(f"    +{change.key}: {new}", style="green"))
    lines.extend(Text(f"     {name}: (same)", style="dim") for name in plan.same)
    lines.extend(Text(f"     {name}: (secret, {UNKNOWN})", style="dim") for name in plan.unknown)
    return lines


def plan_document(plans: Sequence[HostPlan]) -> Document:
    """Return the ``plan`` document. A sensitive change has ``null`` on both sides."""
    return document(
        "plan",
        {
            "hosts": [host_plan_content(plan) for plan in plans],
            "summary": count_by_value(Action, (plan.action for plan in plans)),
        },
    )


def host_plan_content(plan: HostPlan) -> Document:
    """Return one host's plan as it stands in a document."""
    return {
        "host": plan.host,
        "provider": plan.provider,
        "pin": None if plan.pin is None else _pin_content(plan.pin),
        "path": plan.path,
        "action": plan.action.value,
        "changes": [change_content(change) for change in plan.changes],
        "unknown": list(plan.unknown),
        "message": message_of(plan.message, plan.hint),
        "warnings": list(plan.warnings),
        "restart_owed": plan.restart_pending,
    }


def _pin_content(pin: Pin) -> Document:
    day = pin.last_day
    return {"until": None if day is None else day.isoformat(), "reason": pin.reason}


def schedule_document(schedule: Schedule) -> Document:
    """Return the ``schedule`` document: the hosts of a run, in plays and batches."""
    body = {"plays": schedule_content(schedule), "hosts": list(schedule.hosts)}
    return document("schedule", body)


def schedule_content(schedule: Schedule) -> list[Document]:
    """Return the plays of a schedule as they stand in a document, each with its batches."""
    return [
        {
            "name": scheduled.play.name,
            "pattern": scheduled.play.hosts,
            "serial": [str(share) for share in scheduled.play.serial],
            "max_fail": str(scheduled.play.max_fail),
            "pause": scheduled.play.pause,
            "batches": [list(batch) for batch in scheduled.batches],
        }
        for scheduled in schedule.plays
    ]


def schedule_lines(schedule: Schedule) -> list[Text]:
    """Return the hosts one a line, under their plays and batches where there are several."""
    if is_plain(schedule) and len(schedule.plays[0].batches) <= 1:
        return [Text(name) for name in schedule.hosts]
    lines: list[Text] = []
    for index, scheduled in enumerate(schedule.plays):
        lines.extend(_play_lines(schedule, index, scheduled))
    return lines


def _play_lines(schedule: Schedule, index: int, scheduled: ScheduledPlay) -> list[Text]:
    title = escape_control(play_title(schedule, index))
    hosts, batches = len(scheduled.hosts), len(scheduled.batches)
    tail = f" in {counted(batches, 'batch')}" if batches > 1 else ""
    lines = [Text(f"{title}: {counted(hosts, 'host')}{tail}", style="bold")]
    for number, batch in enumerate(scheduled.batches, 1):
        if batches > 1:
            lines.append(Text(f"  Batch {number}/{batches}: {counted(len(batch), 'host')}"))
        lines.extend(Text(f"    {name}") for name in batch)
    return lines
