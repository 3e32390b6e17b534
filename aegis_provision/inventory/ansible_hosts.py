"""Hosts and groups as Ansible has them: each value keeps the group or host that it comes from.

As in Ansible the variable ``aegis`` of the nearest group replaces that of the others whole, unless
it merges mappings. Which group that is follows Ansible's order of groups (its documentation, "How
variables are merged"), and is checked by what it says the value is: a ``group_vars`` file counts
for more than what stands in the inventory, and its output does not tell the two apart.
"""

from __future__ import annotations

import json
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aegis_provision.documents.diagnostic import LITERAL_SECRET, error, warning
from aegis_provision.documents.json_reader import read_json
from aegis_provision.documents.nodes import Entry, Mapping, Source, Span
from aegis_provision.documents.quoting import quote
from aegis_provision.inventory.ansible_output import PRIORITY, VAULTED
from aegis_provision.inventory.ansible_variables import (
    ALIASES,
    CONNECTIONS,
    HARMLESS_VALUES,
    stronger_names,
)
from aegis_provision.inventory.host import Setting
from aegis_provision.inventory.settings import Declared, SettingsReader, boolean_of
from aegis_provision.inventory.shared_with_ansible import OURS, own_settings
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Mapping as MappingOf

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.files import InputFile

_ALL = "all"
_ENV = "env"
# The defaults: of our connection, and of Ansible's configuration where its files say nothing.
_DEFAULT_CONNECTIONS = frozenset({"ssh", "smart"})
_DEFAULTS = {"ansible_become_user": "root", "ansible_become_method": "sudo"}
_CONNECTION = "ansible_connection"
_OFFERED = frozenset({"ssh", "local"})
_BECOME, _BECOME_USER = "ansible_become", "ansible_become_user"


class Holder(NamedTuple):
    """Who has a variable: a group or a host by its name, or Ansible's configuration."""

    kind: Literal["host", "group", "configuration"]
    name: str

    def __str__(self) -> str:
        return f"ansible: {self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True, eq=False)
class AnsibleHost:
    """A host that is ours: its settings, whose each one is, and what they replaced.

    ``body`` is what stands for it in a file; hosts with the same settings share it. ``lost`` are
    the settings of an ``aegis`` that another one replaced, where they are not set any more.
    """

    name: str
    span: Span
    body: Mapping
    holders: MappingOf[Source, Holder]
    replaced: tuple[Setting, ...]
    host_vars: str

    def declared(self, found: Iterable[Declared]) -> Iterator[Declared]:
        """Yield what was read of ``body``, with the holder of each setting and what it beat.

        It beat no name that is stronger to Ansible: where it counts, that one was hidden.
        """
        for item in found:
            holder = self.holders.get(item.span.source)
            if holder is None:
                yield item
                continue
            kind: Literal["host", "group"] = "host" if holder.kind == "host" else "group"
            name = holder.name or _ALL
            winner = (item.key, kind, name, item.written)
            beaten = tuple(
                setting
                for setting in self.replaced
                if setting.key == item.key
                and setting.written not in stronger_names(item.written)
                and (setting.key, setting.holder_kind, setting.holder, setting.written) != winner
            )
            yield replace(item, holder=name, holder_kind=kind, overrode=beaten)


@dataclass(frozen=True, slots=True, eq=False)
class AnsibleInventory:
    """What Ansible's inventory comes to.

    ``groups`` maps names to their hosts that are ours, and to their children. ``others`` maps the
    hosts without settings of ours to the groups in which they stand. Ansible ``merges`` mappings of
    several places, or replaces them.
    """

    span: Span
    groups: MappingOf[str, tuple[tuple[str, ...], tuple[str, ...]]]
    hosts: tuple[AnsibleHost, ...]
    others: MappingOf[str, tuple[str, ...]]
    diagnostics: tuple[Diagnostic, ...]
    merges: bool


