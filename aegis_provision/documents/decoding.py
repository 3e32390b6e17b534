"""Bytes of a file to text, or why they are none."""

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


def decode(name: str, data: bytes) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """Return the text of a file called ``name``, or what is wrong with its bytes.

    Only UTF-8 is taken, with or without a byte order mark. Positions in findings are those that
    an editor shows.
    """
    if len(data) > LARGEST_FILE:
        size = f"{len(data) / 1024 / 1024:.0f} MiB"
        limit = f"{LARGEST_FILE // 1024 // 1024} MiB"
        return None, (error("too-large", f"{name} has {size}; at most {limit} are read"),)
    if data.startswith(_WIDE_BOMS) or b"\0" in data[:4]:
        return None, (
            error("not-utf8", f"{name} is UTF-16 or UTF-32 text", hint="save it as UTF-8"),
        )
    try:
        text = data.removeprefix(_UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as problem:
        return None, (_bad_bytes(name, data, problem),)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = Source(name, text)
    if found := _NOT_PRINTABLE.search(text):
        char = found.group()
        return None, (
            error(
                "control-character",
                f"a character that YAML does not allow: U+{ord(char):04X}",
                span_at(source, found.start()),
                hint='remove it, or write it as an escape in double quotes: "\\x07"',
            ),
        )
    return source, ()


def span_at(source: Source, offset: int, length: int = 1) -> Span:
    """Return the span of ``length`` characters of one line at a character ``offset``."""
    before = source.text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1) + 1
    return Span(source, line, column, line, column + length)


def _bad_bytes(name: str, data: bytes, problem: UnicodeDecodeError) -> Diagnostic:
    offset = problem.start - (len(_UTF8_BOM) if data.startswith(_UTF8_BOM) else 0)
    shown = data.removeprefix(_UTF8_BOM).decode("utf-8", errors="replace")
    prefix = data.removeprefix(_UTF8_BOM)[:offset].decode("utf-8", errors="replace")
    return error(
        "not-utf8",
        f"a byte that is not UTF-8: 0x{data[problem.start]:02x}",
        span_at(Source(name, shown), len(prefix)),
        hint="save the file as UTF-8",
    )
