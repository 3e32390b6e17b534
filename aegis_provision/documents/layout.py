"""Where every part of a YAML text stands, to the character: what an edit in place needs to know.

The reader's nodes tell values; these parts tell the text itself: flow or block style, aliases
where they are written, the colon of an entry. ruamel.yaml's events give the places.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class LayoutError(Exception):
    """The text is laid out in a way that is not understood here, though it may be good YAML."""


@dataclass(slots=True)
class LayoutNode:
    """A value or a key as written: ``text[start:end]``, anchor and tag included.

    A block collection ends where its last child does. ``value`` is a scalar's text as it is
    read, and an alias's name; it never shows in ``repr``.
    """

    kind: Literal["scalar", "mapping", "sequence", "alias"]
    start: int
    end: int
    flow: bool = False
    bare: bool = True
    style: str = ""
    value: str = field(default="", repr=False)
    items: list[LayoutPair] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is written here: the value of ``key:``."""
        return self.kind == "scalar" and not self.style and not self.value

    def item(self, name: str) -> LayoutPair | None:
        """Return the entry of a mapping whose key is written out as ``name``."""
        return next((item for item in self.items if item.key.value == name), None)


@dataclass(slots=True)
class LayoutPair:
    """One ``key: value`` of a mapping; ``colon`` is ``None`` where a key stands alone."""

    key: LayoutNode
    value: LayoutNode
    colon: int | None

    @property
    def end(self) -> int:
        """Return where the entry ends: with its value, its colon, or its key."""
        return max(self.value.end, self.key.end, (self.colon or 0) + 1)


def parse_layout(text: str) -> LayoutNode | None:
    """Return the parts of the one document in ``text``, ``None`` for a document without content.

    Raises :class:`LayoutError`.
    """
    builder = _Builder(text)
    try:
        return builder.document(YAML(typ="safe", pure=True).parse(text))
    except (YAMLError, StopIteration, ValueError):
        raise LayoutError from None


class _Builder:
    def __init__(self, text: str) -> None:
        self._text = text

    def document(self, events: Iterator[Event]) -> LayoutNode | None:
        event = next(events)
        while isinstance(event, StreamStartEvent | DocumentStartEvent):
            event = next(events)
        if isinstance(event, DocumentEndEvent | StreamEndEvent):
            return None
        return self._part(event, events)

    def _part(self, event: Event, events: Iterator[Event]) -> LayoutNode:
        start, end = _start(event), _end(event)
        if isinstance(event, AliasEvent):
            return LayoutNode("alias", start, end, value=str(event.anchor))
        if isinstance(event, ScalarEvent):
            part = LayoutNode("scalar", start, end, bare=_is_bare(event))
            part.style, part.value = event.style or "", str(event.value)
            return part
        if isinstance(event, MappingStartEvent):
            part = LayoutNode("mapping", start, end, bool(event.flow_style), _is_bare(event))
            return self._mapping(part, events)
        if isinstance(event, SequenceStartEvent):
            part = LayoutNode("sequence", start, end, bool(event.flow_style), _is_bare(event))
            return self._sequence(part, events)
        raise LayoutError

    def _mapping(self, part: LayoutNode, events: Iterator[Event]) -> LayoutNode:
        for event in events:
            if isinstance(event, MappingEndEvent):
                if part.flow:
                    part.end = _end(event)
                else:
                    part.end = max((item.end for item in part.items), default=part.end)
                return part
            key = self._part(event, events)
            value = self._part(next(events), events)
            colon = self._colon(key)
            if value.empty and value.bare:
                # The parser places it before the next token, behind comments and line ends.
                value.start = value.end = key.end if colon is None else colon + 1
            part.items.append(LayoutPair(key, value, colon))
        raise LayoutError

    def _sequence(self, part: LayoutNode, events: Iterator[Event]) -> LayoutNode:
        for event in events:
            if isinstance(event, SequenceEndEvent):
                if part.flow:
                    part.end = _end(event)
                return part
            part.end = max(part.end, self._part(event, events).end)
        raise LayoutError

    def _colon(self, key: LayoutNode) -> int | None:
        place = key.end
        while self._text[place : place + 1] in {" ", "\t", "\r", "\n"}:
            place += 1
        return place if self._text[place : place + 1] == ":" else None


def _is_bare(event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> bool:
    return event.anchor is None and event.tag is None


def _start(event: Event) -> int:
    return int(event.start_mark.index)


def _end(event: Event) -> int:
    return int(event.end_mark.index)
