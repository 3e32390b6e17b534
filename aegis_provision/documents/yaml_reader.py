"""The bytes of a YAML file to a tree of nodes: with positions, bounded in every direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field

import yaml

from aegis_provision.documents.diagnostic import Diagnostic, Related, error
from aegis_provision.documents.nodes import Entry, Mapping, Node, Scalar, Sequence, Source, Span
from aegis_provision.documents.scalars import is_ambiguous, resolve
from aegis_provision.documents.syntax_errors import explain_syntax_error
from aegis_provision.values import dataclass

LARGEST_FILE = 16 * 1024 * 1024
"""How many bytes a document may have."""

DEEPEST = 100
"""How deep nodes may lie in each other."""

MOST_NODES = 1_000_000
"""How many nodes a document may stand for, aliases counted as often as they are used."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's fastest loader here: only its parser is used."""

_CORE = "tag:yaml.org,2002:"
_COLLECTION_TAGS = frozenset({"!", f"{_CORE}map", f"{_CORE}seq"})
_SCALAR_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "null": type(None),
}

# One character beyond U+FFFF as JSON escapes it (RFC 8259, 7), behind no backslash of its own.
_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\(u[dD][89abAB][0-9a-fA-F]{2})\\(u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_PRIVATE_USE = range(0xE000, 0xF900)

_UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
# What YAML 1.2 (5.1) does not allow as characters, and the byte order mark inside of the text. The
# set of those that it allows would take as long to compile as a host takes to be read.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
)
# Line breaks to YAML 1.1 and to the parser, characters like any other to YAML 1.2 and to editors.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")


def read_yaml(name: str, data: bytes) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return the document in a file called ``name``, and all that is wrong with it.

    As :func:`decode` and :func:`read_document` do.
    """
    source, found = decode(name, data)
    return read_document(source) if source is not None else (None, found)


Read = Callable[[str, bytes], tuple[Node | None, tuple[Diagnostic, ...]]]
"""A function that reads as :func:`read_yaml` does."""


class ReadOnce:
    """Reads as :func:`read_yaml` does, the same bytes once: for who needs a document repeatedly."""

    def __init__(self) -> None:
        """Begin without documents."""
        self._known: dict[tuple[str, bytes], tuple[Node | None, tuple[Diagnostic, ...]]] = {}

    def __call__(self, name: str, data: bytes) -> tuple[Node | None, tuple[Diagnostic, ...]]:
        """Return the document in a file called ``name``, and all that is wrong with it."""
        known = self._known.get((name, data))
        if known is None:
            known = self._known[name, data] = read_yaml(name, data)
        return known


def decode(name: str, data: bytes) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """Return the text of a file called ``name``, or what is wrong with its bytes.

    Only UTF-8 is taken, with or without a byte order mark. Positions in diagnostics are those that
    an editor shows.
    """
    if len(data) > LARGEST_FILE:
        limit = f"{LARGEST_FILE // 1024 // 1024} MiB"
        return None, (
            error(
                "too-large",
                f"{name} is larger than {limit}",
                hint="write hosts as ranges, or split the file into a directory of files",
            ),
        )
    if data.startswith(_WIDE_BOMS) or b"\0" in data[:4]:
        return None, (
            error("not-utf8", f"{name} is UTF-16 or UTF-32 text", hint="save it as UTF-8"),
        )
    try:
        text = data.removeprefix(_UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as problem:
        return None, (_bad_bytes(name, data.removeprefix(_UTF8_BOM), problem.start),)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = Source(name, text)
    if found := _NOT_PRINTABLE.search(text):
        return None, (_refused(source, found, "a character that YAML does not allow"),)
    if found := _OTHER_BREAKS.search(text):
        return None, (_refused(source, found, "a line break of a kind that only YAML 1.1 knows"),)
    return source, ()


def _refused(source: Source, found: re.Match[str], what: str) -> Diagnostic:
    code = f"U+{ord(found.group()):04X}"
    return error(
        "control-character",
        f"{what}: {code}",
        span_at(source, found.start()),
        hint="remove it; editors may show it as nothing at all",
    )


def span_at(source: Source, offset: int, length: int = 1) -> Span:
    """Return the span of ``length`` characters of one line at a character ``offset``."""
    before = source.text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1) + 1
    return Span(source, line, column, line, column + length)


def _bad_bytes(name: str, data: bytes, offset: int) -> Diagnostic:
    shown = data.decode("utf-8", errors="replace")
    prefix = data[:offset].decode("utf-8")
    return error(
        "not-utf8",
        f"a byte that is not UTF-8: 0x{data[offset]:02x}",
        span_at(Source(name, shown), len(prefix)),
        hint="save the file as UTF-8",
    )


class _GiveUpError(Exception):
    """The document can't be read further; the diagnostic is already recorded."""


