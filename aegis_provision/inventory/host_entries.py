"""Finds the entries of each host: in which file, where in it, and what in it is the pin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.documents.decoding import decode
from aegis_provision.documents.nodes import Mapping, Scalar
from aegis_provision.documents.reader import read_document
from aegis_provision.documents.yaml_edits import REPLACES
from aegis_provision.inventory.host import OVERRIDE_KEYS
from aegis_provision.inventory.pins import PIN_KEYS
from aegis_provision.inventory.ranges import RangeError, expand_range, is_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.documents.nodes import Entry, Node
    from aegis_provision.documents.source import Span
    from aegis_provision.inventory.files import InputFile


@dataclass(frozen=True, slots=True, eq=False)
class HostEntry:
    """What one file says for one host, or for each host of a range.

    ``path`` leads from the file's root to the entry by keys; it is empty for a file of
    ``host_vars``, all of which is the entry.
    """

    file: InputFile
    path: tuple[str, ...]
    span: Span
    body: Node = field(repr=False)
    hosts: tuple[str, ...]
    ranged: bool = False

    @property
    def provider(self) -> Entry | None:
        """Return the provider as it is written here, which makes the entry a pin."""
        return self.written().get("provider")

    def written(self) -> dict[str, Entry]:
        """Return what is written in the entry itself, in order; not what is merged into it."""
        if not isinstance(self.body, Mapping):
            return {}
        return {
            item.key.text: item
            for item in self.body
            if self.body.span.holds(item.key.span) and item.key.text != "<<"
        }

    def pin(self) -> dict[str, Entry]:
        """Return what belongs to the pin: the provider, its values after it, its end and reason.

        Values before the provider are the host's own: they would stay without the pin.
        """
        found: dict[str, Entry] = {}
        for name, item in self.written().items():
            after = "provider" in found and name in OVERRIDE_KEYS
            if name in {"provider", REPLACES, *PIN_KEYS} or after:
                found[name] = item
        return found if "provider" in found else {}


def host_entries(files: Sequence[InputFile]) -> dict[str, list[HostEntry]]:
    """Return each host's entries in ``files``, those that win first.

    What a script printed can't be edited, and is left out.
    """
    found: dict[str, list[HostEntry]] = {}
    for file in sorted(files, key=lambda file: -file.priority):
        if file.printed or file.kind == "group_vars":
            continue
        source, _ = decode(file.name, file.data)
        node = read_document(source)[0] if source is not None else None
        if node is None:
            continue
        if file.kind == "host_vars":
            entry = HostEntry(file, (), node.span, node, (file.subject,))
            found.setdefault(file.subject, []).append(entry)
            continue
        for entry in _in_inventory(file, node):
            for host in entry.hosts:
                found.setdefault(host, []).append(entry)
    return found


def is_beside_range(entry: HostEntry, others: Sequence[HostEntry]) -> bool:
    """Tell whether the one host of ``entry`` is in a range of the same mapping too."""
    return not entry.ranged and any(
        other.ranged and other.file is entry.file and other.path[:-1] == entry.path[:-1]
        for other in others
    )


def _in_inventory(file: InputFile, node: Node) -> Iterator[HostEntry]:
    for entry in node if isinstance(node, Mapping) else ():
        if entry.key.text != "providers":
            yield from _in_group(file, (entry.key.text,), entry.value)


def _in_group(file: InputFile, path: tuple[str, ...], node: Node) -> Iterator[HostEntry]:
    for part in node if isinstance(node, Mapping) else ():
        below = part.value if isinstance(part.value, Mapping) else ()
        if part.key.text == "hosts":
            for entry in below:
                name = entry.key.text
                place = (*path, "hosts", name)
                yield HostEntry(
                    file, place, entry.key.span, entry.value, _names(entry.key), is_range(name)
                )
        elif part.key.text == "children":
            for entry in below:
                yield from _in_group(file, (*path, "children", entry.key.text), entry.value)


def _names(key: Scalar) -> tuple[str, ...]:
    if not is_range(key.text):
        return (key.text,)
    try:
        return tuple(expand_range(key.text))
    except RangeError:
        return ()
