"""Files that Ansible reads too: which mappings are ours, and which variables in the others.

A mapping of variables is read in one of three ways:

- With an ``aegis`` in it, it belongs to Ansible: our settings are those under ``aegis``, and
  Ansible's own for the connection. All else is ignored.
- With our settings alone it is ours, and a name that is not ours is an error.
- Without ``aegis`` and with other names it belongs to Ansible too, if Ansible shares the inventory
  (:func:`is_shared`); and in any inventory, if it is a file of ``group_vars`` or ``host_vars``
  in which nothing could be a setting of ours. Of such a mapping Ansible's connection
  variables count, and nothing else.
"""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.diagnostic import error, note, warning
from aegis_provision.documents.did_you_mean import did_you_mean, is_slip
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence, is_null
from aegis_provision.documents.quoting import quote, quote_some
from aegis_provision.inventory.ansible_variables import ALIASES, VARIABLE_PREFIX
from aegis_provision.packaged_files import load_schema
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Mapping as MappingOf

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span

OURS = "aegis"
"""The variable of a host or group that holds our settings."""

_MOST_NAMED = 3
_SHORTEST_BEGINNING = 5


def is_setting(name: str) -> bool:
    """Tell whether ``name`` is a setting of ours."""
    return name in _settings()


def _settings() -> MappingOf[str, Any]:
    found: MappingOf[str, Any] = load_schema("inventory")["$defs"]["vars"]["properties"]
    return found


def is_slip_of_setting(name: str) -> bool:
    """Tell whether ``name`` is most likely a setting of ours: misspelt, or not written out."""
    return bool(_meant(name)) or (
        len(name) >= _SHORTEST_BEGINNING
        and any(setting.startswith(name) for setting in _settings())
    )


def has_own_settings(node: Node, *, is_inventory: bool) -> bool:
    """Tell whether any mapping of variables in ``node`` has our settings under ``aegis``."""
    if not isinstance(node, Mapping):
        return False
    if not is_inventory:
        return node.entry(OURS) is not None
    return any(variables.entry(OURS) is not None for variables in all_variables(node))


def all_variables(inventory: Mapping) -> Iterator[Mapping]:
    """Yield each mapping of variables in an inventory: of groups, and of hosts."""
    groups = [entry.value for entry in inventory if entry.key.text != "providers"]
    while groups:
        group = groups.pop()
        for part in group if isinstance(group, Mapping) else ():
            if part.key.text == "vars" and isinstance(part.value, Mapping):
                yield part.value
            elif part.key.text in {"hosts", "children"} and isinstance(part.value, Mapping):
                below = [entry.value for entry in part.value]
                if part.key.text == "children":
                    groups.extend(below)
                else:
                    yield from (body for body in below if isinstance(body, Mapping))


def own_settings(variables: Mapping) -> tuple[Mapping, tuple[Diagnostic, ...]]:
    """Return our settings among the variables of others, and what is wrong with them.

    That is what stands under ``aegis``, and Ansible's variables as far as it does not say the same.
    """
    ours = variables.entry(OURS)
    own: tuple[Entry, ...] = ()
    diagnostics: list[Diagnostic] = []
    if ours is None:
        diagnostics.extend(_misspelt(variables))
    elif isinstance(ours.value, Mapping):
        own = ours.value.entries
    elif not is_null(ours.value):
        words = f'"{OURS}" must be a mapping of our settings'
        hint = 'write {"provider": "glm", ...}'
        if isinstance(ours.value, Scalar) and ours.value.text.lstrip().startswith("{"):
            # What remains of it where a line of an INI inventory has no quotes around it.
            hint = """put quotes around it on the host's line: aegis='{"provider": "glm", ...}'"""
        diagnostics.append(error("wrong-type", words, ours.value.span, hint=hint))
    own_keys = {ALIASES.get(entry.key.text, entry.key.text) for entry in own}
    ansibles = tuple(
        entry
        for entry in variables
        if entry.key.text.startswith(VARIABLE_PREFIX)
        and ALIASES.get(entry.key.text) not in own_keys
    )
    span = ours.value.span if ours is not None else variables.span
    return Mapping((*own, *ansibles), span), tuple(diagnostics)


def _misspelt(variables: Mapping) -> Iterator[Diagnostic]:
    for entry in variables:
        if (
            isinstance(entry.value, Mapping)
            and is_slip(entry.key.text, OURS)
            and any(is_setting(item.key.text) for item in entry.value)
        ):
            yield error(
                "unknown-key",
                f"{quote(entry.key.text)} holds settings of ours, which stand under {OURS}",
                entry.key.span,
                hint=did_you_mean(entry.key.text, (OURS,)),
            )


