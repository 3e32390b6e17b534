"""What goes on, while it goes on: a picture on a terminal, calm lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from aegis_provision.report.console import Encodable, can_redraw, print_lines
from aegis_provision.report.live_view import live_view
from aegis_provision.report.progress_lines import event_lines
from aegis_provision.rollout.events import ReadingStarted, RunFinished, RunStarted
from aegis_provision.rollout.run_state import RunState, reduce

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType
    from rich.live import Live

    from aegis_provision.rollout.events import Event

_PER_SECOND = 4


class ProgressDisplay:
    """Shows events on ``console``. A context manager: on exit the picture is gone.

    Takes events one at a time, from any thread. ``forks`` is how many hosts are worked on at
    once, for the estimate; ``clock`` tells the time in seconds. ``state`` is what is known.
    """

    def __init__(
        self,
        console: Console,
        *,
        verbosity: int,
        quiet: bool,
        forks: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._verbosity = verbosity
        self._quiet = quiet
        self._forks = forks
        self._clock = clock
        self._live: Live | None = None
        self.state = RunState()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        before = self.state
        self.state = reduce(before, event, self._clock())
        if isinstance(event, ReadingStarted | RunStarted):
            self._begin()
        elif isinstance(event, RunFinished):
            self.pause()
        drawn = self._live is not None
        lines = event_lines(
            before, event, verbosity=self._verbosity, quiet=self._quiet, drawn=drawn
        )
        if lines:
            print_lines(self._console, lines)

    def pause(self) -> None:
        """Take the picture away: something else is about to be printed or asked."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def redraw(self) -> None:
        """Draw the picture as it looks now; it is drawn again by itself several times a second."""
        if self._live is not None:
            self._live.refresh()

    def _begin(self) -> None:
        self.pause()
        if self._quiet or not can_redraw(self._console):
            return
        from rich.live import Live

        # What others print on stdout is the result, and must not come out here.
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _draw(self) -> RenderableType:
        width, height = self._console.size
        return Encodable(
            live_view(self.state, self._clock(), width=width, height=height, forks=self._forks)
        )
