"""The inventory as text: a list, a tree of groups, one host's settings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.report.console import name_lines, visible
from aegis_provision.report.ranges import folded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.model import Host, Inventory, Setting

_PIN = "(pin)"


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
    """Return the tree of groups; hosts of one group stand together by provider."""
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
    members = [member for member in inventory.members(name) if member in wanted]
    provider = group.settings.get("provider")
    chosen = f"  provider: {provider.value}" if provider is not None else ""
    indent = "  " * depth
    count = f"{len(members)} host" + ("" if len(members) == 1 else "s")
    lines.append(Text(f"{indent}@{name}  ({count}){chosen}", style="bold"))
    own = [host for host in group.hosts if host in wanted]
    for label, names in _by_provider(inventory, own).items():
        lines.append(Text(f"{indent}  {label}", style="cyan"))
        lines.extend(
            Text(indent) + line for line in name_lines(folded(names), max(40, width - len(indent)))
        )
    for child in group.children:
        _add_group(inventory, child, wanted, depth + 1, width, lines)


def _by_provider(inventory: Inventory, names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        host = inventory.hosts[name]
        label = f"{_provider(host)} {_PIN}" if host.pinned else _provider(host)
        found.setdefault(label, []).append(name)
    sizes = Counter({label: len(group) for label, group in found.items()})
    return {f"{label}: {sizes[label]}": group for label, group in found.items()}


def host_lines(host: Host) -> list[Text]:
    """Return every setting of ``host`` with the place that set it."""
    settings: dict[str, Setting] = dict(host.settings)
    if host.provider is not None:
        settings["provider"] = host.provider
    settings.update(host.overrides)
    settings.update({f"env.{name}": item for name, item in host.env.items()})
    groups = ", ".join(host.groups) or "none"
    lines = [Text(host.name, style="bold"), Text(f"  groups: {groups}")]
    if not settings:
        return lines
    width = max(len(name) for name in settings)
    lines.extend(
        Text(f"  {name:<{width}}  {_shown(item.value)}  ({item.holder}, {item.span})")
        for name, item in settings.items()
    )
    lines.extend(
        Text(f"  {item.key:<{width}}  ignored: set farther away than the provider ({item.span})")
        for item in host.ignored
    )
    return lines


def _provider(host: Host) -> str:
    return str(host.provider.value) if host.provider is not None else "-"


def _shown(value: str | int | bool | tuple[str, ...]) -> str:
    return visible(", ".join(value) if isinstance(value, tuple) else str(value))
