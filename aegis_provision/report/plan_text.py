"""A plan as text: what would change, host by host and in sum, with secrets masked."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.grouping import group_by, group_pairs
from aegis_provision.humanize import escape_control
from aegis_provision.inventory.host_lists import compress, truncate
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
from aegis_provision.report.console import name_lines
from aegis_provision.report.text import UNKNOWN, pin_words

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

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
_SUMMARY = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.UNCHANGED: "unchanged",
    Action.ERROR: "in error",
    Action.UNREACHABLE: "unreachable",
}
_LISTED = 8
_FEW_LISTED = 4
_NAME_WIDTH = 30
_LONGEST_VALUE = 200
_SCREEN = 40


@dataclass(frozen=True, slots=True)
class _Alike:
    """Hosts whose plans differ in nothing but the host's name, its warnings, and perhaps the path.

    ``path`` is that of all: where they differ, what they have in common around ``...``. ``pin`` is
    what is said of the pins of all.
    """

    plan: HostPlan
    hosts: tuple[str, ...]
    path: str
    pin: str


@dataclass(frozen=True, slots=True)
class _Looks:
    width: int
    every_host: bool
    as_diff: bool
    dense: bool = False

    @property
    def most_names(self) -> int:
        """How many names, or ranges of them, are listed of hosts that need no attention."""
        return _FEW_LISTED if self.dense else _LISTED


def plan_lines(
    plans: Sequence[HostPlan], *, width: int, every_host: bool = False, as_diff: bool = False
) -> list[Text]:
    """Return the lines that show ``plans``.

    Hosts with the same plan are shown together, at the place of the first; a warning that is not
    about exactly those stands at the end, once, with its hosts. Where all of it fills more than a
    screen, changes share lines, and what stays the same is left out, as are the reasons of pins
    where hosts that are alike have several. ``every_host`` names each host and each path without
    abridging, and gives each change its line; ``as_diff`` shows changes as a unified diff.
    """
    looks = _Looks(width, every_host=every_host, as_diff=as_diff)
    lines = _all_lines(plans, looks)
    if len(lines) > _SCREEN and not every_host and not as_diff:
        lines = _all_lines(plans, replace(looks, dense=True))
    return [*lines, summary_line(plans)]


def _warnings(plans: Sequence[HostPlan]) -> dict[str, tuple[str, ...]]:
    """Return each warning with the hosts that it is about."""
    groups = group_pairs((words, plan.host) for plan in plans for words in plan.warnings)
    return {words: tuple(dict.fromkeys(hosts)) for words, hosts in groups.items()}


def _all_lines(plans: Sequence[HostPlan], looks: _Looks) -> list[Text]:
    groups, warnings = _grouped(plans, looks), _warnings(plans)
    lines: list[Text] = []
    told: set[str] = set()
    for alike in groups:
        own = [words for words, hosts in warnings.items() if hosts == alike.hosts]
        told.update(own)
        lines.extend(_group_lines(alike, own, looks))
    for words, hosts in warnings.items():
        if words not in told:
            lines.append(Text(f"warning: {escape_control(words)}", style="magenta"))
            names = hosts if looks.every_host else truncate(hosts, looks.most_names)
            lines.extend(name_lines(names, looks.width))
    return lines


def summary_line(plans: Sequence[HostPlan]) -> Text:
    """Return the plan in one line, in sum."""
    counts = Counter(plan.action for plan in plans)
    parts = [f"{counts[action]} {words}" for action, words in _SUMMARY.items() if counts[action]]
    owed = sum(plan.restart_owed for plan in plans)
    if owed:
        parts.append(f"{owed} owed a restart")
    unknown = sum(bool(plan.unknown) for plan in plans)
    if unknown:
        parts.append(f"{unknown} with tokens {UNKNOWN}")
    return Text("Plan: " + (", ".join(parts) if parts else "no hosts"), style="bold")


def _grouped(plans: Sequence[HostPlan], looks: _Looks) -> list[_Alike]:
    groups = group_by(plans, lambda plan: _group_key(plan, looks))
    return [
        _Alike(
            group[0],
            tuple(plan.host for plan in group),
            _common([plan.path for plan in group]),
            _pin_of(group[0]) if len({_pin_of(plan) for plan in group}) == 1 else "",
        )
        for group in groups.values()
    ]


def _group_key(plan: HostPlan, looks: _Looks) -> Hashable:
    return (
        plan.action,
        plan.provider,
        bool(plan.pin),
        "" if looks.dense else _pin_of(plan),
        plan.path if looks.every_host else None,
        plan.changes,
        plan.same,
        plan.unknown,
        plan.message,
        plan.hint,
        plan.restart_owed,
    )


def _pin_of(plan: HostPlan) -> str:
    """Return what is said of a host's pin beside that there is one, empty where nothing is."""
    if plan.pin is None or not (plan.pin.until or plan.pin.reason):
        return ""
    return pin_words(plan.pin)


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