@dataclass(slots=True)
class _Frame:
    """A collection under construction."""

    start: Span
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merges: list[Node] = field(default_factory=list)
    key: Scalar | None = None
    size: int = 1


def read_document(source: Source) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return the document in ``source`` and all that is wrong with it.

    The node is ``None`` for a document without content, and where the text is no YAML. Duplicate
    keys, unknown tags and ambiguous numbers are errors, but the rest is still returned, so that
    more can be found. Never raises for any text.
    """
    pairs = _Pairs.of(source.text)
    builder = _Builder(source, pairs)
    try:
        for event in yaml.parse(pairs.marked(source.text), Loader=LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as problem:
        return None, (*builder.diagnostics, explain_syntax_error(source, problem))
    except yaml.YAMLError:
        found = error("yaml-syntax", "this is not YAML", Span(source, 1, 1, 1, 2))
        return None, (*builder.diagnostics, found)
    except _GiveUpError:
        return None, tuple(builder.diagnostics)
    return builder.root, tuple(builder.diagnostics)


def duplicate_key(first: Scalar, again: Scalar) -> Diagnostic:
    """Return the error for a key that stands in a mapping already."""
    return error(
        "duplicate-key",
        "this key stands twice in one mapping",
        again.span,
        hint="keep one of the two",
        related=(Related(first.span, "first here"),),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Surrogate pairs in escapes, which JSON has (``"\\ud83d\\ude00"``) and YAML's parser refuses.

    Whether a text is in double quotes, where escapes count, only the parser knows. So the two
    backslashes of a pair become a ``mark``, one character that the text holds neither as such nor
    escaped, and in each scalar that comes of it the pair becomes the character, or the marks
    backslashes again. Places stay what they are. Without pairs, or a character to mark them with,
    ``mark`` is empty.
    """

    mark: str

    @classmethod
    def of(cls, text: str) -> _Pairs:
        """Return what marks the pairs in ``text``."""
        if _PAIR.search(text) is None:
            return cls("")
        escapes = text.lower()
        return cls(
            next(
                (
                    chr(code)
                    for code in _PRIVATE_USE
                    if chr(code) not in text and f"{code:04x}" not in escapes
                ),
                "",
            )
        )

    def marked(self, text: str) -> str:
        """Return ``text`` with the pairs marked."""
        if not self.mark:
            return text
        return _PAIR.sub(rf"\1{self.mark}\2{self.mark}\3", text)

    def resolved(self, text: str, *, escapes: bool) -> str:
        """Return a scalar's text without marks; ``escapes`` says that it was in double quotes."""
        if not self.mark or self.mark not in text:
            return text
        if escapes:
            text = re.sub(f"{self.mark}u(.{{4}}){self.mark}u(.{{4}})", _character, text)
        return text.replace(self.mark, "\\")


