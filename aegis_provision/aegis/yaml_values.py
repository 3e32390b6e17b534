"""YAML as Aegis reads it: the npm library ``yaml`` 2.x with its defaults (docs/aegis.md).

That library reads YAML 1.2, PyYAML reads 1.1. So PyYAML only tells where the nodes of a text are.
What a scalar means is decided here, by YAML 1.2's core schema. What stands between the nodes must
follow a small grammar, in which both readers agree; where they may not, the text is refused.
``tests/vectors/yaml.json`` holds what the library was seen to make of some hundreds of texts.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from aegis_provision.documents.nodes import Source
from aegis_provision.documents.syntax_errors import explain_syntax_error, looks_like_ini
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 100
"""How deep nodes may lie in each other."""

LARGEST = 128 * 1024
"""How many characters a text may have: PyYAML's own reader needs seconds for more."""

LONGEST_KEY = 512
"""How many characters a key may have: the library takes 1024 units of UTF-16, PyYAML others."""

MOST_ALIASES = 100
"""``maxAliasCount``, the library's default."""

_CORE = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|[Nn]ull|NULL|")
_BOOL = re.compile(r"[Tt]rue|TRUE|[Ff]alse|FALSE")
_OCTAL = re.compile(r"0o[0-7]+")
_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN")
_EXPONENT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)")
_KINDS = {
    f"{_CORE}null": (_NULL,),
    f"{_CORE}bool": (_BOOL,),
    f"{_CORE}int": (_OCTAL, _INT, _HEX),
    f"{_CORE}float": (_SPECIAL, _EXPONENT, _FLOAT),
}
_LARGEST_KEY = 2**53

# What PyYAML takes for a line break, or refuses, and the library does not; its '?' in brackets.
_HIDDEN = (
    *range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF,
)  # fmt: skip
_QUESTION_MARK = re.compile(r"(?<=[^ \t\r\n\[\]{},])\?|\?(?=[^ \t\r\n\[\]{},])")
_PRIVATE_PLANES = (0xF0000, 0x100000)

