"""Edits of single entries of a YAML or JSON text, in place: every other character stays.

``Put`` gives keys to an entry, ``Insert`` makes an entry, ``Drop`` takes keys away. What ``Put``
and ``Insert`` did, ``Drop`` of the same keys undoes to the byte, with nothing remembered but the
text itself: so the layout of what is written tells what stood there before. An entry without a
value gets its keys on lines below; a new entry is written in braces, and goes as a whole. What
would look the same as one of these is told apart by blanks inside of the braces (``_BLANKS``).

Each result is proved: read again, it holds what the text held before and the edit, no more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.documents.decoding import decode
from aegis_provision.documents.diagnostic import error, has_errors
from aegis_provision.documents.layout import LayoutError, parse_layout
from aegis_provision.documents.nodes import Mapping as MappingNode
from aegis_provision.documents.nodes import plain_value
from aegis_provision.documents.reader import read_document
from aegis_provision.documents.scalar_writer import scalar_text
from aegis_provision.documents.source import Source, Span
from aegis_provision.documents.text_edits import (
    TextEdit,
    after_line,
    apply_text_edits,
    end_of_line,
    line_end_at,
    place_of,
    start_of_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.layout import LayoutNode, LayoutPair
    from aegis_provision.documents.nodes import Node

_BOM = b"\xef\xbb\xbf"
_BY_HAND = "make this edit by hand"
_TIED = f"{_BY_HAND}; an anchor or an alias may tie this entry to another one"
_BLANKS = {"null": 2, "~": 3, "Null": 4, "NULL": 5}
_EMPTY_BESIDE_RANGE, _NO_VALUE, _NO_COLON = 6, 1, 7


@dataclass(frozen=True, slots=True)
class SetKeys:
    """Give the entry at ``path`` the values ``pairs``, and take the keys ``drop`` from it.

    A key that is there gets its new value in its place, others come last. An empty ``path`` is
    the document itself. ``beside_range`` as in :class:`RemoveKeys`.
    """

    path: tuple[str, ...]
    pairs: Mapping[str, str | int] = field(repr=False)
    drop: frozenset[str] = frozenset()
    beside_range: bool = False


@dataclass(frozen=True, slots=True)
class InsertEntry:
    """Make an entry ``name`` with the values ``pairs`` right after the one at ``after``."""

    after: tuple[str, ...]
    name: str
    pairs: Mapping[str, str | int] = field(repr=False)

    @property
    def path(self) -> tuple[str, ...]:
        """Return where the new entry will be."""
        return (*self.after[:-1], self.name)


@dataclass(frozen=True, slots=True)
class RemoveKeys:
    """Take ``keys`` from the entry at ``path``.

    ``beside_range`` says that the entry's name is told by another entry of the same mapping too:
    then an entry in braces that nothing remains of goes as a whole, as ``Insert`` made it.
    """

    path: tuple[str, ...]
    keys: frozenset[str]
    beside_range: bool = False


Edit = SetKeys | InsertEntry | RemoveKeys


class EditError(Exception):
    """An edit that can't be made in place; ``finding`` says where, why, and what to do."""

    def __init__(self, finding: Diagnostic) -> None:
        """Keep the finding."""
        super().__init__(finding.message)
        self.finding = finding


