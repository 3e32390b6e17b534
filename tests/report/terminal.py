"""A terminal that can be looked at: what is printed on it ends up on a screen."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyte

from aegis_provision.report.console import make_console

if TYPE_CHECKING:
    import pytest
    from rich.console import Console

    from aegis_provision.report.console import Color

_LINE_FEED_RETURNS = 20
_HISTORY = 5000


class Terminal(io.StringIO):
    """A terminal of ``columns`` by ``lines``."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self._screen = pyte.HistoryScreen(columns, lines, history=_HISTORY)
        self._screen.set_mode(_LINE_FEED_RETURNS)
        self._stream = pyte.Stream(self._screen)

    def isatty(self) -> bool:
        """Say so."""
        return True

    def write(self, text: str, /) -> int:
        """Do what ``text`` asks for."""
        self._stream.feed(text)
        return super().write(text)

    @property
    def screen(self) -> list[str]:
        """What is to be seen, without what is empty at the end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def scrolled(self) -> int:
        """How many lines have left at the top."""
        return len(self._screen.history.top)

    @property
    def cursor_hidden(self) -> bool:
        """Whether the cursor is hidden."""
        return bool(self._screen.cursor.hidden)


def console_on(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    *,
    columns: int = 80,
    lines: int = 24,
    color: Color = "auto",
    no_color: bool = False,
) -> Console:
    """Return a console on ``terminal``, as a command makes its own."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    return make_console(terminal, color, no_color=no_color)
