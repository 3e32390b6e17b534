"""Variables that are none of ours, in files of ours: one error for a file, which shows no value.

A key that is nearly one of ours keeps the error of its own, which names the one that was meant.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import LITERAL_SECRET, error
from aegis_provision.documents.nodes import Mapping
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import counted
from aegis_provision.inventory.ansible_variables import VARIABLE_PREFIX
from aegis_provision.inventory.shared_with_ansible import (
    all_variables,
    is_setting,
    is_slip_of_setting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Entry, Node, Span

UNKNOWN_KEY = "unknown-key"

_MOST_NAMED = 8


def fold_unknown(
    node: Node, found: Sequence[Diagnostic], *, is_inventory: bool, name: str
) -> tuple[Diagnostic, ...]:
    """Return what is wrong with a file, with one error for all variables that are none of ours.

    ``found`` has an error for each; ``name`` is the file's.
    """
    if not any(item.code == UNKNOWN_KEY for item in found):
        return tuple(found)
    mappings = all_variables(node) if is_inventory and isinstance(node, Mapping) else (node,)
    entries = [
        entry
        for mapping in mappings
        for entry in (mapping if isinstance(mapping, Mapping) else ())
        if _is_foreign(entry.key.text)
    ]
    keys = {entry.key.span for entry in entries}
    folded = [item for item in found if item.code == UNKNOWN_KEY and item.span in keys]
    if not folded:
        return tuple(found)
    told = {id(item) for item in folded}
    values = sorted((entry.value.span for entry in entries), key=_beginning)
    rest = [item for item in found if id(item) not in told and not _is_within(item, values)]
    return (*rest, _folded(entries, name if is_inventory else "PATH"))


def _is_foreign(name: str) -> bool:
    return (
        not is_setting(name)
        and not name.startswith(VARIABLE_PREFIX)
        and not is_slip_of_setting(name)
    )


def _beginning(span: Span) -> tuple[int, int]:
    return span.line, span.column


def _is_within(item: Diagnostic, values: Sequence[Span]) -> bool:
    """Tell whether ``item`` is about the form of a value that is not looked at.

    ``values`` are in order, and none lies in another.
    """
    span = item.span
    if span is None or item.code == LITERAL_SECRET:
        return False
    before = bisect_right(values, _beginning(span), key=_beginning)
    return before > 0 and values[before - 1].holds(span)


def _folded(entries: Sequence[Entry], path: str) -> Diagnostic:
    lines: dict[str, list[int]] = {}
    for entry in entries:
        lines.setdefault(entry.key.text, []).append(entry.key.span.line)
    named = [
        f"{quote(name)} (line {places[0]}"
        + (f" and {len(places) - 1} more)" if len(places) > 1 else ")")
        for name, places in list(lines.items())[:_MOST_NAMED]
    ]
    if len(lines) > _MOST_NAMED:
        named.append(f"{len(lines) - _MOST_NAMED} more")
    listed = ", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else named[0]
    verb = "is none" if len(lines) == 1 else "are none"
    return error(
        "unknown-variables",
        f"{counted(len(lines), 'variable')} in this file {verb} of our settings: {listed}",
        entries[0].key.span,
        hint=f"if Ansible has this inventory too, let it read it: -i ansible:{path}, with "
        "settings of ours under 'aegis'; else remove them",
    )