_LONE_CR = re.compile(r"\r(?!\n)")
_LINE = re.compile(r"[^\n]*\n?")
_INNER_BOM = re.compile(r"(?m)^\ufeff")
_LEADING = re.compile(r"[ \t]*")
_PROPERTY = re.compile(
    r"&[0-9A-Za-z_-]+(?![^ \t\r\n])|!(?:<tag:[^ \t\r\n>]*>|[\w!./:-]*)(?![^ \t\r\n])"
)
_SPACE = re.compile(r"(?:[ \t\r\n]|(?<![^ \t\r\n])#[^\n]*+)*+")
_ALIAS = re.compile(r"\*[0-9A-Za-z_-]+(?![^ \t\r\n,\]}])")
_GAP = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<comment>(?<![^ \t\r\n])#[^\n]*)"
    r"|(?P<mark>(?m:^)(?:---|\.\.\.)(?=[ \t\r\n]|\Z))"
    r"|(?P<directive>(?m:^)%YAML[ \t]+1\.2(?=[ \t]*(?:\r?\n|[ \t]#)))"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<entry>[-?](?=[ \t\r\n]|\Z))|(?P<colon>:)"
)
_AFTER_MARK = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\r?\n|\Z|[\[{])")
_ENDS_OPEN = re.compile(r"[|>][1-9+]*[ \t\r\n].*[^\n]", re.DOTALL)
_INDENTED_BLANKS = re.compile(r"[|>][+-]?[1-9].*\n +\r?(?:\n|\Z)", re.DOTALL)
_ODD_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\(?:\r?\n[ \t]*(?=[\r\n])|\t)")
_INDICATOR = re.compile(r"[-?:](?![^ \t\r\n])")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class NotTakenError(ValueError):
    """A text that Aegis does not take; the message says why and where, and shows none of it."""


class UnsureError(ValueError):
    """A text of which can't be said how Aegis reads it; the message shows none of it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands: ``text[start:end]``, its anchor and tag from ``first`` on.

    ``kind`` is ``plain``, ``'``, ``"``, ``|``, ``>``, ``*`` (an alias), ``{``, ``[``, ``map`` or
    ``seq``. Of a collection in a block, ``end`` is where its last value ends. ``value`` is what
    Aegis sees; an alias has the value of its ``target``. Never shown: it may hold secrets.
    ``height`` says how many levels lie below it, behind aliases too.
    """

    kind: str
    first: int
    start: int
    end: int
    value: Any
    anchor: str | None = None
    target: Node | None = None
    pairs: tuple[Pair, ...] = ()
    items: tuple[Node, ...] = ()
    height: int = 0

    def __repr__(self) -> str:
        """Return the place alone."""
        return f"<{self.kind} {self.start}:{self.end}>"

    @property
    def is_flow(self) -> bool:
        """Tell whether it is a collection in brackets or braces."""
        return self.kind in {"{", "["}


@dataclass(frozen=True, slots=True)
class Pair:
    """An entry of a mapping; ``name`` is its key as JavaScript has it."""

    name: str
    key: Node
    value: Node

    @property
    def end(self) -> int:
        """Return where it ends."""
        return max(self.key.end, self.value.end)


def read_yaml(text: str) -> Node:
    """Return the only document of ``text``, which holds no byte order mark at its beginning.

    An empty document is a plain scalar of the value ``None``. Raises :class:`NotTakenError` and
    :class:`UnsureError`.
    """
    _check_characters(text)
    reader = _Reader(text)
    root = reader.read()
    _AliasCount(text).check(root)
    return root


def place(text: str, offset: int) -> str:
    """Return where ``offset`` is, in words."""
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return f"line {line}, column {column}"


def _check_characters(text: str) -> None:
    if len(text) > LARGEST:
        raise UnsureError(f"it has more than {LARGEST // 1024} KiB")
    for pattern, words in (
        (_LONE_CR, "a carriage return that ends no line"),
        (_INNER_BOM, "a byte order mark inside of the file"),
    ):
        found = pattern.search(text)
        if found is not None:
            raise UnsureError(f"{words} in {place(text, found.start())}")


class _StandIns:
    """Characters for private use that stand in for what PyYAML reads otherwise, one for one."""

    def __init__(self, text: str) -> None:
        """Choose characters that ``text`` does not hold, escaped ones included."""
        plane = next((plane for plane in _PRIVATE_PLANES if not _holds(text, plane)), None)
        if plane is None:
            raise UnsureError("it holds characters for private use of both kinds")
        self._hidden = {code: plane + code for code in _HIDDEN}
        self._tab, self._mark = chr(plane + ord("\t")), chr(plane + ord("?"))
        self._shown = {plane + code: code for code in (*_HIDDEN, ord("?"), ord("\t"))}

    def hide(self, text: str) -> str:
        """Return ``text`` for PyYAML: every character is at its place."""
        return _QUESTION_MARK.sub(self._mark, text).translate(self._hidden)

    def hide_tabs(self, text: str) -> str:
        """Return ``text`` for PyYAML, with its tabs."""
        return self.hide(text).replace("\t", self._tab)

    def show(self, text: str) -> str:
        """Return what ``text`` was."""
        return text.translate(self._shown)


def _holds(text: str, plane: int) -> bool:
    held = f"[{chr(plane)}-{chr(plane + 0xFFFF)}]|\\\\U00(?i:{plane >> 16:02x})"
    return re.search(held, text) is not None


class _Reader:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._stand_ins = _StandIns(text)
        self._anchors: dict[str, Node | int] = {}  # where it begins, while it is not read whole
        self._atoms: list[tuple[int, int, str]] = []  # what is between the gaps, and its kind
        self._flows: list[tuple[int, int, int]] = []  # in a block of a column: where it stands
        self._has_question_mark = False
        self._fault: str | None = None  # why Aegis does not take it, if the places are right
        self._events = self._parse()

    def read(self) -> Node:
        """Return the root."""
        root: Node | None = None
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                self._not_taken("a second document begins in", _offset(event.start_mark))
            root = self._node(next(self._events), -1, 0)
        self._check_gaps()
        self._check_indentation()
        if self._fault is not None:
            raise NotTakenError(self._fault)
        return root or Node("plain", 0, 0, 0, None)

    # ---- PyYAML

    def _parse(self) -> Iterator[Any]:
        hidden = self._hidden_text
        try:
            yield from yaml.parse(hidden, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as problem:
            if isinstance(problem.problem_mark, yaml.Mark):
                found = explain_syntax_error(Source("", hidden), problem)
                words = "it is not YAML" if looks_like_ini(hidden) else found.message
                where = place(hidden, problem.problem_mark.index)
                raise UnsureError(f"{words} in {where}") from None
            raise UnsureError("it is not YAML") from None
        except (yaml.YAMLError, ValueError, OverflowError):
            raise UnsureError("it is not YAML") from None

    @cached_property
    def _hidden_text(self) -> str:
        """Return the text for PyYAML: the same places, and tabs that separate as spaces.

        PyYAML takes no tab outside of quotes; YAML 1.2 takes them but for indentation.
        """
        hidden = self._stand_ins.hide(self._text)
        if "\t" not in hidden:
            return hidden
        if hidden.lstrip().startswith("{"):
            return hidden.replace("\t", " ")
        return _LINE.sub(lambda found: _spaced(found.group()), hidden)

    # ---- nodes

    def _node(self, event: Any, column: int, depth: int) -> Node:
        """Return the node that begins with ``event``, in a block at ``column`` (-1: none)."""
        first, end = event.start_mark.index, event.end_mark.index
        self._check_depth(depth, first)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, first, end, depth)
        start, tag = first, None
        if event.anchor is not None or event.tag is not None:
            start, tag = self._properties(event, first, end)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, tag, first, start, end, column)
        elif isinstance(event, yaml.MappingStartEvent):
            self._check_collection_tag(tag, "map", first)
            node = self._mapping(event, first, start, column, depth)
        else:
            self._check_collection_tag(tag, "seq", first)
            node = self._sequence(event, first, start, column, depth)
        if node.anchor is not None and self._anchors[node.anchor] == first:
            self._anchors[node.anchor] = node
        return node

    def _check_depth(self, depth: int, at: int) -> None:
        if depth > DEEPEST:
            self._unsure(f"nested more than {DEEPEST} levels deep", at)

    def _alias(self, event: Any, first: int, end: int, depth: int) -> Node:
        self._atoms.append((first, end, "*"))
        if _ALIAS.match(self._text, first) is None:
            self._unsure("an alias of an odd name", first)
        if event.anchor not in self._anchors:
            self._not_taken("an alias of an unknown anchor in", first)
            return Node("*", first, first, end, None)
        target = self._anchors[event.anchor]
        if not isinstance(target, Node):
            self._unsure("an alias inside of what it stands for", first)
        self._check_depth(depth + target.height, first)
        return Node("*", first, first, end, target.value, target=target, height=target.height)

    def _properties(self, event: Any, first: int, end: int) -> tuple[int, str | None]:
        """Return where the content of a node begins, and its tag."""
        at = first
        while at < end and self._text[at] in "&!":
            found = _PROPERTY.match(self._text, at)
            if found is None:
                self._unsure("an odd tag or anchor", at)
            self._atoms.append((at, found.end(), "&"))
            at = found.end()
            space = _SPACE.match(self._text, at)
            at = space.end() if space else at
        if event.anchor is not None:
            self._anchors[event.anchor] = first
        return min(end, at), event.tag

    def _scalar(
        self, event: Any, tag: str | None, first: int, start: int, end: int, column: int
    ) -> Node:
        kind = event.style or "plain"
        source = self._text[start:end]
        if start == end:
            kind = "plain"
        else:
            self._atoms.append((start, end, kind))
        if kind in {"|", ">"}:
            self._check_block_scalar(start, end, column)
        elif column >= 0 and "\n" in source:
            self._flows.append((start, end, column))
        if start < end:
            self._check_lead(start, column)
        if kind == "plain" and _INDICATOR.match(source):
            self._unsure("an indicator", start)
        text = self._scalar_text(event.value, kind, source, start)
        return Node(kind, first, start, end, self._resolve(text, kind, tag, first), event.anchor)

    def _scalar_text(self, read: str, kind: str, source: str, start: int) -> str:
        if kind == '"' and _ODD_ESCAPE.search(source):
            self._unsure("an escape before an empty line or a tab", start)
        if "\t" in source and kind not in {"|", ">"}:
            if "\n" in source:
                self._unsure("a tab in text of several lines", start)
            if kind == "plain":
                return source
            alone = self._stand_ins.hide_tabs(source)
            read = next(
                event.value
                for event in yaml.parse(alone, Loader=yaml.SafeLoader)
                if isinstance(event, yaml.ScalarEvent)
            )
        text = self._stand_ins.show(read)
        if kind in {"|", ">"} and not text.strip(" \n") and " " in source.partition("\n")[2]:
            self._unsure("blanks as the whole text", start)
        if kind in {"|", ">"} and text and _ENDS_OPEN.fullmatch(source):
            text = text.removesuffix("\n") + "\n"
        return _SURROGATES.sub(
            lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text
        )

    def _resolve(self, text: str, kind: str, tag: str | None, at: int) -> Any:
        """Return the value of a scalar, as the library's core schema has it."""
        if tag is None:
            return _plain_value(text) if kind == "plain" else text
        if tag in _KINDS:
            matches = any(pattern.fullmatch(text) for pattern in _KINDS[tag])
            return _plain_value(text) if matches else text
        if tag.startswith(_CORE) and tag != f"{_CORE}str":
            self._unsure("a tag of YAML 1.1", at)
        return text

    def _mapping(self, event: Any, first: int, start: int, column: int, depth: int) -> Node:
        flow = bool(event.flow_style)
        inner = -1 if flow else self._column(start)
        pairs: list[Pair] = []
        seen: set[tuple[str, Any]] = set()
        values: dict[str, Any] = {}
        for child in self._events:
            if isinstance(child, yaml.MappingEndEvent):
                break
            key = self._node(child, -1, depth + 1)
            name = self._key_name(key)
            identity = (type(key.value).__name__, key.value)
            if identity in seen:
                self._not_taken("a key stands twice, in", key.start)
            seen.add(identity)
            value = self._node(next(self._events), inner, depth + 1)
            pairs.append(Pair(name, key, value))
            values[name] = value.value
        else:
            raise UnsureError("it is not YAML")
        end = _offset(child.end_mark) if flow else pairs[-1].end
        self._outermost(flow, column, start, end)
        return Node(
            "{" if flow else "map",
            first,
            start,
            end,
            values,
            event.anchor,
            pairs=tuple(pairs),
            height=1 + max((pair.value.height for pair in pairs), default=0),
        )

    def _sequence(self, event: Any, first: int, start: int, column: int, depth: int) -> Node:
        flow = bool(event.flow_style)
        inner = -1 if flow else self._column(start)
        items: list[Node] = []
        for child in self._events:
            if isinstance(child, yaml.SequenceEndEvent):
                break
            items.append(self._node(child, inner, depth + 1))
        else:
            raise UnsureError("it is not YAML")
        end = _offset(child.end_mark) if flow else items[-1].end
        self._outermost(flow, column, start, end)
        return Node(
            "[" if flow else "seq",
            first,
            start,
            end,
            [item.value for item in items],
            event.anchor,
            items=tuple(items),
            height=1 + max((item.height for item in items), default=0),
        )

    def _outermost(self, flow: bool, column: int, start: int, end: int) -> None:
        if flow and column >= 0:
            self._flows.append((start, end, column))
            self._check_lead(start, column)

    def _key_name(self, key: Node) -> str:
        """Return a key as JavaScript has it."""
        value = key.value
        if key.kind not in {"plain", "'", '"'}:
            self._unsure("a key that is no plain word", key.first)
        if key.start == key.end or "\n" in self._text[key.start : key.end]:
            self._unsure("an empty key, or one of several lines", key.first)
        if self._behind_blanks(key.end) - key.first > LONGEST_KEY:
            self._unsure(f"a key of more than {LONGEST_KEY} characters", key.first)
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int) and abs(value) < _LARGEST_KEY:
            return str(value)
        if value is not None:
            self._unsure("a number as a key", key.first)
        return ""

    def _behind_blanks(self, at: int) -> int:
        found = _LEADING.match(self._text, at)
        return found.end() if found else at

    def _check_collection_tag(self, tag: str | None, kind: str, at: int) -> None:
        if tag is None or tag in {"!", _CORE + kind} or not tag.startswith(_CORE):
            return
        self._unsure("a tag of YAML 1.1", at)

    # ---- between the nodes

    def _check_gaps(self) -> None:
        at = depth = 0
        before = ""
        for start, end, kind in [*sorted(self._atoms), (len(self._text), len(self._text), "")]:
            while at < start:
                found = _GAP.match(self._text, at, start)
                if found is None:
                    directive = self._text[at] == "%"
                    words = "a directive other than %YAML 1.2" if directive else "an indicator"
                    self._unsure(words, at)
                depth += (found["open"] is not None) - (found["close"] is not None)
                self._check_token(found, depth, before)
                at = found.end()
                if found.lastgroup not in {"space", "comment"}:
                    before = found["mark"] or str(found.lastgroup)
            at, before = max(at, end), kind

    def _check_token(self, found: re.Match[str], depth: int, before: str) -> None:
        """Check what stands in ``depth`` brackets, behind an atom or a token ``before``."""
        text, at, end = self._text, found.start(), found.end()
        if found["space"] is not None and "\t" in found.group() and not depth:
            self._check_tab(found, before)
        if found["mark"] == before == "...":
            self._unsure("an end of a document that has ended", at)
        if (
            found["comment"] is not None
            and depth
            and before not in {"open", "comma"}
            and text[at - 1 : at] == "\n"
        ):
            self._unsure("in brackets, a comment that is not indented", at)
        if found["mark"] is not None and _AFTER_MARK.match(text, end) is None:
            self._unsure("what stands on the line of '---' or '...'", end)
        if found["entry"] is not None and depth:
            self._unsure("an indicator in brackets", at)
        self._has_question_mark |= found["entry"] == "?"
        if found["colon"] is not None and text[end : end + 1] not in {"", " ", "\t", "\r", "\n"}:
            quoted = text[at - 1 : at] in {'"', "'", "]", "}"}
            if not depth or not (quoted or text[end] in ",[]{}"):
                self._unsure("a ':' without a space after it", at)

    def _check_tab(self, found: re.Match[str], before: str) -> None:
        _, newline, lines = found.group().partition("\n")
        in_block = before in {"|", ">"}
        alone = newline and "\t" in lines
        unfinished = before in {"colon", "&"} or self._has_question_mark
        last = found.end() == len(self._text) and "\t" in lines.rpartition("\n")[2]
        if in_block or before == "entry" or (alone and (last or unfinished)):
            self._unsure("a tab on a line of its own, or behind a '-'", found.start())

    def _check_indentation(self) -> None:
        """Refuse what PyYAML takes: a value in a block whose next lines are not indented."""
        starts = sorted(self._atoms)
        for start, end, column in self._flows:
            at = self._text.find("\n", start, end) + 1
            while at:
                line_end = self._text.find("\n", at)
                line = self._text[at : line_end if line_end >= 0 else len(self._text)]
                if not self._is_indented(line, at, column, end, starts):
                    words = "a line that is not indented enough:"
                    if self._text[start] not in "[{":
                        raise UnsureError(f"{words} {place(self._text, at)}")
                    self._not_taken(words, at)
                at = self._text.find("\n", at, end) + 1

    def _is_indented(
        self, line: str, at: int, column: int, end: int, atoms: list[tuple[int, int, str]]
    ) -> bool:
        content = line.lstrip(" ")
        indent = len(line) - len(content)
        if indent > column or content in {"", "\r"}:
            return True
        before = bisect_right(atoms, (at, len(self._text), "~")) - 1
        inside = before >= 0 and atoms[before][1] > at
        if content[0] in "]}":
            return not inside and indent == column and at + indent == end - 1
        return not inside and content.strip(" \t\r")[:1] in {"", "#"}

    def _check_lead(self, start: int, column: int) -> None:
        """Refuse lines above a value, below its key, after which the library forgets the indent.

        A line does that whose second character is none to skip, and which is not indented more than
        the key: ``#comment``, or an empty line with another such line below.
        """
        at = self._line_start(start)
        if self._text[at:start].strip(" \t"):
            return
        while at > 0:
            end, at = at, self._line_start(at - 1)
            line = self._text[at:end]
            content = line.lstrip(" ")
            if content[0] not in "#\r\n\t":
                return
            follows = self._text[at + len(line) - len(content) + 1 :][:1]
            if len(line) - len(content) <= column and follows not in {"", " ", "\t", "\r", "\n"}:
                self._unsure("a line that is not indented, above a value", at)

    def _check_block_scalar(self, start: int, end: int, column: int) -> None:
        line_start = self._line_start(start)
        if not self._text[line_start:start].strip(" \t") and start - line_start <= column:
            self._not_taken("a text out of its block in", start)
        source = self._text[start:end]
        if "\t" in source.partition("\n")[2]:
            self._unsure("a tab in text of several lines", start)
        if end < len(self._text) and not self._text[end:].strip(" "):
            self._unsure("blanks at the end of the file", end)
        if _INDENTED_BLANKS.match(source):
            self._unsure("blanks in a text whose indentation is given", start)

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _not_taken(self, words: str, at: int) -> None:
        if self._fault is None:
            self._fault = f"{words} {place(self._text, at)}"

    def _unsure(self, words: str, at: int) -> NoReturn:
        raise UnsureError(f"{words} in {place(self._text, at)}")


