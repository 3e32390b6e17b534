"""The text of an inventory: YAML that a person would have written, of values that are given."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.nodes import plain_value
from aegis_provision.documents.scalars import scalar_text
from aegis_provision.humanize import blank_control
from aegis_provision.inventory.groups import ALL
from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.inventory.pins import PIN_KEYS
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from aegis_provision.importing.result import ImportedFleet, ImportedSettings
    from aegis_provision.inventory.host import Host, Inventory, Setting

_WIDTH = 100
_STEP = "  "
_DIGITS = re.compile(r"[1-9][0-9]*")
_REPLACED = frozenset({*OVERRIDE_KEYS, "provider", *PIN_KEYS})


def inventory_text(
    inventory: Inventory,
    fleet: ImportedFleet,
    left_out: Mapping[str, str],
    beside: Collection[str],
) -> str:
    """Return ``inventory`` with what ``fleet`` says of providers in the place of its own.

    Groups and all other settings stay; recipes too. Hosts in ``left_out`` become comments that
    say why. Settings of the files ``beside`` are left where they are: they apply to the new file
    as well.
    """
    return "\n".join(_Writer(inventory, fleet, left_out, beside).lines()) + "\n"


@dataclass(slots=True)
class _Writer:
    inventory: Inventory
    fleet: ImportedFleet
    left_out: Mapping[str, str]
    beside: Collection[str]
    _written: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the whole file."""
        recipes = self._recipes()
        if recipes:
            yield from _block({"providers": recipes}, "")
        groups = self.inventory.groups
        yield f"{ALL}:"
        yield from self._group(ALL, "  ")
        children = [name for name in groups if name != ALL]
        if children:
            yield "  children:"
        for name in children:
            yield f"    {scalar_text(name)}:"
            yield from self._group(name, "      ")
            below = groups[name].children
            if below:
                yield "      children:"
                yield from (f"        {scalar_text(child)}:" for child in below)

    def _recipes(self) -> dict[str, object]:
        recipes: dict[str, object] = {
            name: plain_value(entry.body) for name, entry in self.inventory.providers.items()
        }
        for recipe in self.fleet.recipes:
            values = _with_number(recipe.values)
            recipes[recipe.name] = {**values, "allow_http": True} if recipe.allow_http else values
        return recipes

    def _group(self, name: str, indent: str) -> Iterator[str]:
        group = self.inventory.groups[name]
        settings = self._kept(group.settings.values())
        if name == ALL:
            settings = {**_provider_settings(self.fleet.common), **settings}
        if settings:
            yield from _block({"vars": settings}, indent)
        if group.hosts:
            yield f"{indent}hosts:"
        for host in group.hosts:
            yield from self._host(self.inventory.hosts[host], indent + _STEP)

    def _host(self, host: Host, indent: str) -> Iterator[str]:
        written = host.name in self._written
        self._written.add(host.name)
        settings: dict[str, object] = {}
        if not written:
            own = [
                item
                for item in host.settings.values()
                if item.holder_kind == "host" or not item.span.source.numbered
            ]
            settings = self._kept(own)
        reason = self.left_out.get(host.name)
        if reason is not None:
            if not written:
                yield f"{indent}# left out: {blank_control(reason)}"
                tail = f" {_flow(settings)}" if settings else ""
                yield f"{indent}# {scalar_text(host.name)}:{tail}"
            return
        if host.name not in self.fleet.own:
            return
        if not written:
            settings = {**_provider_settings(self.fleet.own[host.name]), **settings}
        yield from _block({host.name: settings or None}, indent)

    def _kept(self, settings: Collection[Setting]) -> dict[str, object]:
        return {
            item.key: _plain(item)
            for item in settings
            if item.key not in _REPLACED
            and not item.key.startswith(ENV_PREFIX)
            and item.span.source.name not in self.beside
        }


def _provider_settings(settings: ImportedSettings) -> dict[str, object]:
    return {
        **({"provider": settings.provider} if settings.provider else {}),
        **_with_number(settings.overrides),
        **({"env": dict(settings.env)} if settings.env else {}),
    }


def _with_number(values: Mapping[str, str]) -> dict[str, object]:
    """Return ``values`` with the timeout as a number, if it is one."""
    timeout = values.get("timeout_ms", "")
    return {**values, "timeout_ms": int(timeout)} if _DIGITS.fullmatch(timeout) else {**values}


def _plain(setting: Setting) -> object:
    value = setting.value
    if isinstance(value, tuple):
        return list(value) if value else "none"
    return value


def _block(content: Mapping[str, object], indent: str) -> Iterator[str]:
    """Yield the lines of a mapping; what is short and simple in it stands on one line."""
    for key, value in content.items():
        head = f"{indent}{scalar_text(key)}:"
        if value is None:
            yield head
        elif not isinstance(value, dict):
            yield f"{head} {_value(value, flow=False)}"
        elif _is_flat(value) and len(head) + len(flow := _flow(value)) < _WIDTH:
            yield f"{head} {flow}"
        else:
            yield head
            yield from _block(value, indent + _STEP)


def _is_flat(content: Mapping[str, object]) -> bool:
    return not any(isinstance(item, dict) for item in content.values()) and len(content) <= 4


def _flow(content: Mapping[str, object]) -> str:
    pairs = (
        f"{scalar_text(key, flow=True)}: {_value(value, flow=True)}"
        for key, value in content.items()
    )
    return "{" + ", ".join(pairs) + "}"


def _value(value: object, *, flow: bool) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(item, flow=True) for item in value) + "]"
    if isinstance(value, dict):
        return _flow(value)
    return scalar_text(value if isinstance(value, int) else str(value), flow=flow)
