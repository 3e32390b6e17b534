"""How a comment in Markdown is laid out: a headline, a table of sums, and folded sections.

GitHub and GitLab show it under a pull or merge request. Text from files and hosts appears only as
code, which neither of them takes for markup, a link or a mention of a person. What comments say is
in :mod:`.markdown_comments`.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from aegis_provision.humanize import counted, escape_control, group_by
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.text import Text

LONGEST_COMMENT = 65_000
"""How many characters a comment has at most: GitHub takes 65,536."""

WIDTH = 100
"""How many columns wrapped names and sentences may have in a block of code."""

_RESERVE = 200
_FEW_LINES = 5
_LONGEST_FACT = 300
_BACKTICKS = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of code; in ``diff`` those that begin with + and - have colours."""

    lines: tuple[str, ...]
    language: Literal["text", "diff"] = "text"

    @classmethod
    def of(cls, lines: Iterable[Text]) -> Block:
        """Return ``lines`` of a report, without their styles and their common margin."""
        plain = [line.plain for line in lines]
        margin = min((len(line) - len(line.lstrip(" ")) for line in plain if line), default=0)
        return cls(tuple(line[margin:] for line in plain))

    def wrapped(self) -> Block:
        """Return the lines in :data:`WIDTH` columns: neither forge wraps code."""
        return replace(self, lines=tuple(part for line in self.lines for part in _wrap(line)))


def _wrap(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    margin = " " * (len(line) - len(line.lstrip(" ")) + 2)
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


@dataclass(frozen=True, slots=True)
class Section:
    """What is folded under a headline: our own words, ``codes``, and blocks below it.

    It is about ``hosts`` hosts. Where a comment is too short for all sections, each ``kind`` of
    them has its share of the room.
    """

    words: str
    codes: tuple[str, ...]
    blocks: tuple[Block, ...]
    is_open: bool = False
    kind: str = ""
    hosts: int = 0


def comment(
    title: str,
    counts: Mapping[str, int],
    sections: Sequence[Section],
    *,
    facts: Mapping[str, str] | None = None,
    longest: int = LONGEST_COMMENT,
) -> str:
    """Return a comment: a headline, a table of sums, and a folded part for each section.

    ``title``, ``kind`` and the keys are our own words; ``facts`` are further rows, whose values
    stand as code. It has at most ``longest`` characters: then the last sections of the kinds that
    need the most are shorter, or left out, and a line for each such kind says how many.
    """
    rows = [f"| {words} | {number} |" for words, number in counts.items() if number]
    rows += [f"| {name} | {_code_span(value)} |" for name, value in (facts or {}).items() if value]
    head = [f"## {title}", "", "| | |", "| --- | ---: |", *(rows or ["| hosts | 0 |"]), ""]
    text = "\n".join(head) + "\n"
    kinds = group_by(sections, lambda section: section.kind)
    needs = [sum(len(_section(section)) for section in items) for items in kinds.values()]
    rooms = _shares(needs, longest - len(text), _RESERVE)
    for (kind, items), room in zip(kinds.items(), rooms, strict=True):
        text += _kind(kind, items, room)
    return text


def _shares(needs: Sequence[int], room: int, spare: int) -> list[int]:
    """Return how much of ``room`` each gets: what it needs, or an equal part of what is left.

    Each of those that get less than they need keeps ``spare`` for what says so.
    """
    if sum(needs) <= room:
        return list(needs)
    given = [0] * len(needs)
    waiting = sorted(range(len(needs)), key=needs.__getitem__)
    for done, index in enumerate(waiting):
        given[index] = min(needs[index] + spare, room // (len(waiting) - done))
        room -= given[index]
    return given


def _kind(kind: str, sections: Sequence[Section], room: int) -> str:
    """Return ``sections`` in at most ``room`` characters; the last line says what is left out."""
    whole = "".join(map(_section, sections))
    if len(whole) <= room:
        return whole
    room -= _RESERVE
    text = ""
    for index, section in enumerate(sections):
        shown = _section(section)
        cut = len(shown) > room - len(text)
        if cut:
            shown = _shortened(section, room - len(text))
        text += shown
        if cut:
            rest = sections[index + bool(shown) :]
            return text + _left_out(kind, rest)
    return text


def _left_out(kind: str, sections: Sequence[Section]) -> str:
    if not sections:
        return ""
    hosts = sum(section.hosts for section in sections)
    of_hosts = f" with {counted(hosts, 'host')}" if hosts else ""
    more = f"{kind or 'hosts'}: {counted(len(sections), 'more group')}{of_hosts}"
    return f"_{more}: a comment has no room for them._\n\n"


def _section(section: Section) -> str:
    codes = "".join(f" {_code(code)}" for code in section.codes)
    state = " open" if section.is_open else ""
    head = f"<details{state}>\n<summary>{html.escape(section.words)}{codes}</summary>\n\n"
    return head + "".join(f"{_fenced(block)}\n" for block in section.blocks) + "</details>\n\n"


def _shortened(section: Section, room: int) -> str:
    """Return ``section`` with as many lines as fit, empty where hardly any do."""
    few = replace(section, blocks=())
    left = room - len(_section(few)) - _RESERVE
    blocks: list[Block] = []
    for block in section.blocks:
        lines: list[str] = []
        for line in block.lines:
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        cut = len(block.lines) - len(lines)
        more = (f"... {counted(cut, 'more line')}",) if cut else ()
        blocks.append(replace(block, lines=(*lines, *more)))
        if cut:
            break
        left -= _RESERVE // 4
    if sum(len(block.lines) for block in blocks) < _FEW_LINES:
        return ""
    return _section(replace(section, blocks=tuple(blocks)))


def _fenced(block: Block) -> str:
    longest = max((len(run) for line in block.lines for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{block.language}", *block.lines, fence]) + "\n"


def _code(text: str) -> str:
    """Return ``text`` as code in a line of HTML, which no Markdown is looked for in."""
    return f"<code>{html.escape(escape_control(text))}</code>"


def _code_span(text: str) -> str:
    """Return ``text`` as code in a table, where a bar would end the cell.

    HTML would not do: within a cell, markup in an element counts.
    """
    cut = f"{text[:_LONGEST_FACT]}..." if len(text) > _LONGEST_FACT else text
    shown = escape_control(cut).replace("|", "\\|")
    longest = max((len(run) for run in _BACKTICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
