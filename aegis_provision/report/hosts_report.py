"""The inventory: as text (a list, a tree of groups, one host's settings) and for Ansible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from aegis_provision.humanize import counted, escape_control, group_pairs
from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.pins import pin_of
from aegis_provision.inventory.ranges import compress
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.report.console import name_lines, origin_text, pin_text, setting_text
from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.inventory.host import Group, Host, Inventory, Setting
    from aegis_provision.inventory.settings import Value

_PIN_WORD = "pin"
_PIN = f"({_PIN_WORD})"
_NARROWEST = 40
_LONGEST_REASON = 40
_AEGIS = "aegis"
_ANSIBLES_NAME = {key: alias for alias, key in reversed(ALIASES.items())}


def list_lines(
    inventory: Inventory, chosen: Sequence[str], *, with_others: bool = False
) -> list[Text]:
    """Return a line for each chosen host: name, provider, pin mark, groups.

    With ``with_others`` a line follows for each host that has no settings of ours.
    """
    others = inventory.others if with_others else {}
    if not chosen and not others:
        return [Text("No hosts.")]
    name_width = max(map(len, (*chosen, *others)))
    provider_width = max((len(_provider(inventory.hosts[name])) for name in chosen), default=1)
    lines = []
    for name in chosen:
        host = inventory.hosts[name]
        mark = _PIN if host.pinned else ""
        text = (
            f"{name:<{name_width}}  {_provider(host):<{provider_width}}  "
            f"{mark:<{len(_PIN)}}  {', '.join(host.groups)}"
        )
        lines.append(Text(text.rstrip(), style="bold" if host.pinned else ""))
    for name, groups in others.items():
        text = (
            f"{escape_control(name):<{name_width}}  {'-':<{provider_width}}  "
            f"{'':<{len(_PIN)}}  {', '.join(groups)}"
        )
        lines.append(Text(text.rstrip(), style="dim"))
    return lines


def graph_lines(inventory: Inventory, chosen: Sequence[str], width: int) -> list[Text]:
    """Return the tree of groups, with the hosts of each by provider, pins apart."""
    shown = set(chosen)
    members = inventory.members_by_group()
    lines: list[Text] = []
    nested = {child for group in inventory.groups.values() for child in group.children}
    roots = ["all", *(name for name in inventory.groups if name != "all" and name not in nested)]
    for name in roots:
        _add_group(inventory, members, name, shown, 0, width, lines)
    return lines


def _add_group(
    inventory: Inventory,
    members: Mapping[str, Sequence[str]],
    name: str,
    shown: set[str],
    depth: int,
    width: int,
    lines: list[Text],
) -> None:
    group = inventory.groups[name]
    hosts = [inventory.hosts[host] for host in members[name] if host in shown]
    pins = sum(host.pinned for host in hosts)
    provider = group.settings.get("provider")
    indent = "  " * depth
    count = counted(len(hosts), "host") + (f", {counted(pins, 'pin')}" if pins else "")
    chosen = f"  provider: {escape_control(str(provider.value))}" if provider is not None else ""
    lines.append(Text(f"{indent}@{name}  ({count}){chosen}", style="bold"))
    own = [inventory.hosts[host] for host in group.hosts if host in shown]
    for label, names in _by_provider(own).items():
        style = "cyan" if _PIN_WORD in label else ""
        room = max(_NARROWEST, width - len(indent))
        lines.extend(
            Text(indent, style=style) + line for line in labelled_names(label, names, room)
        )
    for child in group.children:
        _add_group(inventory, members, child, shown, depth + 1, width, lines)


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
            f"  ({origin_text(item.holder, item.span)})"
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


def hosts_document(inventory: Inventory, chosen: Sequence[str]) -> Document:
    """Return ``chosen`` hosts and all groups in the shape of Ansible's dynamic inventory protocol.

    Connection settings have Ansible's names, so that Ansible can read it; all others stand under
    the variable ``aegis``. As with ``ansible-inventory --export`` groups and hosts have only their
    own settings: this tool reads it back as the same fleet, with the same pins, but without the
    recipes, for which the protocol has no place.

    The schema name stands in ``_meta``, because each top-level key of the protocol is a group. So
    do each host's provider, pin and groups, under ``resolved``.
    """
    shown = set(chosen)
    hosts = [inventory.hosts[name] for name in chosen]
    content: Document = {
        "_meta": {
            "schema": "aegis-provision/hosts/v1",
            "hostvars": {host.name: _variables(_own(host)) for host in hosts},
            "resolved": {host.name: _resolved(host) for host in hosts},
        }
    }
    for group in inventory.groups.values():
        content[group.name] = _group(group, shown)
    return content


def host_document(host: Host) -> Document:
    """Return the ``host`` document: what ``--host`` prints, its groups' settings included.

    A token is the reference that the inventory holds, never its value.
    """
    return document("host", _variables(host.effective()))


def _group(group: Group, shown: set[str]) -> Document:
    return {
        "hosts": [name for name in group.hosts if name in shown],
        "children": list(group.children),
        "vars": _variables(group.settings.values()),
    }


def _resolved(host: Host) -> Document:
    return {
        "provider": host.provider.value if host.provider is not None else None,
        "pinned": host.pinned,
        "groups": list(host.groups),
    }


def _own(host: Host) -> Iterable[Setting]:
    """Return what the host's own entries set: nothing is nearer, so all of that counts.

    What Ansible filled in stands with the host too: what its group's come to for another host may
    be something else.
    """
    return (
        item
        for item in host.effective()
        if item.holder_kind == "host" or not item.span.source.numbered
    )


def _variables(settings: Iterable[Setting]) -> Document:
    found: Document = {}
    nested: Document = {}
    env: Document = {}
    for item in settings:
        if item.key in _ANSIBLES_NAME:
            found[_ANSIBLES_NAME[item.key]] = _value(item.value)
        elif item.key.startswith(ENV_PREFIX):
            env[item.key.removeprefix(ENV_PREFIX)] = _value(item.value)
        else:
            nested[item.key] = _value(item.value)
    if env:
        nested["env"] = env
    return {**found, _AEGIS: nested} if nested else found


def _value(value: Value | None) -> Any:
    if isinstance(value, tuple):
        return list(value) or "none"
    return value
