"""A document as a tree of frozen values, each of which knows where it stands in which file."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One file's text. Compared by identity: two reads of a file are two sources.

    ``name`` is the path as the operator wrote it (or a made-up name in angle brackets). Where it
    is not ``numbered``, its lines are none that the operator could look up.
    """

    name: str
    text: str = field(repr=False)
    numbered: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source. Lines and columns count from 1; columns count characters.

    The end is exclusive: a one-character span has ``end_column == column + 1``.
    """

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        if not self.source.numbered:
            return self.source.name
        return f"{self.source.name}:{self.line}:{self.column}"

    def holds(self, other: Span) -> bool:
        """Tell whether all of ``other`` lies within this stretch of the same source."""
        return (
            other.source is self.source
            and (self.line, self.column) <= (other.line, other.column)
            and (other.end_line, other.end_column) <= (self.end_line, self.end_column)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A scalar. ``value`` is resolved by the YAML 1.2 core schema; ``text`` is as written.

    ``plain`` is false for quoted and block scalars, whose value is always a string.
    Neither the value nor the text shows in ``repr``: either may be a secret.
    """

    value: str | int | float | bool | None = field(repr=False)
    text: str = field(repr=False)
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One ``key: value`` of a mapping. Keys are scalars; ``key.text`` is the name."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A mapping in file order, without duplicate keys, merge keys (``<<``) already applied."""

    entries: tuple[Entry, ...]
    span: Span
    _by_name: dict[str, Entry] = field(default_factory=dict, init=False, repr=False)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def entry(self, name: str) -> Entry | None:
        """Return the entry whose key is ``name``, if there is one."""
        if len(self.entries) > _FEW:
            if not self._by_name:
                self._by_name.update((item.key.text, item) for item in reversed(self.entries))
            return self._by_name.get(name)
        for item in self.entries:
            if item.key.text == name:
                return item
        return None


Node = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Tell whether ``node`` holds nothing: ``null``, ``~`` or no text at all."""
    return isinstance(node, Scalar) and node.value is None


def plain_value(node: Node) -> object:
    """Return ``node`` as dicts, lists and scalars, the way JSON Schema wants it.

    A key that is no string keeps its text as written: a schema then sees a name, not a number.
    """
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain_value(item) for item in node.items]
    return {item.key.text: plain_value(item.value) for item in node.entries}
