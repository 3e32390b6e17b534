"""How a comment in Markdown is laid out: a headline, a table of sums, and folded sections.

GitHub and GitLab show it under a pull or merge request. Text from files and hosts appears only as
code, which neither of them takes for markup, a link or a mention of a person. What comments say is
in :mod:`.markdown_comments`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from aegis_provision.humanize import counted, escape_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.text import Text

LONGEST_COMMENT = 65_000
"""How many characters a comment has at most: GitHub takes 65,536."""

WIDTH = 100
"""How many columns wrapped names may have in a block of code."""

_RESERVE = 200
_FEW_LINES = 5
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


@dataclass(frozen=True, slots=True)
class Section:
    """What is folded under a headline: its words, and what follows them as code."""

    words: str
    code: str
    blocks: tuple[Block, ...]
    is_open: bool = False


def comment(
    title: str,
    counts: Mapping[str, int],
    sections: Sequence[Section],
    *,
    facts: Mapping[str, str] | None = None,
    longest: int = LONGEST_COMMENT,
) -> str:
    """Return a comment: a headline, a table of sums, and a folded part for each section.

    ``title`` and the keys are our own words; ``facts`` are further rows, whose values stand as
    code. It has at most ``longest`` characters: then sections lose lines, the last ones first, and
    a line says how many are left out.
    """
    rows = [f"| {words} | {number} |" for words, number in counts.items() if number]
    rows += [f"| {name} | {_code(value)} |" for name, value in (facts or {}).items() if value]
    head = [f"## {title}", "", "| | |", "| --- | ---: |", *(rows or ["| hosts | 0 |"]), ""]
    text = "\n".join(head) + "\n"
    left_out = 0
    for section in sections:
        room = longest - len(text) - _RESERVE
        shown = _section(section)
        if len(shown) > room:
            shown = _shortened(section, room)
        if not shown or left_out:
            left_out += 1
        else:
            text += shown
    if left_out:
        more = counted(left_out, "more group")
        text += f"_{more} of hosts left out: a comment has no room for them._\n"
    return text


def _section(section: Section) -> str:
    code = f" {_code(section.code)}" if section.code else ""
    state = " open" if section.is_open else ""
    head = f"<details{state}>\n<summary>{html.escape(section.words)}{code}</summary>\n\n"
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
    """Return ``text`` as code on a line, and in a table, where a bar would end the cell."""
    return f"<code>{html.escape(escape_control(text)).replace('|', '&#124;')}</code>"
