"""The inventory as text: a list, a tree of groups, one host's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.grouping import group_pairs
from aegis_provision.humanize import counted, escape_control
from aegis_provision.inventory.pins import pin_of
from aegis_provision.inventory.ranges import compress
from aegis_provision.report.console import name_lines
from aegis_provision.report.text import pin_text, setting_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.host import Host, Inventory

_PIN_WORD = "pin"
_PIN = f"({_PIN_WORD})"
_NARROWEST = 40
_LONGEST_REASON = 40


def list_lines(inventory: Inventory, chosen: Sequence[str]) -> list[Text]:
    """Return a line for each chosen host: name, provider, pin mark, groups."""
    if not chosen:
        return [Text("No hosts.")]
    name_width = max(len(name) for name in chosen)
    provider_width = max(len(_provider(inventory.hosts[name])) for name in chosen)
    lines = []
    for name in chosen:
        host = inventory.hosts[name]
        mark = _PIN if host.pinned else ""
        text = (
            f"{name:<{name_width}}  {_provider(host):<{provider_width}}  "
            f"{mark:<{len(_PIN)}}  {', '.join(host.groups)}"
        )
        lines.append(Text(text.rstrip(), style="bold" if host.pinned else ""))
    return lines


def graph_lines(inventory: Inventory, chosen: Sequence[str], width: int) -> list[Text]:
    """Return the tree of groups, with the hosts of each by provider, pins apart."""
    wanted = set(chosen)
    lines: list[Text] = []
    nested = {child for group in inventory.groups.values() for child in group.children}
    roots = ["all", *(name for name in inventory.groups if name != "all" and name not in nested)]
    for name in roots:
        _add_group(inventory, name, wanted, 0, width, lines)
    return lines


def _add_group(
    inventory: Inventory, name: str, wanted: set[str], depth: int, width: int, lines: list[Text]
) -> None:
    group = inventory.groups[name]
    members = [inventory.hosts[host] for host in inventory.members(name) if host in wanted]
    pins = sum(host.pinned for host in members)
    provider = group.settings.get("provider")
    indent = "  " * depth
    count = counted(len(members), "host") + (f", {counted(pins, 'pin')}" if pins else "")
    chosen = f"  provider: {escape_control(str(provider.value))}" if provider is not None else ""
    lines.append(Text(f"{indent}@{name}  ({count}){chosen}", style="bold"))
    own = [inventory.hosts[host] for host in group.hosts if host in wanted]
    for label, names in _by_provider(own).items():
        style = "cyan" if _PIN_WORD in label else ""
        room = max(_NARROWEST, width - len(indent))
        lines.extend(
            Text(indent, style=style) + line for line in labelled_names(label, names, room)
        )
    for child in group.children:
        _add_group(inventory, child, wanted, depth + 1, width, lines)


def _by_provider(hosts: Sequence[Host]) -> dict[str, list[str]]:
    """Return the names of ``hosts`` by provider, those that follow their groups first."""
    ordered = sorted(hosts, key=lambda host: host.pinned)
    groups = group_pairs((_provider_label(host), host.name) for host in ordered)
    return {f"{label}: {len(names)}": names for label, names in groups.items()}


def _provider_label(host: Host) -> str:
    pin = pin_of(host)
    if pin is None:
        return _provider(host)
    return f"{_provider(host)} ({pin_text(pin, longest_reason=_LONGEST_REASON)})"


def labelled_names(label: str, names: Sequence[str], width: int) -> list[Text]:
    """Return ``names`` as ranges, beside their label if both fit in one line, else below it."""
    shown = compress(names)
    line = f"  {escape_control(label)}  {', '.join(shown)}"
    if len(line) <= width:
        return [Text(line)]
    return [Text(f"  {escape_control(label)}"), *name_lines(shown, width)]


def host_lines(host: Host) -> list[Text]:
    """Return every setting of ``host`` with the place that set it."""
    settings = host.effective()
    groups = ", ".join(host.groups) or "none"
    lines = [Text(host.name, style="bold"), Text(f"  groups: {groups}")]
    width = max((len(item.key) for item in (*settings, *host.ignored)), default=0)
    lines.extend(
        Text(
            f"  {escape_control(item.key):<{width}}  {escape_control(setting_text(item.value))}"
            f"  ({item.holder}, {item.span})"
        )
        for item in settings
    )
    lines.extend(
        Text(f"  {item.key:<{width}}  ignored: set farther away than the provider ({item.span})")
        for item in host.ignored
    )
    return lines


def _provider(host: Host) -> str:
    return str(host.provider.value) if host.provider is not None else "-"
