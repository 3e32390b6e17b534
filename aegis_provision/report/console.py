"""Consoles, the printing of lines, and the words that several reports share."""

from __future__ import annotations

import textwrap
from typing import IO, TYPE_CHECKING, Literal, TypeVar

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from aegis_provision.humanize import escape_control
from aegis_provision.inventory.pins import LONGEST_REASON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.inventory.settings import Value
    from aegis_provision.playbook.plays import Schedule

K = TypeVar("K")
Color = Literal["auto", "always", "never"]
PLAIN_WIDTH = 100
UNKNOWN = "unknown until apply"
"""The state of a token that can't be compared, because the wanted one was withheld."""
_MINUTE = 60
_HOUR = 3600


def make_console(stream: IO[str], color: Color, *, no_color: bool) -> Console:
    """Return a console on ``stream``.

    ``no_color`` means that ``NO_COLOR`` is set: it overrides ``auto`` only. If the stream is no
    terminal, lines are never wrapped or cut, so that they can be searched and compared.
    """
    plain = color == "never" or (color == "auto" and no_color)
    return Console(
        file=stream,
        force_terminal=True if color == "always" else None,
        no_color=plain or None,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def text_width(console: Console) -> int:
    """Return how many columns wrapped text may have on ``console``."""
    return max(60, console.width) if console.is_terminal else PLAIN_WIDTH


def can_redraw(console: Console) -> bool:
    """Tell whether ``console`` can redraw lines: only a terminal can."""
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


class Encodable:
    """A renderable, with every character that the stream can't encode as an escape.

    The stream would escape it too, but only after rich has counted columns: the line would then be
    wider than the terminal, and the live view could not be erased.
    """

    def __init__(self, inner: RenderableType) -> None:
        """Wrap ``inner``."""
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the segments of ``inner``."""
        for piece in console.render(self._inner, options):
            yield Segment(encodable(piece.text, console.encoding), piece.style, piece.control)


def encodable(text: str, encoding: str) -> str:
    """Return ``text`` with each character that ``encoding`` lacks as a backslash escape."""
    if text.isascii():
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print ``lines`` as they are: no wrapping, no markup.

    Without colours they are written at once: a plan of a thousand hosts has ten thousand lines, and
    styling each costs more than reading a host.
    """
    lines = list(lines)
    if console.color_system is None:
        _print_plain(console, "".join(f"{line.plain}\n" for line in lines))
        return
    for line in lines:
        console.print(line, soft_wrap=True)


def _print_plain(console: Console, text: str) -> None:
    if console.is_terminal:
        console.out(text, end="")  # above the live view
        return
    console.file.write(text)
    console.file.flush()


def count_words(counts: Mapping[K, int], words: Mapping[K, str]) -> list[str]:
    """Return ``3 applied`` and the like, in the order of ``words``, for what there is any of."""
    return [f"{counts[key]} {text}" for key, text in words.items() if counts.get(key)]


def hint_lines(hint: str) -> list[Text]:
    """Return the line of a host that says what to try, if anything."""
    return [Text(f"    try: {escape_control(hint)}")] if hint else []


def host_warning_lines(warnings: Iterable[str]) -> list[Text]:
    """Return the lines of a host that warn."""
    return [Text(f"    warning: {escape_control(item)}", style="magenta") for item in warnings]


def name_lines(names: Iterable[str], width: int) -> list[Text]:
    """Return ``names`` as indented, wrapped text, never broken inside a name."""
    wrapped = textwrap.wrap(
        ", ".join(names), width=width - 4, break_long_words=False, break_on_hyphens=False
    )
    return [Text(f"    {line}") for line in wrapped]


def pin_text(pin: Pin, *, longest_reason: int = LONGEST_REASON) -> str:
    """Return a pin as text: ``pin until 2026-12-31: tries another model``."""
    until = f" until {pin.until.value}" if pin.until is not None else ""
    reason = textwrap.shorten(pin.reason, longest_reason, placeholder="...")
    return f"pin{until}: {reason}" if reason else f"pin{until}"


def origin_text(holder: str, span: Span) -> str:
    """Return who set a value and where; Ansible's own place says both."""
    return f"{holder}, {span}" if span.source.numbered else str(span)


def setting_text(value: Value | None) -> str:
    """Return a setting's value as it stands in an inventory."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or '""'


def duration(seconds: float) -> str:
    """Return a duration in whole seconds: ``12s``, ``3m 05s``, ``1h 04m``."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def fine_duration(seconds: float) -> str:
    """Return a duration with tenths below ten seconds: ``0.4s``."""
    short = f"{max(0.0, seconds):.1f}s"
    return short if len(short) <= len("9.9s") else duration(seconds)


def is_plain(schedule: Schedule) -> bool:
    """Tell whether a schedule is one play without a name: then reports do not mention plays."""
    return len(schedule.plays) == 1 and not schedule.plays[0].play.name


def play_title(schedule: Schedule, index: int) -> str:
    """Return the title of a play: ``Play 2/3 "Everyone else"``."""
    name = schedule.plays[index].play.name
    number = f"Play {index + 1}/{len(schedule.plays)}"
    return f'{number} "{name}"' if name else number