def _character(pair: re.Match[str]) -> str:
    high, low = int(pair[1], 16), int(pair[2], 16)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class _Builder:
    """Turns parser events into nodes. Iterative: depth costs no stack."""

    def __init__(self, source: Source, pairs: _Pairs) -> None:
        self.root: Node | None = None
        self.diagnostics: list[Diagnostic] = []
        self._source = source
        self._pairs = pairs
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the document."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._begin(event)

    def _begin(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            self._give_up(
                "second-document",
                "a second document begins here, and one file holds one",
                self._span(event),
                hint="put it into a file of its own, or remove the '---'",
            )

    def _span(self, event: yaml.Event) -> Span:
        start, end = event.start_mark, event.end_mark
        if start is None or end is None:
            return Span(self._source, 1, 1, 1, 1)
        return Span(self._source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _give_up(self, code: str, message: str, span: Span, *, hint: str = "") -> None:
        self.diagnostics.append(error(code, message, span, hint=hint))
        raise _GiveUpError

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        span = self._span(event)
        text = self._pairs.resolved(event.value, escapes=event.style == '"')
        is_key = self._expects_key()
        if event.tag is not None and event.tag != "!":
            node = self._tagged(event.tag, text, span)
        elif event.implicit[0] and event.tag is None:
            node = self._plain(text, span, is_key=is_key)
        else:
            node = Scalar(text, text, plain=False, span=span)
        self._add(node, 1, event.anchor)

    def _plain(self, text: str, span: Span, *, is_key: bool) -> Scalar:
        if not is_key and is_ambiguous(text):
            self.diagnostics.append(
                error(
                    "ambiguous-number",
                    f"{text} is a different number in YAML 1.1 and 1.2",
                    span,
                    hint=f'put quotes around it if it is text: "{text}", '
                    "or write it without leading zeros and underscores",
                )
            )
            return Scalar(text, text, plain=False, span=span)
        return Scalar(resolve(text), text, plain=True, span=span)

    def _tagged(self, tag: str, text: str, span: Span) -> Scalar:
        kind = tag.removeprefix(_CORE)
        if kind == "str":
            return Scalar(text, text, plain=False, span=span)
        value = resolve(text)
        expected = _SCALAR_TYPES.get(kind) if tag.startswith(_CORE) else None
        if expected is None:
            self._unknown_tag(tag, span)
        elif not isinstance(value, expected):
            self.diagnostics.append(
                error("wrong-tag", f"this is no value of type {kind}", span, hint="remove the tag")
            )
        return Scalar(value, text, plain=True, span=span)

    def _unknown_tag(self, tag: str, span: Span) -> None:
        name = tag.replace(_CORE, "!!")
        # The name is not repeated: a value that begins with '!' stands where a tag does.
        words = "this tag is not known"
        hint = "remove the tag, or put quotes around a value that begins with '!'"
        if name == "!vault":
            words = "this is encrypted with ansible-vault, and nothing is decrypted here"
            hint = (
                "write a reference such as ${GLM_API_KEY}, or let Ansible decrypt it: "
                "-i ansible:PATH, with settings of ours under 'aegis'"
            )
        self.diagnostics.append(error("unknown-tag", words, span, hint=hint))

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        span = self._span(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._expects_key():
            self._give_up(
                "complex-key",
                "a key must be a plain word, not a list or a mapping",
                span,
                hint="a value that begins with '{' or '[' needs quotes",
            )
        if len(self._stack) >= DEEPEST:
            self._give_up(
                "too-deep",
                f"nested more than {DEEPEST} levels deep",
                span,
                hint="name groups beside each other, and only refer to them under 'children'",
            )
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self._unknown_tag(event.tag, span)
        self._stack.append(_Frame(span, event.anchor, is_mapping))

    def _close(self, event: yaml.MappingEndEvent | yaml.SequenceEndEvent) -> None:
        frame = self._stack.pop()
        start, end = frame.start, self._span(event)
        span = Span(self._source, start.line, start.column, end.end_line, end.end_column)
        if frame.is_mapping:
            for merged in frame.merges:
                self._merge(frame, merged)
            node: Node = Mapping(tuple(frame.entries.values()), span)
        else:
            node = Sequence(tuple(frame.items), span)
        self._add(node, frame.size, frame.anchor)

    def _alias(self, event: yaml.AliasEvent) -> None:
        span = self._span(event)
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            if any(frame.anchor == event.anchor for frame in self._stack):
                self._give_up(
                    "recursive-alias",
                    "this alias contains itself",
                    span,
                    hint="remove it: what it stands for would never end",
                )
            self._give_up(
                "unknown-alias",
                "this alias has no anchor before it",
                span,
                hint='a value that begins with "*" needs quotes',
            )
            return
        self._add(anchored[0], anchored[1], None)

    def _add(self, node: Node, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, size)
        if size > MOST_NODES:
            self._give_up(
                "too-many-nodes",
                f"with its aliases written out this stands for more than {MOST_NODES:,} values",
                node.span,
                hint="use fewer aliases, or ranges of hosts",
            )
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += size
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is not None:
            self._entry(frame, frame.key, node)
            frame.key = None
        elif isinstance(node, Scalar):
            frame.key = node
        else:
            self._give_up("complex-key", "a key must be a plain word", node.span)

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_mapping and self._stack[-1].key is None

    def _entry(self, frame: _Frame, key: Scalar, value: Node) -> None:
        if key.text == "<<" and key.plain:
            frame.merges.append(value)
            return
        first = frame.entries.get(key.text)
        if first is None:
            frame.entries[key.text] = Entry(key, value)
            return
        self.diagnostics.append(duplicate_key(first.key, key))

    def _merge(self, frame: _Frame, merged: Node) -> None:
        for node in merged.items if isinstance(merged, Sequence) else (merged,):
            if not isinstance(node, Mapping):
                self.diagnostics.append(
                    error(
                        "wrong-merge",
                        "'<<' takes a mapping, or a list of them",
                        node.span,
                        hint="name an anchored mapping: <<: *name",
                    )
                )
                continue
            for entry in node:
                frame.entries.setdefault(entry.key.text, entry)
