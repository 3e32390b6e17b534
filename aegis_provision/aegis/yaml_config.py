"""Aegis' own file in YAML: its values with their places, and edits of one mapping in place.

An edit is spliced into the text: every other character stays, comments, layout and line ends too.
The result is read again, as Aegis reads it, and must hold what it held before and the edit.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from aegis_provision.aegis.edit_errors import CannotEditError
from aegis_provision.aegis.yaml_values import (
    Node,
    NotTakenError,
    Pair,
    UnsureError,
    place,
    read_yaml,
)
from aegis_provision.documents.scalars import scalar_text
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_BOM = "\ufeff"
_NOTHING = re.compile(r"(?:[ \t\r\n]|(?<![^ \t\r\n])#[^\n]*+)*+")
_LINE_END = re.compile(r"\r?\n")
_COLON = re.compile(r"[ \t\r\n]*:")
_PROPERTIES = re.compile(r"[&!][^ \t\r\n]*(?:[ \t]+[&!][^ \t\r\n]*)*")
_BLOCK_COMMENT = re.compile(r"[|>][0-9+-]*([ \t]+#[^\r\n]*)?")
_COMMA = re.compile(r"[ \t\r\n]*,")
_STEP = "  "
_CHANGES_MORE = (
    "it can't be edited in place without changing something else; an anchor or an alias may tie "
    "a session variable to another key"
)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds. ``root`` is what Aegis sees: never shown, it may hold secrets."""

    root: Any = field(repr=False)
    _text: str = field(repr=False)
    _node: Node = field(repr=False)

    def where(self, path: Sequence[str | int], *, as_string: bool = False) -> str:
        """Return where the value at ``path`` stands: ``line 3, column 9``.

        ``as_string`` asks for what it is instead of a string, too.
        """
        node = self._node
        for step in path:
            node = _child(node.target or node, step) or node
        kind = _described(node) if as_string else ""
        return place(self._text, node.first) + (f": {kind}" if kind else "")


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(step, int):
        return node.items[step] if step < len(node.items) else None
    return next((pair.value for pair in reversed(node.pairs) if pair.name == step), None)


def read(text: str) -> YamlFile:
    """Return what Aegis sees in ``text``.

    Raises :class:`NotTakenError` and :class:`UnsureError`.
    """
    text = text.removeprefix(_BOM)
    node = read_yaml(text)
    return YamlFile(node.value, text, node)


def compose(name: str, values: Mapping[str, str]) -> str:
    """Return a new file: the mapping ``name`` with ``values``."""
    return _entry(name, values, "", _STEP, "\n") + "\n"


def edit(content: str, name: str, values: Mapping[str, str], removed: Collection[str]) -> str:
    """Return ``content`` with ``values`` in its mapping ``name``, and without ``removed``.

    A key that is there gets its new value in its place; the others come last, in their order. What
    is there already is not touched. Raises :class:`CannotEditError`, and what :func:`read` does.
    """
    text = content.removeprefix(_BOM)
    before = read_yaml(text)
    held = {} if _NOTHING.fullmatch(text) else before.value
    current = held.get(name, {}) if isinstance(held, dict) else None
    if not isinstance(current, dict):
        raise CannotEditError("it holds no settings")
    kept = {key: value for key, value in current.items() if key not in removed}
    wanted = {**held, name: {**kept, **values}} if name in held or values else held
    changed = {key: value for key, value in values.items() if current.get(key) != value}
    gone = [key for key in removed if key in current and key not in values]
    edited = text
    if changed:
        edited = _Editor(text, before, name).with_values(changed)
    if gone:
        edited = _Editor(edited, _read_again(edited), name).without(gone)
    found = _read_again(edited).value
    if _canonical({} if found is None else found) != _canonical(wanted):
        raise CannotEditError(_CHANGES_MORE)
    return content[: len(content) - len(text)] + edited


def _read_again(text: str) -> Node:
    try:
        return read_yaml(text)
    except (NotTakenError, UnsureError):
        raise CannotEditError(_CHANGES_MORE) from None


def _canonical(value: Any) -> str:
    """Return text that differs for ``1``, ``"1"`` and ``true``, and for another order."""
    return json.dumps(value, default=repr)


def _described(node: Node) -> str:
    """Return what a value is that should be another, and how to make it a string."""
    if node.kind != "plain" or isinstance(node.value, str):
        return ""
    if node.value is None:
        return "nothing is written there" if node.start == node.end else "null without quotes"
    kind = "true or false" if isinstance(node.value, bool) else "a number"
    return f"{kind} without quotes, write it in quotes"


def _entry(name: str, values: Mapping[str, str], indent: str, step: str, line_end: str) -> str:
    """Return the mapping as a block."""
    if not values:
        return f"{indent}{scalar_text(name)}: {{}}"
    lines = [f"{indent}{step}{_written(key, value)}" for key, value in values.items()]
    return line_end.join([f"{indent}{scalar_text(name)}:", *lines])


def _written(key: str, value: str, *, as_json: bool = False) -> str:
    quote = '"' if as_json else ""
    return f"{scalar_text(key, as_json=as_json, quote=quote)}: {_quoted(value, as_json=as_json)}"


