"""An edit of the operator's files as a unified diff, without lines that may hold a secret."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.decoding import decode
from aegis_provision.documents.quoting import may_quote
from aegis_provision.documents.source import Source
from aegis_provision.humanize import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STYLE = {"-": "red", "+": "green", "@": "cyan", " ": ""}
_WITHHELD = "(line not shown: it may hold a secret)"
_NO_LINE_END = "\\ No newline at end of file"


def diff_lines(name: str, before: bytes, after: bytes) -> list[Text]:
    """Return the lines of a unified diff of the file called ``name``.

    Line ends are not shown, except that a missing one at the end of the file is noted.
    """
    return [
        Text(escape_control(line), style=_STYLE.get(line[:1], ""))
        for line in _diff(name, before, after)
    ]


def diff_text(name: str, before: bytes, after: bytes) -> str:
    """Return the diff as text."""
    return "".join(f"{escape_control(line)}\n" for line in _diff(name, before, after))


def _diff(name: str, before: bytes, after: bytes) -> Iterator[str]:
    yield f"--- {name}"
    yield f"+++ {name}"
    old, new = _Lines(name, before), _Lines(name, after)
    matcher = SequenceMatcher(None, old.lines, new.lines, autojunk=False)
    for group in matcher.get_grouped_opcodes(3):
        first, last = group[0], group[-1]
        yield f"@@ -{_hunk_range(first[1], last[2])} +{_hunk_range(first[3], last[4])} @@"
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                yield from old.shown(" ", range(old_from, old_to))
                continue
            yield from old.shown("-", range(old_from, old_to))
            yield from new.shown("+", range(new_from, new_to))


def _hunk_range(start: int, end: int) -> str:
    count = end - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


class _Lines:
    def __init__(self, name: str, data: bytes) -> None:
        source, _ = decode(name, data)
        self._source = source or Source(name, "")
        self.lines: Sequence[str] = self._source.text.split("\n")
        self._ended = not self.lines[-1]
        if self._ended:
            self.lines = self.lines[:-1]

    def shown(self, sign: str, numbers: range) -> Iterator[str]:
        for number in numbers:
            line = self.lines[number]
            yield sign + (line if may_quote(self._source, number + 1) else _WITHHELD)
            if number == len(self.lines) - 1 and not self._ended:
                yield _NO_LINE_END