def _group_lines(alike: _Alike, warnings: Sequence[str], looks: _Looks) -> list[Text]:
    plan, style = alike.plan, _STYLE[alike.plan.action]
    lines = _headline(alike, looks)
    if alike.pin:
        lines.append(Text(f"    {escape_control(alike.pin)}", style="dim"))
    if plan.message:
        lines.append(Text(f"    {escape_control(plan.message)}", style=style))
    if plan.restart_owed:
        lines.append(Text("    restart owed: Aegis has not started since the file came", "cyan"))
    if plan.hint:
        lines.append(Text(f"    try: {escape_control(plan.hint)}"))
    if looks.as_diff and plan.changes:
        lines.extend(_diff_lines(alike))
    elif looks.dense:
        lines.extend(_dense_lines(plan, looks.width))
    else:
        lines.extend(_change_line(change) for change in plan.changes)
        lines.extend(
            Text(f"    ? {name:<{_NAME_WIDTH}}(secret) {UNKNOWN}", style="dim")
            for name in plan.unknown
        )
        if plan.changes and plan.same:
            lines.append(Text(f"    = same: {', '.join(plan.same)}", style="dim"))
    lines.extend(Text(f"    warning: {escape_control(item)}", style="magenta") for item in warnings)
    return lines


def _headline(alike: _Alike, looks: _Looks) -> list[Text]:
    plan, style = alike.plan, _STYLE[alike.plan.action]
    label = f"{_SIGN[plan.action]} {plan.action:<12}"
    pin = " (pin)" if plan.pin else ""
    tail = f"  [{plan.provider}{pin}]  {escape_control(alike.path)}"
    names = list(alike.hosts) if looks.every_host else compress(alike.hosts)
    if plan.action is Action.UNCHANGED and not looks.every_host:
        names = truncate(alike.hosts, looks.most_names)
    line = f"{label}{', '.join(names)}{tail}"
    if len(alike.hosts) == 1 or (looks.dense and len(line) <= looks.width):
        return [Text(line, style=style)]
    head = Text(f"{label}{len(alike.hosts)} hosts{tail}", style=style)
    return [head, *name_lines(names, looks.width)]


def _change_line(change: Change) -> Text:
    sign = _CHANGE_SIGN[change.kind]
    return Text(
        f"    {sign} {change.key:<{_NAME_WIDTH}}{_change_words(change)}",
        style=_CHANGE_STYLE[change.kind],
    )


def _dense_lines(plan: HostPlan, width: int) -> list[Text]:
    """Return the changes of ``plan`` and nothing else, as many to a line as fit on it."""
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
        return _shown(change.after)
    if change.after is None:
        return f"{_shown(change.before)} removed"
    return f"{_shown(change.before)} -> {_shown(change.after)}"


def _shown(value: str | None) -> str:
    if not value:
        return '""'
    if len(value) > _LONGEST_VALUE:
        value = f"{value[:_LONGEST_VALUE]}... ({len(value)} characters)"
    return escape_control(value)


def _diff_lines(alike: _Alike) -> list[Text]:
    plan, path = alike.plan, escape_control(alike.path)
    before = "/dev/null" if plan.action is Action.CREATE else path
    lines = [Text(f"    --- {before}", style="bold"), Text(f"    +++ {path}", style="bold")]
    for change in plan.changes:
        if change.kind is not ChangeKind.ADDED:
            old = "(secret)" if change.sensitive else _shown(change.before)
            lines.append(Text(f"    -{change.key}: {old}", style="red"))
        if change.kind is not ChangeKind.REMOVED:
            new = f"(secret, {_SECRET_WORD[change.kind]})"
            new = new if change.sensitive else _shown(change.after)
            lines.append(Text(f"    +{change.key}: {new}", style="green"))
    lines.extend(Text(f"     {name}: (same)", style="dim") for name in plan.same)
    lines.extend(Text(f"     {name}: (secret, {UNKNOWN})", style="dim") for name in plan.unknown)
    return lines
