"""The templates in host settings, each checked once where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.providers.resolve import template_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.source import Span
    from aegis_provision.inventory.host import Host, Inventory, Setting

_CHECKED = frozenset({*OVERRIDE_KEYS, "api_token"})


def setting_problems(inventory: Inventory) -> Iterator[Diagnostic]:
    """Yield what is wrong with the templates in all settings of groups and hosts.

    That includes settings which something nearer to the host overrides: a secret that is
    written down is one whether it counts or not. Each place is told once; its hosts are those
    for which it counts.
    """
    places = _Places()
    for group in inventory.groups.values():
        for key, setting in group.settings.items():
            places.add(key, setting, ())
    shared: dict[tuple[int, ...], tuple[Host, list[str]]] = {}
    for host in inventory.hosts.values():
        identity = (id(host.overrides), id(host.env), id(host.ignored), id(host.settings))
        shared.setdefault(identity, (host, []))[1].append(host.name)
    for host, names in shared.values():
        for key, setting in host.overrides.items():
            places.add(key, setting, names)
        for name, setting in host.env.items():
            places.add("env." + name, setting, names)
        for setting in host.ignored:
            places.add(setting.key, setting, ())
        token = host.settings.get("api_token")
        if token is not None:
            places.add("api_token", token, names)
    yield from places.findings()


@dataclass(slots=True)
class _Places:
    """Settings by where they stand, with the hosts for which they count."""

    _values: dict[tuple[str, Span], str] = field(default_factory=dict)
    _hosts: dict[tuple[str, Span], dict[str, None]] = field(default_factory=dict)

    def add(self, key: str, setting: Setting, hosts: Iterable[str]) -> None:
        """Take a setting, and what it overrode and agrees with, which count for no host."""
        if key not in _CHECKED and not key.startswith("env."):
            return
        self._add_one(key, setting, hosts)
        for other in (*setting.overrode, *setting.agreeing):
            self._add_one(key, other, ())

    def _add_one(self, key: str, setting: Setting, hosts: Iterable[str]) -> None:
        if isinstance(setting.value, str | int) and not isinstance(setting.value, bool):
            place = (key, setting.span)
            self._values[place] = str(setting.value)
            self._hosts.setdefault(place, {}).update(dict.fromkeys(hosts))

    def findings(self) -> Iterator[Diagnostic]:
        """Yield each place's findings."""
        for place, template in self._values.items():
            key, span = place
            for found in template_problems(key, template, span):
                yield replace(found, hosts=tuple(self._hosts[place]))
