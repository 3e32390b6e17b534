"""Edits of single entries of a YAML or JSON text, in place: every other character stays.

PyYAML tells where each key and value stands; an edit is an insertion or a deletion between them.
:meth:`YamlEditor.remove_keys` gives back, to the byte, the text from before
:meth:`YamlEditor.set_keys` or :meth:`YamlEditor.insert_entry`. For that an entry that can't simply
be extended, such as ``host: null``, keeps what it held as the value of one more key
(:data:`REPLACES`): ``host: {provider: glm, pin_replaces: null}``.

The result is checked: read again, it holds what the text held before and the edits, no more.
"""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import yaml

from aegis_provision.documents.diagnostic import error, has_errors
from aegis_provision.documents.json_reader import json_fault
from aegis_provision.documents.nodes import Span, plain_value
from aegis_provision.documents.scalars import scalar_text
from aegis_provision.documents.yaml_places import ALIAS, compose
from aegis_provision.documents.yaml_reader import read_yaml
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.yaml_reader import Read

REPLACES = "pin_replaces"
"""The key whose value is what an entry held before it got keys, as it was written."""

_BOM = b"\xef\xbb\xbf"
_BY_HAND = "make this edit by hand"
_LINE_END = re.compile(r"\r\n|\n|\r")
_COLON = re.compile(r"\s*:")
_COMMA = re.compile(r"\s*,")


class EditError(Exception):
    """An edit that can't be made in place; ``diagnostic`` says where, why, and what to do."""

    def __init__(self, message: str, span: Span | None = None, *, hint: str = _BY_HAND) -> None:
        """Make the diagnostic."""
        super().__init__(message)
        self.diagnostic: Diagnostic = error("cannot-edit", message, span, hint=hint)


@dataclass(frozen=True, slots=True)
class _Pair:
    """One ``key: value`` of a mapping: ``text[start:end]``."""

    key: yaml.Node
    value: yaml.Node
    start: int
    key_end: int
    end: int


