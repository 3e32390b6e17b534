"""What an inventory script prints, as the inventory that would stand in a file.

Ansible's protocol ("Developing dynamic inventory"): ``--list`` prints groups, each a list of hosts
or a mapping with ``hosts``, ``children`` and ``vars``, and under ``_meta.hostvars`` the variables
of every host; without ``_meta`` they come from ``--host NAME``, one by one. Other tools
use such variables too, so ours are those under ``aegis`` and Ansible's own for the connection; all
others are ignored.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error, warning
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence, is_null
from aegis_provision.documents.quoting import quote, quote_some
from aegis_provision.inventory.ranges import is_range
from aegis_provision.inventory.shared_with_ansible import own_settings
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span

_META = "_meta"
_PARTS = ("hosts", "children", "vars")
_GROUP = (
    'write a group as {"hosts": [...], "children": [...], "vars": {...}}, or as a list of hosts'
)


def inventory_of(output: Node) -> tuple[Mapping, tuple[Diagnostic, ...]]:
    """Return the inventory that ``--list`` printed, and what is wrong with how it did.

    Every node keeps the place where it stands in the output. What is wrong with settings is found
    where those of all inventories are looked at.
    """
    converter = _Converter()
    return converter.inventory(output), tuple(converter.diagnostics)


def settings_of(variables: Node) -> tuple[Mapping, tuple[Diagnostic, ...]]:
    """Return the settings among what ``--host`` printed, and what is wrong with how it did."""
    converter = _Converter()
    if isinstance(variables, Mapping):
        return converter.settings(variables), tuple(converter.diagnostics)
    words = "a host's variables must be a mapping, and this is none"
    converter.diagnostics.append(error("wrong-type", words, variables.span, hint="print an object"))
    return Mapping((), variables.span), tuple(converter.diagnostics)


def hosts_to_ask(output: Node) -> tuple[str, ...]:
    """Return the hosts whose variables ``--list`` did not print: none where there is ``_meta``."""
    if not isinstance(output, Mapping) or output.entry(_META) is not None:
        return ()
    return tuple(dict.fromkeys(item.text for entry in output for item in _listed(entry.value)))


def _listed(group: Node) -> Iterator[Scalar]:
    hosts = group.entry("hosts") if isinstance(group, Mapping) else None
    node = hosts.value if hosts is not None else group
    if isinstance(node, Sequence):
        yield from (item for item in node.items if isinstance(item, Scalar))


@dataclass(slots=True)
class _Converter:
    diagnostics: list[Diagnostic] = field(default_factory=list)
    _variables: dict[str, Entry] = field(default_factory=dict)

    def inventory(self, output: Node) -> Mapping:
        """Return the groups in the shape of a file; each host's settings stand in one of them."""
        if not isinstance(output, Mapping):
            self._wrong(output.span, "an inventory must be a mapping of groups", _GROUP)
            return Mapping((), output.span)
        meta = output.entry(_META)
        if meta is not None:
            self._take_meta(meta.value)
        unused = dict(self._variables)
        groups = []
        for entry in output:
            if entry.key.text == _META:
                continue
            if entry.key.text == "providers":
                words = 'a group can\'t be called "providers": that is where recipes stand'
                hint = "rename the group; recipes go into a file of their own, beside it with -i"
                self.diagnostics.append(error("bad-name", words, entry.key.span, hint=hint))
                continue
            groups.append(Entry(entry.key, self._group(entry, unused)))
        self._not_listed(unused)
        return Mapping(tuple(groups), output.span)

    def settings(self, variables: Mapping) -> Mapping:
        """Return our settings among ``variables``; those under our own name are the stronger."""
        settings, found = own_settings(variables)
        self.diagnostics.extend(found)
        return settings

    def _take_meta(self, meta: Node) -> None:
        found = meta.entry("hostvars") if isinstance(meta, Mapping) else None
        if found is None and isinstance(meta, Mapping):
            return
        hint = 'write "_meta": {"hostvars": {"host": {...}}}'
        if found is None or not isinstance(found.value, Mapping):
            place = found.value if found is not None else meta
            self._wrong(place.span, '"_meta" must hold a mapping "hostvars"', hint)
            return
        for entry in found.value:
            if isinstance(entry.value, Mapping):
                self._variables[entry.key.text] = entry
            elif not is_null(entry.value):
                words = f"the variables of {quote(entry.key.text)} must be a mapping"
                self._wrong(entry.value.span, words, hint)

    def _group(self, group: Entry, unused: dict[str, Entry]) -> Node:
        name, body = quote(group.key.text), group.value
        if isinstance(body, Sequence):
            return Mapping((_entry("hosts", self._hosts(body, unused)),), body.span)
        if is_null(body):
            return body
        if not isinstance(body, Mapping) or (
            body.entries and not any(body.entry(part) for part in _PARTS)
        ):
            self._wrong(
                body.span, f"the group {name} is neither a list of hosts nor a group", _GROUP
            )
            return Mapping((), body.span)
        parts = []
        for entry in body:
            part = entry.key.text
            if part == "vars" and isinstance(entry.value, Mapping):
                parts.append(Entry(entry.key, self.settings(entry.value)))
            elif part in {"hosts", "children"} and isinstance(entry.value, Sequence):
                names = self._hosts if part == "hosts" else self._children
                parts.append(Entry(entry.key, names(entry.value, unused)))
            elif part in _PARTS and not is_null(entry.value):
                kind = "a mapping" if part == "vars" else "a list of names"
                self._wrong(
                    entry.value.span, f'"{part}" of the group {name} must be {kind}', _GROUP
                )
            elif part not in _PARTS and (hint := did_you_mean(part, _PARTS)):
                words = f"{quote(part)} of the group {name} means nothing here"
                self.diagnostics.append(warning("unknown-key", words, entry.key.span, hint=hint))
        return Mapping(tuple(parts), body.span)

    def _hosts(self, listed: Sequence, unused: dict[str, Entry]) -> Mapping:
        entries: dict[str, Entry] = {}
        for key in self._names(listed):
            if is_range(key.text):
                words = f"{quote(key.text)} can't be a host's name"
                hint = "a script names each host by itself, not as a range"
                self.diagnostics.append(error("bad-name", words, key.span, hint=hint))
                continue
            # Said once: a host that stands in several groups has its settings from one place.
            variables = unused.pop(key.text, None)
            body: Node = _nothing(key.span)
            if variables is not None and isinstance(variables.value, Mapping):
                body = self.settings(variables.value)
            entries.setdefault(key.text, Entry(key, body))
        return Mapping(tuple(entries.values()), listed.span)

    def _children(self, listed: Sequence, _: object) -> Mapping:
        entries = {key.text: Entry(key, _nothing(key.span)) for key in self._names(listed)}
        return Mapping(tuple(entries.values()), listed.span)

    def _names(self, listed: Sequence) -> Iterator[Scalar]:
        for item in listed.items:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item
            else:
                self._wrong(
                    item.span, "a name must be text, and this is not", "put quotes around it"
                )

    def _not_listed(self, unused: dict[str, Entry]) -> None:
        """Warn of variables whose host is in no group: to Ansible and to us it is no host."""
        if not unused:
            return
        first = next(iter(unused.values()))
        self.diagnostics.append(
            warning(
                "unused-variables",
                f'"_meta" has variables of {quote_some(list(unused))}, and no group lists '
                f"{'that host' if len(unused) == 1 else 'these hosts'}",
                first.key.span,
                hint='list them under a group, such as "ungrouped"',
            )
        )

    def _wrong(self, span: Span, words: str, hint: str) -> None:
        self.diagnostics.append(error("wrong-type", words, span, hint=hint))


def _nothing(span: Span) -> Scalar:
    return Scalar(None, "", plain=True, span=span)


def _entry(name: str, value: Node) -> Entry:
    return Entry(Scalar(name, name, plain=False, span=value.span), value)