def read_ansible_document(file: InputFile) -> AnsibleInventory:
    """Return the inventory in the document that :mod:`.ansible_output` makes."""
    source = Source(file.name, "", numbered=False)
    return _Converter(Span(source, 1, 1, 1, 1), json.loads(file.data)).inventory()


@dataclass(slots=True)
class _Converter:
    span: Span
    content: dict[str, Any]
    diagnostics: dict[Diagnostic, None] = field(default_factory=dict)
    _parents: dict[str, list[str]] = field(default_factory=dict)
    _direct: dict[str, list[str]] = field(default_factory=dict)
    _depths: dict[str, int] = field(default_factory=dict)
    _above: dict[tuple[str, ...], tuple[Holder, ...]] = field(default_factory=dict)
    _nodes: dict[tuple[Holder, str], Mapping] = field(default_factory=dict)
    _bodies: dict[tuple[int, ...], Mapping] = field(default_factory=dict)
    _settings: dict[Holder, tuple[Setting, ...]] = field(default_factory=dict)
    _holders: dict[Source, Holder] = field(default_factory=dict)
    _vaulted: dict[tuple[Holder, str], list[str]] = field(default_factory=dict)

    def inventory(self) -> AnsibleInventory:
        """Convert all of it."""
        groups = self.content["groups"]
        for name, group in groups.items():
            for child in group["children"]:
                self._parents.setdefault(child, []).append(name)
            for host in group["hosts"]:
                self._direct.setdefault(host, []).append(name)
        variables = self._reachable(self.content["variables"])
        hosts = tuple(
            self._host(name, variables[name]) for name in self.content["hosts"] if name in variables
        )
        return AnsibleInventory(
            self.span,
            {
                name: (
                    tuple(host for host in group["hosts"] if host in variables),
                    tuple(group["children"]),
                )
                for name, group in groups.items()
            },
            hosts,
            {
                name: tuple(self._direct.get(name, ()))
                for name in self.content["hosts"]
                if name not in variables
            },
            (*self.diagnostics, *self._out_of_vaults()),
            self.content["merges"],
        )

    def _out_of_vaults(self) -> Iterator[Diagnostic]:
        for (holder, name), hosts in self._vaulted.items():
            yield error(
                LITERAL_SECRET,
                f"{quote(f'{_ENV}.{name}')} ({holder}) comes out of a vault: what is under "
                f"'{_ENV}' is shown, and a secret never stands in an inventory",
                hint="write a reference there as plain text, such as ${GATEWAY_KEY}, and keep the "
                "value in your environment",
                hosts=tuple(hosts),
            )

    def _reachable(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the hosts less those that Ansible reaches in another way than we could.

        Where a group of all has settings of ours, Windows and network devices may be in it.
        """
        elsewhere: dict[str, list[str]] = {}
        for name, found in variables.items():
            ours = found.get(OURS)
            if isinstance(ours, dict) and "connection" in ours:
                continue
            configured = self.content["configuration"].get(_CONNECTION)
            chosen = str(found.get(_CONNECTION, configured) or "")
            if chosen and CONNECTIONS.get(chosen, chosen) not in _OFFERED:
                elsewhere.setdefault(chosen, []).append(name)
        for chosen, names in elsewhere.items():
            left = warning(
                "not-ours",
                f"Ansible connects with {quote(chosen)}, which is not offered here, so that "
                f"{'it is' if len(names) == 1 else 'they are'} left out",
                hosts=tuple(names),
            )
            self.diagnostics[left] = None
        left_out = {name for names in elsewhere.values() for name in names}
        return {name: found for name, found in variables.items() if name not in left_out}

    def _host(self, name: str, found: dict[str, Any]) -> AnsibleHost:
        candidates = self._candidates(name)
        body = self._body(candidates, _as_ansible_becomes(found, self.content["configuration"]))
        self._look_for_vaults(name, candidates, found.get(OURS))
        replaced = tuple(setting for holder in candidates for setting in self._settings_of(holder))
        host_vars = self.content["host_vars"].get(name, "")
        return AnsibleHost(name, self.span, body, self._holders, replaced, host_vars)

    def _look_for_vaults(self, host: str, candidates: tuple[Holder, ...], ours: object) -> None:
        """Remember which session variables of ``host`` are encrypted where they stand."""
        if not isinstance(ours, dict) or not isinstance(ours.get(_ENV), dict):
            return
        for name, value in ours[_ENV].items():
            path = (OURS, _ENV, name) if self.content["merges"] else (OURS,)
            holder = self._winner(candidates, path, value if self.content["merges"] else ours)
            if VAULTED in _at(self._declared(holder), (OURS, _ENV, name)):
                self._vaulted.setdefault((holder, name), []).append(host)

    def _candidates(self, host: str) -> tuple[Holder, ...]:
        """Return who may have a variable of ``host``: as Ansible ranks them, strongest first."""
        direct = tuple(self._direct.get(host, ()))
        groups = self._above.get(direct)
        if groups is None:
            names = {_ALL}
            pending = list(direct)
            while pending:
                name = pending.pop()
                if name not in names:
                    names.add(name)
                    pending.extend(self._parents.get(name, ()))
            ranked = sorted(names, key=self._rank, reverse=True)
            groups = self._above[direct] = tuple(Holder("group", name) for name in ranked)
        return (Holder("host", host), *groups)

    def _rank(self, group: str) -> tuple[int, int, str]:
        priority = self._declared(Holder("group", group)).get(PRIORITY, 1)
        return self._depth(group), priority if isinstance(priority, int) else 1, group

    def _depth(self, group: str) -> int:
        if group not in self._depths:
            self._depths[group] = 0  # ends a circle, which Ansible refuses
            parents = self._parents.get(group, ())
            self._depths[group] = 1 + max(map(self._depth, parents)) if parents else 0
        return self._depths[group]

    def _declared(self, holder: Holder) -> MappingOf[str, Any]:
        found: MappingOf[str, Any] = self.content["declared"][f"{holder.kind}s"].get(
            holder.name, {}
        )
        return found

    def _body(
        self, candidates: tuple[Holder, ...], found: tuple[dict[str, Any], dict[str, Any]]
    ) -> Mapping:
        """Return a mapping of a host's settings, each of which stands in a text of its holder."""
        variables, configured = found
        parts: dict[Holder, dict[str, Any]] = {}
        ours: dict[Holder, dict[str, Any]] = {}
        for name, value in variables.items():
            if name == OURS and self.content["merges"] and isinstance(value, dict):
                for path, item in _leaves(value):
                    holder = self._winner(candidates, (OURS, *path), item)
                    _put(ours.setdefault(holder, {}), path, item)
            else:
                parts.setdefault(self._winner(candidates, (name,), value), {})[name] = value
        for holder, merged in ours.items():
            parts.setdefault(holder, {})[OURS] = merged
        if configured:
            parts[Holder("configuration", "")] = configured
        parts = parts or {Holder("group", _ALL): {}}
        nodes = [self._node(holder, part) for holder, part in parts.items()]
        key = tuple(map(id, nodes))
        body = self._bodies.get(key)
        if body is None:
            body = self._bodies[key] = self._joined(nodes)
        return body

    def _joined(self, nodes: list[Mapping]) -> Mapping:
        entries = [entry for node in nodes for entry in node]
        ours = [entry for entry in entries if entry.key.text == OURS]
        if len(ours) > 1:
            settings: dict[str, Entry] = {}
            for entry in ours:
                for item in entry.value if isinstance(entry.value, Mapping) else ():
                    known = settings.get(item.key.text)
                    settings[item.key.text] = item if known is None else _both(known, item)
            merged = Mapping(tuple(settings.values()), ours[0].value.span)
            entries = [entry for entry in entries if entry.key.text != OURS]
            entries.insert(0, Entry(ours[0].key, merged))
        taken, problems = own_settings(Mapping(tuple(entries), nodes[0].span))
        self.diagnostics.update(dict.fromkeys(problems))
        return taken

    def _winner(self, candidates: tuple[Holder, ...], path: tuple[str, ...], value: Any) -> Holder:
        """Return whose value it is: the strongest of those that say so, or may say so."""
        holding = [
            (holder, written)
            for holder in candidates
            for written in _at(self._declared(holder), path)
        ]
        for fits in (lambda written: written == value, _is_open):
            for holder, written in holding:
                if fits(written):
                    return holder
        return holding[0][0] if holding else Holder("group", _ALL)

    def _node(self, holder: Holder, variables: dict[str, Any]) -> Mapping:
        text = json.dumps(variables, ensure_ascii=False)
        node = self._nodes.get((holder, text))
        if node is None:
            read, problems = read_json(str(holder), text.encode(), numbered=False)
            self.diagnostics.update(dict.fromkeys(problems))
            if not isinstance(read, Mapping):
                read, _ = read_json(str(holder), b"{}", numbered=False)
            if not isinstance(read, Mapping):
                raise TypeError("an empty object is a mapping")
            node = self._nodes[holder, text] = read
            self._holders[node.span.source] = holder
        return node

    def _settings_of(self, holder: Holder) -> tuple[Setting, ...]:
        """Return what ``holder`` says for itself, as far as it can be read without Ansible."""
        found = self._settings.get(holder)
        if found is None:
            declared = dict(self._declared(holder))
            declared.pop(PRIORITY, None)
            found = ()
            if declared:
                taken, _ = own_settings(self._node(holder, declared))
                found = tuple(
                    Setting(
                        item.key, item.value, item.span, holder.name,
                        "host" if holder.kind == "host" else "group", written=item.written,
                    )
                    for item in SettingsReader().read(taken, 0)
                    if not item.is_unset
                )  # fmt: skip
            self._settings[holder] = found
        return found


def _as_ansible_becomes(
    found: dict[str, Any], configuration: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a host's variables, and what Ansible's configuration adds where they say nothing.

    To Ansible a ``become_user`` alone does not mean to become another user.
    """
    named = {ALIASES.get(name, name) for name in found}
    added = {
        name: value
        for name, value in configuration.items()
        if ALIASES.get(name, name) not in named
        and value != _DEFAULTS.get(name)
        and str(value).lower() not in {*HARMLESS_VALUES.get(name, ()), *_DEFAULT_CONNECTIONS}
    }
    ours = found.get(OURS)
    becomes = found.get(_BECOME, configuration.get(_BECOME))
    if isinstance(ours, dict) and "become" in ours:
        becomes = ours["become"]
    if boolean_of(becomes) is True:
        return found, added
    found = {name: value for name, value in found.items() if name != _BECOME_USER}
    return found, {name: value for name, value in added.items() if not name.startswith(_BECOME)}


def _leaves(ours: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each setting with the keys that lead to it: those of ``env`` are one by one."""
    for key, value in ours.items():
        if key == _ENV and isinstance(value, dict):
            yield from (((key, name), item) for name, item in value.items())
        else:
            yield (key,), value


def _put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *above, last = path
    for key in above:
        into = into.setdefault(key, {})
    into[last] = value


def _both(first: Entry, second: Entry) -> Entry:
    """Return an ``env`` with what two places say of it."""
    entries = [
        item
        for entry in (first, second)
        if isinstance(entry.value, Mapping)
        for item in entry.value
    ]
    return Entry(first.key, Mapping(tuple(entries), first.value.span))


def _at(variables: Any, path: tuple[str, ...]) -> list[Any]:
    """Return the value that ``path`` leads to, as the one item of a list, or none."""
    for key in path:
        if not isinstance(variables, dict) or key not in variables:
            return []
        variables = variables[key]
    return [variables]


def _is_open(written: Any) -> bool:
    """Tell whether what was written only becomes a value: a template, or what is encrypted."""
    if isinstance(written, dict):
        return any(map(_is_open, written.values()))
    if isinstance(written, list):
        return any(map(_is_open, written))
    return isinstance(written, str) and (written == VAULTED or "{{" in written or "{%" in written)