def apply_edits(name: str, data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return the file called ``name`` with ``edits`` made, all of them or none.

    Each entry is edited once at most. Raises :class:`EditError`.
    """
    before, node = _read(name, data)
    bom = _BOM if data.startswith(_BOM) else b""
    text = data.removeprefix(_BOM).decode("utf-8")
    if node is None:
        words = f"{name} has errors of its own, so it can't be edited"
        hint = "correct what 'aegis-provision validate' tells of it first"
        raise EditError(error("cannot-edit", words, hint=hint))
    try:
        root = parse_layout(text)
    except LayoutError:
        root = None
    if root is None:
        words = f"{name} is written in a way that can't be edited in place"
        raise EditError(error("cannot-edit", words, hint=_BY_HAND))
    editor = _Editor(before, text, root)
    splices = [splice for edit in edits for splice in editor.splices(edit)]
    try:
        after = bom + apply_text_edits(text, splices).encode("utf-8")
    except ValueError:
        after = b""
    if not _proved(name, node, after, edits) or (editor.as_json and not _is_json(after)):
        words = "this can't be edited in place without changing something else"
        place = editor.span(edits[0].path)
        raise EditError(error("cannot-edit", words, place, hint=_TIED))
    return after


def _read(name: str, data: bytes) -> tuple[Source, Node | None]:
    source, _ = decode(name, data)
    if source is None:
        return Source(name, ""), None
    node, found = read_document(source)
    return source, None if has_errors(found) else node


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.removeprefix(_BOM))
    except ValueError:
        return False
    return True


class _Editor:
    """Turns edits into splices of one text."""

    def __init__(self, source: Source, text: str, root: LayoutNode) -> None:
        self.as_json = root.flow and _is_json(text.encode("utf-8"))
        compact = self.as_json and '": ' not in text and '", ' not in text
        self._comma, self._colon = (",", ":") if compact else (", ", ": ")
        self._source = source
        self._text = text
        self._root = root

    def splices(self, edit: Edit) -> Iterator[TextEdit]:
        """Yield what ``edit`` comes down to. Raises :class:`EditError`."""
        if isinstance(edit, InsertEntry):
            return self._insert(edit)
        if not edit.path:
            return self._at_root(edit)
        return self._put(edit) if isinstance(edit, SetKeys) else self._drop(edit)

    def span(self, path: tuple[str, ...]) -> Span | None:
        """Return where the entry at ``path``, or what there is of the way to it, stands."""
        part, span = self._root, None
        for name in path:
            item = part.item(name)
            if item is None:
                break
            part, span = item.value, self._span(item.key)
        return span

    def _span(self, part: LayoutNode) -> Span:
        line, column = place_of(self._text, part.start)
        return Span(self._source, line, column, line, column + part.end - part.start)

    def _refuse(self, part: LayoutNode, message: str, hint: str = _BY_HAND) -> EditError:
        return EditError(error("cannot-edit", message, self._span(part), hint=hint))

    def _find(self, path: tuple[str, ...]) -> tuple[LayoutNode, LayoutPair, LayoutNode | None]:
        """Return the mapping that holds the entry at ``path``, the entry, and the key above."""
        parent, above = self._root, None
        for name in path[:-1]:
            item = self._in(parent, above, name)
            parent, above = item.value, item.key
        return parent, self._in(parent, above, path[-1]), above

    def _in(self, parent: LayoutNode, above: LayoutNode | None, name: str) -> LayoutPair:
        item = parent.item(name) if parent.kind == "mapping" else None
        if item is not None:
            return item
        shared = "what stands here is shared with other places, by an alias or a merge key"
        raise self._refuse(above or self._root, shared, f"write it out here, or {_BY_HAND}")

    def _at_root(self, edit: SetKeys | RemoveKeys) -> Iterator[TextEdit]:
        if self._root.kind != "mapping":
            raise self._refuse(self._root, "this file holds no settings")
        if isinstance(edit, SetKeys):
            yield from self._extend(self._root, edit)
        elif {item.key.value for item in self._root.items} <= edit.keys and self._root.flow:
            yield self._emptied(self._root)
        else:
            yield from self._without(self._root, edit.keys)

    # ---- making

    def _insert(self, edit: InsertEntry) -> Iterator[TextEdit]:
        parent, item, _ = self._find(edit.after)
        name = scalar_text(edit.name, as_json=self.as_json, flow=parent.flow)
        entry = f"{name}{self._colon}{{{self._in_braces(edit.pairs)}}}"
        if parent.flow:
            yield TextEdit(item.end, item.end, f",{self._gap(parent, item)}{entry}")
            return
        end = self._end_of_block_item(item)
        text = f"{line_end_at(self._text, end)}{self._indent(item)}{entry}"
        yield TextEdit(end, end, text)

    def _put(self, edit: SetKeys) -> Iterator[TextEdit]:
        parent, item, above = self._find(edit.path)
        value = item.value
        if value.kind == "mapping":
            if value.items or not value.flow:
                yield from self._extend(value, edit)
            else:
                body = self._in_braces(edit.pairs)
                pad = " " * _EMPTY_BESIDE_RANGE if edit.beside_range else ""
                opened = self._text.index("{", value.start) + 1
                yield TextEdit(opened, opened, pad + body)
        elif value.kind == "alias":
            words = f"the settings of this host are an alias, *{value.value}"
            raise self._refuse(item.key, words, f"write them out here, or {_BY_HAND}")
        elif not value.empty:
            yield TextEdit(value.start, value.end, self._instead_of_null(item, edit))
        elif not parent.flow:
            end = self._end_of_block_item(item)
            indent = self._indent(item) + " " * self._step(item, above)
            yield TextEdit(end, end, self._in_lines(end, indent, edit.pairs))
        elif not value.bare:
            raise self._refuse(item.key, "this entry holds an anchor and nothing else")
        else:
            pad = " " * (_NO_COLON if item.colon is None else _NO_VALUE)
            lead = ": " if item.colon is None else " "
            text = f"{lead}{{{pad}{self._in_braces(edit.pairs)}{pad}}}"
            yield TextEdit(item.end, item.end, text)

    def _instead_of_null(self, item: LayoutPair, edit: SetKeys) -> str:
        value = item.value
        written = self._text[value.start : value.end]
        if not value.bare or written not in _BLANKS:
            raise self._refuse(item.key, "what this entry holds can't be told from its text")
        pad = " " * _BLANKS[written]
        return f"{{{pad}{self._in_braces(edit.pairs)}{pad}}}"

    def _extend(self, value: LayoutNode, edit: SetKeys) -> Iterator[TextEdit]:
        """Replace, add and drop keys of a mapping that holds some."""
        kept = [item for item in value.items if item.key.value not in edit.drop]
        yield from self._without(value, edit.drop)
        fresh = dict(edit.pairs)
        for item in kept:
            if item.key.value in fresh:
                yield self._revalued(item, fresh.pop(item.key.value), flow=value.flow)
        if not fresh:
            return
        if not kept:
            raise self._refuse(value, "nothing would remain of this entry")
        last = kept[-1]
        if value.flow:
            gap = self._gap(value, last)
            text = "".join(
                f",{gap}{self._pair(key, item, flow=True)}" for key, item in fresh.items()
            )
            yield TextEdit(last.end, last.end, text)
        else:
            end = self._end_of_block_item(last)
            yield TextEdit(end, end, self._in_lines(end, self._indent(value.items[0]), fresh))

    def _revalued(self, item: LayoutPair, value: str | int, *, flow: bool) -> TextEdit:
        old = item.value
        if old.kind not in {"scalar", "alias"} or old.style in {"|", ">"}:
            raise self._refuse(item.key, "this value is more than a word")
        quote = old.style if old.style in {"'", '"'} else ""
        text = scalar_text(value, as_json=self.as_json, flow=flow, quote=quote)
        return TextEdit(old.start, old.end, text if not old.empty else f" {text}")

    # ---- taking away

    def _drop(self, edit: RemoveKeys) -> Iterator[TextEdit]:
        parent, item, _ = self._find(edit.path)
        value = item.value
        if value.kind != "mapping":
            words = "the settings of this host are shared with other places"
            raise self._refuse(item.key, words)
        if not value.flow or not {each.key.value for each in value.items} <= edit.keys:
            yield from self._without(value, edit.keys)
            return
        opened = self._text.index("{", value.start) + 1
        first, last = value.items[0].key.start, value.items[-1].end
        lead, rest = self._text[opened:first], self._text[last : value.end - 1]
        blanks = len(lead) if not lead.strip(" ") else 0
        made = value.bare and rest == lead
        spelled = next((word for word, count in _BLANKS.items() if count == blanks), None)
        if made and spelled is not None:
            yield TextEdit(value.start, value.end, spelled)
        elif made and blanks == _NO_VALUE and parent.flow and item.colon is not None:
            yield TextEdit(item.colon + 1, value.end)
        elif made and blanks == _NO_COLON and parent.flow:
            yield TextEdit(item.key.end, value.end)
        elif edit.beside_range and blanks == _EMPTY_BESIDE_RANGE:
            yield TextEdit(opened, last)
        elif edit.beside_range and value.bare:
            yield from self._removed(parent, [item])
        else:
            yield self._emptied(value)

    def _emptied(self, value: LayoutNode) -> TextEdit:
        """Leave braces and nothing in them, but what stood there before :class:`SetKeys` came."""
        start, end = value.items[0].key.start, value.items[-1].end
        rest = self._text[end : value.end - 1]
        if rest.lstrip().startswith(","):
            end += rest.index(",") + 1
        if self._text[start - 2 : start] == "{ " and self._text[end : end + 2] == " }":
            start, end = start - 1, end + 1
        return TextEdit(start, end)

    def _without(self, value: LayoutNode, keys: Iterable[str]) -> Iterator[TextEdit]:
        gone = set(keys)
        return self._removed(value, [item for item in value.items if item.key.value in gone])

    def _removed(self, parent: LayoutNode, gone: Sequence[LayoutPair]) -> Iterator[TextEdit]:
        if not parent.flow:
            for item in gone:
                start = self._line_of(item)
                end = after_line(self._text, self._end_of_block_item(item))
                yield TextEdit(start, end, lines=True)
            return
        chosen = {id(item) for item in gone}
        first_kept = next(
            (index for index, item in enumerate(parent.items) if id(item) not in chosen),
            len(parent.items),
        )
        if 0 < first_kept < len(parent.items):
            yield TextEdit(parent.items[0].key.start, parent.items[first_kept].key.start)
        for index, item in enumerate(parent.items):
            if id(item) in chosen and index > first_kept:
                yield self._behind(parent.items[index - 1], item)

    def _behind(self, before: LayoutPair, item: LayoutPair) -> TextEdit:
        """Take out an entry in braces with the comma before it, or that after it."""
        if "#" not in self._text[before.end : item.key.start]:
            return TextEdit(before.end, item.end)
        rest = self._text[item.end :].lstrip()
        end = self._text.index(",", item.end) + 1 if rest.startswith(",") else item.end
        return TextEdit(item.key.start, end)

    # ---- writing

    def _pair(self, key: str, value: str | int, *, flow: bool) -> str:
        name = scalar_text(key, as_json=self.as_json, flow=flow)
        colon = self._colon if flow else ": "
        return f"{name}{colon}{scalar_text(value, as_json=self.as_json, flow=flow)}"

    def _in_braces(self, pairs: Mapping[str, str | int]) -> str:
        return self._comma.join(self._pair(key, item, flow=True) for key, item in pairs.items())

    def _in_lines(self, place: int, indent: str, pairs: Mapping[str, str | int]) -> str:
        begin = line_end_at(self._text, place) + indent
        return "".join(begin + self._pair(key, item, flow=False) for key, item in pairs.items())

    def _gap(self, parent: LayoutNode, item: LayoutPair) -> str:
        """Return what stands between two entries in braces: a blank, or a new line."""
        start = start_of_line(self._text, item.key.start)
        indent = self._text[start : item.key.start]
        end = end_of_line(self._text, item.end)
        if indent.strip() or end >= parent.end or "#" in self._text[item.end : end]:
            return self._comma[1:]
        return line_end_at(self._text, end) + indent

    def _line_of(self, item: LayoutPair) -> int:
        start = start_of_line(self._text, item.key.start)
        if self._text[start : item.key.start].strip(" "):
            raise self._refuse(item.key, "this entry does not begin its line")
        return start

    def _indent(self, item: LayoutPair) -> str:
        return self._text[self._line_of(item) : item.key.start]

    def _step(self, item: LayoutPair, above: LayoutNode | None) -> int:
        """Return how much deeper than an entry its keys go: as much as it is itself."""
        if above is None:
            return 2
        outer = above.start - start_of_line(self._text, above.start)
        step = len(self._indent(item)) - outer
        return step if step > 0 else 2

    def _end_of_block_item(self, item: LayoutPair) -> int:
        """Return the end of the last line that belongs to an entry, comment included."""
        value = item.value
        while value.kind == "mapping" and not value.flow and value.items:
            value = value.items[-1].value
        if value.kind == "scalar" and value.style in {"|", ">"}:
            return self._end_of_literal(value)
        return end_of_line(self._text, item.end)

    def _end_of_literal(self, value: LayoutNode) -> int:
        written = self._text[value.start : value.end]
        head = written[: end_of_line(written, 0)]
        if "+" in head.partition("#")[0]:
            # Its empty lines count; the last line end is that of the entry.
            return value.end - len(written) + len(written.removesuffix("\n").removesuffix("\r"))
        return value.start + len(written.rstrip())


def _proved(name: str, before: Node, after: bytes, edits: Sequence[Edit]) -> bool:
    """Tell whether the text ``after`` holds what was there before, and ``edits``."""
    _, node = _read(name, after)
    old, new = plain_value(before), plain_value(node) if node is not None else {}
    for edit in edits:
        held, holds = _taken(old, edit.path), _taken(new, edit.path)
        expected = dict(held) if isinstance(held, dict) else {}
        if isinstance(edit, SetKeys | RemoveKeys):
            for key in edit.drop if isinstance(edit, SetKeys) else edit.keys:
                expected.pop(key, None)
        if not isinstance(edit, RemoveKeys):
            expected.update(edit.pairs)
        found = holds if isinstance(holds, dict) else {}
        if repr(sorted(expected.items())) != repr(sorted(found.items())):
            return False
        if not edit.path:
            return node is None or isinstance(node, MappingNode)
    return repr(old) == repr(new)


def _taken(value: object, path: tuple[str, ...]) -> object:
    """Take the entry at ``path`` out of ``value`` and return it."""
    if not path:
        return value
    for name in path[:-1]:
        value = value.get(name) if isinstance(value, dict) else None
    return value.pop(path[-1], None) if isinstance(value, dict) else None