@dataclass(slots=True)
class VariableFilter:
    """Takes from files the settings that are for us; ``foreign`` is where the others stand.

    ``shared`` says that the inventory is Ansible's too. A diagnostic about a ``foreign`` text means
    nothing, unless it is about one of our ``own`` settings in it: a tag or a number that matters
    to Ansible alone is no mistake.
    """

    shared: bool
    diagnostics: list[Diagnostic] = field(default_factory=list)
    foreign: list[Span] = field(default_factory=list)
    own: list[Span] = field(default_factory=list)
    _foreign_files: list[Span] = field(default_factory=list)

    def inventory(self, node: Node) -> Node:
        """Return an inventory with what is for us in it."""
        if not isinstance(node, Mapping):
            return node
        groups = (
            entry if entry.key.text == "providers" else Entry(entry.key, self._group(entry.value))
            for entry in node
        )
        return Mapping(tuple(groups), node.span)

    def file(self, node: Node) -> Node:
        """Return what is for us in a file of ``group_vars`` or ``host_vars``."""
        if not isinstance(node, Mapping):
            return node
        return self._variables(node, is_file=True)

    def all_diagnostics(self) -> Iterator[Diagnostic]:
        """Yield what was found in all files."""
        yield from self.diagnostics
        if self._foreign_files:
            names = [span.source.name for span in self._foreign_files]
            many = len(names)
            more = f" and {many - _MOST_NAMED} more" if many > _MOST_NAMED else ""
            verb = "holds" if many == 1 else "hold"
            yield note(
                "foreign-variables",
                f"{', '.join(names[:_MOST_NAMED])}{more} {verb} no setting of ours, "
                "so that nothing of that is read but Ansible's connection variables",
            )

    def is_foreign(self, diagnostic: Diagnostic) -> bool:
        """Tell whether ``diagnostic`` is about text that is not for us."""
        span = diagnostic.span
        return (
            span is not None
            and any(place.holds(span) for place in self.foreign)
            and not any(place.holds(span) for place in self.own)
        )

    def _group(self, node: Node) -> Node:
        if not isinstance(node, Mapping):
            return node
        parts = []
        for entry in node:
            value = entry.value
            if isinstance(value, Mapping):
                match entry.key.text:
                    case "vars":
                        value = self._variables(value)
                    case "hosts":
                        value = _map_values(value, self._host)
                    case "children":
                        value = _map_values(value, self._group)
            parts.append(Entry(entry.key, value))
        return Mapping(tuple(parts), node.span)

    def _host(self, node: Node) -> Node:
        return self._variables(node) if isinstance(node, Mapping) else node

    def _variables(self, node: Mapping, *, is_file: bool = False) -> Mapping:
        if node.entry(OURS) is None and self._is_ours(node, is_file=is_file):
            for entry in node:
                self._record(entry)
            return node
        taken, found = own_settings(node)
        self.diagnostics.extend(found)
        self.foreign.append(node.span)
        for entry in taken:
            self._record(entry)
        return taken

    def _record(self, entry: Entry) -> None:
        if entry.key.text.startswith(VARIABLE_PREFIX) and entry.key.text not in ALIASES:
            self.foreign.append(entry.value.span)
        else:
            self.own.extend((entry.key.span, entry.value.span))

    def _is_ours(self, node: Mapping, *, is_file: bool) -> bool:
        """Tell whether a mapping without ``aegis`` is ours; say so where that may surprise."""
        if not self.shared and not is_file:
            return True
        plain = [entry for entry in node if not entry.key.text.startswith(VARIABLE_PREFIX)]
        known = [entry for entry in plain if is_setting(entry.key.text)]
        fitting = [entry for entry in known if _fits(entry.key.text, entry)]
        slips = [entry for entry in plain if entry not in known and _is_slip(entry)]
        if len(known) + len(slips) == len(plain) and (
            len(fitting) == len(known) or not self.shared or node.entry("provider") in fitting
        ):
            return True
        if not self.shared:
            if fitting or slips:
                return True
            self._foreign_files.append(node.span)
            return False
        if fitting:
            self.diagnostics.append(_not_read(fitting))
        return False


def _map_values(node: Mapping, change: Callable[[Node], Node]) -> Mapping:
    return Mapping(tuple(Entry(entry.key, change(entry.value)) for entry in node), node.span)


def _fits(name: str, entry: Entry) -> bool:
    """Tell whether the value of ``entry`` is of the kind that our setting ``name`` takes."""
    rules = _settings()[name]
    if "$ref" in rules:
        rules = load_schema("inventory")["$defs"][rules["$ref"].rpartition("/")[2]]
    kinds = rules["type"]
    if _kind_of(entry.value) not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    value = entry.value.value if isinstance(entry.value, Scalar) else None
    return "enum" not in rules or value in rules["enum"]


def _kind_of(node: Node) -> str:
    """Return the kind of a value, as JSON Schema calls it; ``null`` for what no setting takes."""
    if isinstance(node, Mapping):
        return "object"
    if isinstance(node, Sequence):
        return "array"
    if isinstance(node.value, bool):
        return "boolean"
    if isinstance(node.value, int):
        return "integer"
    return "string" if isinstance(node.value, str) else "null"


def _is_slip(entry: Entry) -> bool:
    """Tell whether ``entry`` is most likely a setting of ours, misspelt."""
    return any(_fits(name, entry) for name in _meant(entry.key.text))


@lru_cache(maxsize=4096)
def _meant(word: str) -> tuple[str, ...]:
    return tuple(name for name in _settings() if is_slip(word, name))


def _not_read(fitting: list[Entry]) -> Diagnostic:
    names = quote_some([entry.key.text for entry in fitting])
    verb = "is" if len(fitting) == 1 else "are"
    return warning(
        "not-ours",
        f"{names} {verb} not read: other names stand in the same place, so that they are "
        "taken for Ansible's variables",
        fitting[0].key.span,
        hint=f"put settings of ours under '{OURS}:' there",
        quotable=False,  # the other names may be of secrets
    )
