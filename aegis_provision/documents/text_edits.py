"""Stretches of a text that are put in the place of others, all at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class TextEdit:
    """``text`` in the place of what stands from ``start`` to ``end``.

    ``lines`` says that whole lines go: then the text keeps, or keeps lacking, its last line end.
    """

    start: int
    end: int
    text: str = field(default="", repr=False)
    lines: bool = False


def apply_text_edits(text: str, splices: Iterable[TextEdit]) -> str:
    """Return ``text`` with ``splices`` made; those at one place come in the order given.

    Raises :class:`ValueError` where two of them are about the same characters.
    """
    pieces: list[str] = []
    done = 0
    for splice in _merged(text, sorted(splices, key=lambda item: (item.start, item.end))):
        if splice.start < done:
            raise ValueError("two edits are about the same text")
        pieces += [text[done : splice.start], splice.text]
        done = splice.end
    return "".join([*pieces, text[done:]])


def _merged(text: str, splices: Iterable[TextEdit]) -> list[TextEdit]:
    """Join lines that go together, so that the end of the last of them can be seen to."""
    merged: list[TextEdit] = []
    for splice in splices:
        last = merged[-1] if merged else None
        if last is not None and last.lines and splice.lines and last.end == splice.start:
            merged[-1] = TextEdit(last.start, splice.end, lines=True)
        else:
            merged.append(splice)
    if merged and merged[-1].lines and merged[-1].end == len(text) and not _ends_line(text):
        last = merged[-1]
        merged[-1] = TextEdit(last.start - len(_line_end_before(text, last.start)), last.end)
        merged.sort(key=lambda item: (item.start, item.end))
    return merged


def _ends_line(text: str) -> bool:
    return text.endswith(("\n", "\r"))


def _line_end_before(text: str, place: int) -> str:
    if text[:place].endswith("\r\n"):
        return "\r\n"
    return text[place - 1 : place]


def end_of_line(text: str, place: int) -> int:
    """Return where the line of ``place`` ends, before its line end."""
    found = _LINE_END.search(text, place)
    return found.start() if found else len(text)


def after_line(text: str, place: int) -> int:
    """Return where the line after that of ``place`` begins."""
    found = _LINE_END.search(text, place)
    return found.end() if found else len(text)


def start_of_line(text: str, place: int) -> int:
    """Return where the line of ``place`` begins."""
    return max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1


def line_end_at(text: str, place: int) -> str:
    """Return the line end to use at ``place``: the one that is there, else the text's first."""
    found = _LINE_END.match(text, place) or _LINE_END.search(text)
    return found.group() if found else "\n"


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of a character."""
    line = len(_LINE_END.findall(text, 0, start_of_line(text, offset))) + 1
    return line, offset - start_of_line(text, offset) + 1