def _quoted(value: str, like: str = "", *, as_json: bool = False) -> str:
    """Return ``value`` in quotes on one line, as every reader of YAML takes it."""
    if as_json or like == '"':
        quote = '"'
    else:
        needs_escapes = '"' in value or "\\" in value
        quote = "'" if like or (needs_escapes and "'" not in value) else '"'
    return scalar_text(value, as_json=as_json, quote=quote)


class _Editor:
    """The edits of one text: of the mapping called ``name``."""

    def __init__(self, text: str, root: Node, name: str) -> None:
        self._text = text
        self._root = root
        self._name = name
        self._pair = next((pair for pair in root.pairs if pair.name == name), None)
        found = _LINE_END.search(text)
        self._line_end = found.group() if found else "\n"
        keys = [pair.key.kind for pair in root.pairs] if root.is_flow else ["plain"]
        self._as_json = root.is_flow and all(kind == '"' for kind in keys)
        self._edits: list[tuple[int, int, str]] = []

    def with_values(self, values: Mapping[str, str]) -> str:
        """Return the text with ``values`` in the mapping."""
        if self._pair is None:
            self._add_mapping(values)
            return self._result()
        mapping = self._own_mapping(self._pair)
        fresh = dict(values)
        for pair in mapping.pairs:
            if pair.name in fresh:
                self._set(pair, fresh.pop(pair.name))
        if fresh:
            self._add(self._pair, mapping, fresh)
        return self._result()

    def without(self, names: Collection[str]) -> str:
        """Return the text without the entries ``names``, which the mapping holds."""
        if self._pair is None:
            raise CannotEditError(_CHANGES_MORE)
        mapping = self._own_mapping(self._pair)
        gone = [pair for pair in mapping.pairs if pair.name in names]
        if mapping.is_flow:
            self._remove_in_braces(mapping, gone)
        else:
            self._remove_lines(gone)
            if len(gone) == len(mapping.pairs):
                at = self._behind_properties(self._pair)
                self._edits.append((at, at, " {}"))
        return self._result()

    def _result(self) -> str:
        pieces: list[str] = []
        done = 0
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2]):
            pieces += [self._text[done:start], new]
            done = end
        return "".join([*pieces, self._text[done:]])

    def _own_mapping(self, pair: Pair) -> Node:
        """Return the mapping; one that another key shares can't be edited alone."""
        if pair.value.target is not None:
            raise CannotEditError(
                f"{self._name} is an alias of another key's value "
                f"({place(self._text, pair.value.start)}): write it out there"
            )
        alias = next((node for node in _aliases(self._root) if node.target is pair.value), None)
        if alias is not None:
            raise CannotEditError(
                f"{self._name} has an anchor, and another key is an alias of it "
                f"({place(self._text, alias.start)}): write that one out"
            )
        return pair.value

    # ---- setting

    def _set(self, pair: Pair, value: str) -> None:
        old = pair.value
        text = _quoted(value, old.kind if old.kind in {"'", '"'} else "", as_json=self._as_json)
        if old.first == old.end:
            at = self._behind_colon(pair)
            self._edits.append((at, at, f" {text}"))
        elif old.kind in {"|", ">"}:
            comment = _BLOCK_COMMENT.match(self._text, old.start)
            text += (comment[1] or "") if comment else ""
            self._edits.append((old.first, self._end_of_lines(old), text))
        else:
            self._edits.append((old.first, old.end, text))

    def _add(self, pair: Pair, mapping: Node, values: Mapping[str, str]) -> None:
        """Put new entries behind those of ``mapping``."""
        if not mapping.is_flow:
            indent = " " * self._column(mapping.pairs[0].key.first)
            at = self._end_of_lines(mapping)
            self._edits.append((at, at, self._lines(values, indent)))
        elif not self._root.is_flow and self._text[mapping.start : mapping.end] == "{}":
            self._edits.append((self._behind_properties(pair), mapping.end, ""))
            indent = " " * self._column(pair.key.first)
            at = self._end_of_lines(mapping)
            self._edits.append((at, at, self._lines(values, indent + self._step())))
        else:
            keys = [pair.key.kind for pair in mapping.pairs]
            as_json = self._as_json or (bool(keys) and all(kind == '"' for kind in keys))
            entries = [_written(key, value, as_json=as_json) for key, value in values.items()]
            self._add_in_braces(mapping, entries)

    def _add_mapping(self, values: Mapping[str, str]) -> None:
        root = self._root
        if root.is_flow:
            self._add_in_braces(root, [self._mapping_in_braces(values)])
        elif root.pairs:
            indent = " " * self._column(root.pairs[0].key.first)
            at = self._end_of_lines(root)
            entry = _entry(self._name, values, indent, self._step(), self._line_end)
            self._edits.append((at, at, self._line_end + entry))
        else:
            at = len(self._text)
            before = self._line_end if self._text and not self._text.endswith("\n") else ""
            entry = _entry(self._name, values, "", _STEP, self._line_end)
            self._edits.append((at, at, before + entry + self._line_end))

    def _mapping_in_braces(self, values: Mapping[str, str]) -> str:
        key = scalar_text(
            self._name, as_json=self._as_json, flow=True, quote='"' if self._as_json else ""
        )
        entries = [_written(name, value, as_json=self._as_json) for name, value in values.items()]
        gap = self._gap(self._root)
        if "\n" not in gap:
            return f"{key}: {{{', '.join(entries)}}}"
        inner = gap + (gap.removeprefix(self._line_end) or _STEP)
        return f"{key}: {{{inner}{f',{inner}'.join(entries)}{gap}}}"

    def _add_in_braces(self, mapping: Node, entries: Sequence[str]) -> None:
        gap = self._gap(mapping)
        if mapping.pairs:
            at = mapping.pairs[-1].end
            self._edits.append((at, at, "".join(f",{gap}{entry}" for entry in entries)))
        else:
            at = mapping.start + 1
            self._edits.append((at, at, f",{gap}".join(entries)))

    def _gap(self, mapping: Node) -> str:
        """Return what stands between two entries in braces: a blank, or a new line."""
        if mapping.pairs:
            first = mapping.pairs[-1].key.first
            indent = self._text[self._line_start(first) : first]
            if not indent.strip(" \t") and "\n" in self._text[mapping.start : first]:
                return self._line_end + indent
        return " "

    def _lines(self, values: Mapping[str, str], indent: str) -> str:
        return "".join(
            f"{self._line_end}{indent}{_written(key, value)}" for key, value in values.items()
        )

    def _step(self) -> str:
        """Return by how much the file indents."""
        for pair in self._root.pairs:
            if pair.value.kind == "map":
                inner = self._column(pair.value.pairs[0].key.first)
                return " " * (inner - self._column(pair.key.first))
        return _STEP

    # ---- removing

    def _remove_lines(self, gone: Sequence[Pair]) -> None:
        """Remove each entry's lines; a file without a line end at its end goes on without one."""
        for pair in gone:
            start = self._line_start(pair.key.first)
            end = self._end_of_lines(pair.value, pair)
            line_end = _LINE_END.match(self._text, end)
            after = line_end.end() if line_end else end
            if self._edits and self._edits[-1][1] == start:
                start = self._edits.pop()[0]
            if line_end is None:
                start = len(self._text[:start].removesuffix("\n").removesuffix("\r"))
            self._edits.append((start, after, ""))

    def _remove_in_braces(self, mapping: Node, gone: Sequence[Pair]) -> None:
        """Remove entries, each with its comma; comments stay."""
        pairs = mapping.pairs
        if len(gone) == len(pairs):
            comma = _COMMA.match(self._text, pairs[-1].end)
            start, end = pairs[0].key.first, comma.end() if comma else pairs[-1].end
            inside = self._text[mapping.start + 1 : start] + self._text[end : mapping.end - 1]
            if not inside.strip() and "#" not in self._text[start:end]:
                start, end = mapping.start + 1, mapping.end - 1
            if start == mapping.start + 1:
                self._edits.append((start, end, ""))
                return
        last_kept = max((index for index, pair in enumerate(pairs) if pair not in gone), default=-1)
        for index, pair in enumerate(pairs):
            if pair not in gone:
                continue
            comma = _COMMA.match(self._text, pair.end)
            end = comma.end() if comma else pair.end
            start = pair.key.first
            if index < last_kept:
                following = pairs[index + 1].key.first
                end = following if "#" not in self._text[end:following] else end
            elif index and "#" not in self._text[pairs[index - 1].end : start]:
                start, end = pairs[index - 1].end, pair.end
            self._edits.append((start, end, ""))

    # ---- places

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _behind_colon(self, pair: Pair) -> int:
        colon = _COLON.match(self._text, pair.key.end)
        return colon.end() if colon else pair.key.end

    def _behind_properties(self, pair: Pair) -> int:
        """Return where a value may begin: behind the colon, or behind its anchor and tag."""
        if pair.value.first < pair.value.start:
            found = _PROPERTIES.match(self._text, pair.value.first)
            if found is not None:
                return found.end()
        return self._behind_colon(pair)

    def _end_of_lines(self, node: Node, pair: Pair | None = None) -> int:
        """Return the end of the last line of a value, its comment included."""
        while not node.is_flow and (node.pairs or node.items):
            pair = node.pairs[-1] if node.pairs else None
            node = pair.value if pair is not None else node.items[-1]
        end = node.end if pair is None else pair.end
        if node.kind in {"|", ">"}:
            source = self._text[node.start : node.end]
            content = source.rstrip("\r\n")
            if "+" in source.partition("\n")[0] or content != source.rstrip():
                content = source.removesuffix("\n").removesuffix("\r")
            return node.start + len(content)
        found = _LINE_END.search(self._text, end)
        return found.start() if found else len(self._text)


def _aliases(node: Node) -> Iterator[Node]:
    if node.target is not None:
        yield node
    for pair in node.pairs:
        yield from _aliases(pair.value)
    for item in node.items:
        yield from _aliases(item)
