"""Decodes the bytes of a file, or says why they are no text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.source import Source, Span

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic

LARGEST_FILE = 16 * 1024 * 1024
"""How many bytes a document may have."""

_UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
# What YAML 1.2 (5.1) allows as characters, less the byte order mark inside of the text.
_NOT_PRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# Line breaks to YAML 1.1 and to the parser, characters like any other to YAML 1.2 and to editors.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")


def decode(name: str, data: bytes) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """Return the text of a file called ``name``, or what is wrong with its bytes.

    Only UTF-8 is taken, with or without a byte order mark. Positions in findings are those that
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