class YamlEditor:
    """The text of one file, and the edits to make in it: one for each entry at most.

    A path leads to an entry by keys; the empty path is the document itself. ``in_range`` says that
    a range in the same mapping names the entry's host too: then an entry that holds only the keys
    to remove goes as a whole, as :meth:`insert_entry` made it.

    All methods raise :class:`EditError`.
    """

    def __init__(self, name: str, data: bytes, read: Read = read_yaml) -> None:
        """Edit the file called ``name``; ``read`` reads it, before and after."""
        self._read = read
        node, found = read(name, data)
        if node is None or has_errors(found):
            hint = "correct what 'aegis-provision validate' tells of it first"
            raise EditError(f"{name} has errors of its own, so it can't be edited", hint=hint)
        self.name = name
        self._source = node.span.source
        self._bom = _BOM if data.startswith(_BOM) else b""
        self._text = data.removeprefix(_BOM).decode("utf-8")
        try:
            root = compose(self._text)
        except yaml.YAMLError:
            root = None
        if root is None:
            raise EditError(f"{name} is written in a way that can't be edited in place")
        self._root = _Pair(root, root, 0, 0, len(self._text))
        self._as_json = _is_flow(root) and json_fault(self._text) is None
        compact = self._as_json and '": ' not in self._text and '", ' not in self._text
        self._comma, self._colon = (",", ":") if compact else (", ", ": ")
        line_end = _LINE_END.search(self._text)
        self._line_end = line_end.group() if line_end else "\n"
        self._edits: list[tuple[int, int, str]] = []
        self._known_items: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}
        self._first = self._root
        # What the result must hold: the document, as dicts, lists and scalars, under "".
        self._expected: dict[str, Any] = {"": plain_value(node)}

    def set_keys(
        self,
        path: Sequence[str],
        values: Mapping[str, str | int],
        drop: Collection[str] = (),
        *,
        in_range: bool = False,
    ) -> None:
        """Give the entry at ``path`` the ``values``, and take the keys ``drop`` from it.

        A key that is there gets its new value in its place; other keys come last.
        """
        parent, pair, step = self._find(path)
        above, name = self._expected_at(path)
        held = above[name]
        above[name] = {key: held[key] for key in held or () if key not in drop}
        if isinstance(pair.value, yaml.MappingNode) and (pair.value.value or not in_range):
            self._extend(pair.value, values, drop)
        elif _is_empty(pair.value) and not _is_flow(parent):
            lines = self._line_end + " " * (len(self._indent(pair)) + step)
            end = self._end_of_lines(pair)
            self._edit(end, end, "".join(lines + item for item in self._written(values)))
        elif held is None or held == {}:
            before = self._text[pair.key_end : pair.end]
            key = scalar_text(REPLACES, as_json=self._as_json or before.endswith(":"))
            kept = self._comma.join([*self._written(values, flow=True), f"{key}{before}"])
            self._edit(pair.key_end, pair.end, f"{self._colon}{{{kept}}}")
            above[name][REPLACES] = held
        elif pair.value.tag == ALIAS:
            words = f"the settings of this host are an alias, *{pair.value.value}"
            raise self._refusal(words, pair, f"write them out here, or {_BY_HAND}")
        else:
            raise self._refusal("what this entry holds can't be told from its text", pair)
        above[name].update(values)

    def insert_entry(
        self, path: Sequence[str], values: Mapping[str, str | int], *, after: Sequence[str]
    ) -> None:
        """Make an entry at ``path`` with the ``values``, right behind the one ``after``."""
        parent, pair, _ = self._find(after)
        key = scalar_text(path[-1], as_json=self._as_json, flow=_is_flow(parent))
        entry = f"{key}{self._colon}{{{self._comma.join(self._written(values, flow=True))}}}"
        if _is_flow(parent):
            self._edit(pair.end, pair.end, f",{self._gap(pair)}{entry}")
        else:
            end = self._end_of_lines(pair)
            self._edit(end, end, f"{self._line_end}{self._indent(pair)}{entry}")
        above, name = self._expected_at(path)
        above[name] = dict(values)

    def remove_keys(
        self, path: Sequence[str], keys: Collection[str], *, in_range: bool = False
    ) -> None:
        """Take ``keys`` from the entry at ``path``, and bring back what :data:`REPLACES` keeps."""
        parent, pair, _ = self._find(path)
        value = pair.value
        if not isinstance(value, yaml.MappingNode):
            raise self._refusal("the settings of this host are shared with other places", pair)
        above, name = self._expected_at(path)
        held = above[name]
        above[name] = {key: held[key] for key in held if key not in keys}
        pairs = self._pairs(value)
        gone = [each for each in pairs if each.key.value in keys]
        replaced = next((each for each in gone if each.key.value == REPLACES), None)
        if len(gone) < len(pairs):
            self._remove(value, gone)
        elif not _is_flow(value):
            self._remove(value, gone)
            above[name] = None
        elif replaced is not None:
            self._edit(pair.key_end, pair.end, self._text[replaced.key_end : replaced.end])
            above[name] = held[REPLACES]
        elif in_range and self._text[value.start_mark.index : pairs[0].start] == "{":
            self._remove(parent, [pair])
            del above[name]
        else:
            self._empty_braces(value, pairs)

    def result(self) -> bytes:
        """Return the file with all edits made."""
        pieces: list[str] = []
        done = 0
        for start, end, new in sorted(self._edits, key=lambda edit: edit[0]):
            pieces += [self._text[done:start], new]
            done = end
        text = "".join([*pieces, self._text[done:]])
        data = self._bom + text.encode("utf-8")
        node, found = self._read(self.name, data)
        holds = {"": plain_value(node) if node is not None else None}
        if has_errors(found) or _canonical(holds) != _canonical(self._expected):
            words = "this can't be edited in place without changing something else"
            hint = f"{_BY_HAND}; an anchor or an alias may tie this entry to another one"
            raise self._refusal(words, self._first, hint)
        return data

    # ---- diagnostic

    def _find(self, path: Sequence[str]) -> tuple[yaml.Node, _Pair, int]:
        """Return the mapping that holds the entry at ``path``, the entry, and its indentation."""
        parent, pair, step = self._root.value, self._root, 0
        if not path and not isinstance(parent, yaml.MappingNode):
            raise self._refusal("this file holds no settings", pair)
        for name in path:
            parent = pair.value
            item = self._items(parent).get(name)
            if item is None:
                words = "what stands here is shared with other places, by an alias or a merge key"
                raise self._refusal(words, pair, f"write it out here, or {_BY_HAND}")
            step = item[0].start_mark.column - pair.key.start_mark.column
            pair = self._pair(*item)
        if self._first is self._root:
            self._first = pair
        return parent, pair, step

    def _items(self, node: yaml.Node) -> Mapping[str, tuple[yaml.Node, yaml.Node]]:
        """Return the entries of a mapping by key; it may have very many, and many are edited."""
        known = self._known_items.get(id(node))
        if known is None:
            items = node.value if isinstance(node, yaml.MappingNode) else ()
            known = {item[0].value: item for item in reversed(items)}
            self._known_items[id(node)] = known
        return known

    def _pairs(self, node: yaml.Node) -> list[_Pair]:
        return [self._pair(key, value) for key, value in node.value]

    def _pair(self, key: yaml.Node, value: yaml.Node) -> _Pair:
        key_end = key.end_mark.index
        colon = _COLON.match(self._text, key_end)
        end = colon.end() if colon else key_end
        if not _is_empty(value):
            end = self._end(value)
        return _Pair(key, value, key.start_mark.index, key_end, end)

    def _end(self, node: yaml.Node) -> int:
        """Return where a value ends; to the parser a block ends where the next one begins."""
        if isinstance(node, yaml.ScalarNode) or _is_flow(node):
            return int(node.end_mark.index)
        if isinstance(node, yaml.MappingNode):
            return self._pair(*node.value[-1]).end
        return self._end(node.value[-1])

    def _expected_at(self, path: Sequence[str]) -> tuple[dict[str, Any], str]:
        """Return the mapping that must hold the entry at ``path`` in the result, and its key."""
        above, name = self._expected, ""
        for each in path:
            above, name = above[name], each
        return above, name

    def _refusal(self, message: str, pair: _Pair, hint: str = _BY_HAND) -> EditError:
        start, end = pair.key.start_mark, pair.key.end_mark
        places = (start.line + 1, start.column + 1, end.line + 1, end.column + 1)
        span = Span(self._source, *places) if pair is not self._root else None
        return EditError(message, span, hint=hint)

    # ---- writing

    def _edit(self, start: int, end: int, text: str = "") -> None:
        self._edits.append((start, end, text))

    def _extend(
        self, value: yaml.Node, values: Mapping[str, str | int], drop: Collection[str]
    ) -> None:
        """Replace, add and remove keys of a mapping."""
        pairs, flow = self._pairs(value), _is_flow(value)
        kept = [pair for pair in pairs if pair.key.value not in drop]
        fresh = dict(values)
        for pair in kept:
            if pair.key.value in fresh:
                self._set_value(pair, fresh.pop(pair.key.value), flow=flow)
        written = self._written(fresh, flow=flow)
        if not pairs:
            end, text = self._text.index("{", value.start_mark.index) + 1, self._comma.join(written)
        elif flow:
            end, gap = kept[-1].end, self._gap(kept[-1])
            text = "".join(f",{gap}{item}" for item in written)
        else:
            end, indent = self._end_of_lines(kept[-1]), self._indent(pairs[0])
            text = "".join(f"{self._line_end}{indent}{item}" for item in written)
        self._edit(end, end, text)
        if len(kept) < len(pairs):
            self._remove(value, [pair for pair in pairs if pair not in kept])

    def _set_value(self, pair: _Pair, value: str | int, *, flow: bool) -> None:
        old = pair.value
        if not isinstance(old, yaml.ScalarNode):
            raise self._refusal("this value is more than a word", pair)
        text = scalar_text(value, as_json=self._as_json, flow=flow, quote=old.style or "")
        if _is_empty(old):
            self._edit(pair.end, pair.end, f" {text}")
        else:
            self._edit(old.start_mark.index, pair.end, text)

    def _written(self, values: Mapping[str, str | int], *, flow: bool = False) -> list[str]:
        """Return ``key: value`` for each of ``values``."""
        colon = self._colon if flow else ": "
        text = partial(scalar_text, as_json=self._as_json, flow=flow)
        return [f"{text(key)}{colon}{text(value)}" for key, value in values.items()]

    def _gap(self, pair: _Pair) -> str:
        """Return what stands between two entries in braces: a blank, or a new line."""
        indent = self._text[pair.start - pair.key.start_mark.column : pair.start]
        end = self._line_end_after(pair.end)
        if indent.strip() or "#" in self._text[pair.end : end]:
            return self._comma[1:]
        return self._line_end + indent

    # ---- removing

    def _remove(self, value: yaml.Node, gone: Sequence[_Pair]) -> None:
        if _is_flow(value):
            self._remove_in_braces(self._pairs(value), gone)
        else:
            self._remove_lines(gone)

    def _remove_lines(self, gone: Sequence[_Pair]) -> None:
        """Remove each entry's lines with the line end before them, as they were added."""
        first = 0
        for pair in gone:
            start, end = pair.start - len(self._indent(pair)), self._end_of_lines(pair)
            if start == first:  # The first lines of the file go with the line end after them.
                line_end = _LINE_END.match(self._text, end)
                end = first = line_end.end() if line_end else end
            else:
                start -= 2 if self._text.endswith("\r\n", 0, start) else 1
            self._edit(start, end)

    def _remove_in_braces(self, pairs: Sequence[_Pair], gone: Sequence[_Pair]) -> None:
        """Remove some of the entries of a mapping in braces, each with the comma before it."""
        first_kept = next(index for index, pair in enumerate(pairs) if pair not in gone)
        if first_kept:
            self._edit(pairs[0].start, pairs[first_kept].start)
        for before, pair in pairwise(pairs[first_kept:]):
            if pair not in gone:
                continue
            if "#" not in self._text[before.end : pair.start]:
                self._edit(before.end, pair.end)
            else:  # The comment behind the comma stays, so the comma after the entry goes.
                comma = _COMMA.match(self._text, pair.end)
                self._edit(pair.start, comma.end() if comma else pair.end)

    def _empty_braces(self, value: yaml.Node, pairs: Sequence[_Pair]) -> None:
        """Leave braces with what stood in them before :meth:`set_keys`."""
        opened = self._text.index("{", value.start_mark.index) + 1
        comma = _COMMA.match(self._text, pairs[-1].end)
        start, end = pairs[0].start, comma.end() if comma else pairs[-1].end
        closed = self._end(value) - 1
        if not (self._text[opened:start] + self._text[end:closed]).strip() and start > opened:
            start, end = opened, closed
        self._edit(start, end)

    # ---- lines

    def _line_end_after(self, at: int) -> int:
        found = _LINE_END.search(self._text, at)
        return found.start() if found else len(self._text)

    def _indent(self, pair: _Pair) -> str:
        indent = self._text[pair.start - pair.key.start_mark.column : pair.start]
        if indent.strip(" "):
            raise self._refusal("this entry does not begin its line", pair)
        return indent

    def _end_of_lines(self, pair: _Pair) -> int:
        """Return the end of the last line that belongs to an entry, comment included."""
        value = pair.value
        while isinstance(value, yaml.CollectionNode) and not _is_flow(value):
            last = value.value[-1]
            value = last[1] if isinstance(last, tuple) else last
        if not isinstance(value, yaml.ScalarNode) or value.style not in {"|", ">"}:
            return self._line_end_after(pair.end)
        written = self._text[value.start_mark.index : pair.end]
        if "+" in _LINE_END.split(written)[0]:
            # Its empty lines count; only the last line end is the entry's.
            return pair.end - len(written) + len(written.removesuffix("\n").removesuffix("\r"))
        return pair.end - len(written) + len(written.rstrip("\r\n"))


def _canonical(content: object) -> str:
    """Return text that is the same for equal content, and differs for ``1``, ``1.0``, ``true``."""
    return json.dumps(content, sort_keys=True)


def _is_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _is_empty(node: yaml.Node) -> bool:
    """Tell whether nothing is written here, no anchor or tag either: the value of ``key:``."""
    return isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index