def _offset(mark: Any) -> int:
    return int(mark.index)


def _spaced(line: str) -> str:
    lead = _LEADING.match(line)
    at = lead.end() if lead else 0
    if line[at : at + 1] in {"", "\r", "\n", "#"}:
        at = 0
    return line[:at] + line[at:].replace("\t", " ")


def _plain_value(text: str) -> Any:
    """Return the value of a plain scalar. Numbers are doubles, whole ones as integers."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _OCTAL.fullmatch(text):
        return _number(int(text, 0))
    if _HEX.fullmatch(text):
        return _number(int(text, 0))
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    if any(pattern.fullmatch(text) for pattern in (_INT, _EXPONENT, _FLOAT)):
        return _number(float(text))
    return text


def _number(value: float) -> int | float:
    try:
        double = float(value)
    except OverflowError:
        return math.inf
    return int(double) if double.is_integer() else double


class _AliasCount:
    """The library's guard against aliases that multiply.

    For each anchor: how often it is used (its own place is one), times how many such uses its
    content nests. More than :data:`MOST_ALIASES` lose the file.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._uses: dict[int, int] = {}
        self._nested: dict[int, int] = {}

    def check(self, node: Node) -> None:
        """Count the aliases in ``node`` in the order of the text."""
        if node.target is not None:
            self._use(node, node.target)
            return
        if node.anchor is not None:
            self._uses[id(node)] = 1
        for pair in node.pairs:
            self.check(pair.key)
            self.check(pair.value)
        for item in node.items:
            self.check(item)

    def _use(self, alias: Node, target: Node) -> None:
        key = id(target)
        self._uses[key] += 1
        if not self._nested.get(key):
            self._nested[key] = self._count(target)
        if self._uses[key] * self._nested[key] > MOST_ALIASES:
            where = place(self._text, alias.start)
            raise NotTakenError(f"more than {MOST_ALIASES} aliases, with those inside: {where}")

    def _count(self, node: Node) -> int:
        if node.target is not None:
            key = id(node.target)
            return self._uses[key] * self._nested.get(key, 0)
        if node.kind in {"{", "map"}:
            return max((max(1, self._count(pair.value)) for pair in node.pairs), default=0)
        if node.kind in {"[", "seq"}:
            return max((self._count(item) for item in node.items), default=0)
        return 1
