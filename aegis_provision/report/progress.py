"""What goes on, while it goes on: a bar on a terminal, calm lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.text import Text

from aegis_provision.planning.model import Action
from aegis_provision.report.apply_text import result_lines
from aegis_provision.report.console import print_lines, visible
from aegis_provision.rollout.events import (
    HostFinished,
    HostPlanned,
    KeysAccepted,
    ReadingStarted,
    StopRequested,
    WritingStarted,
)
from aegis_provision.rollout.outcome import WENT_WELL

if TYPE_CHECKING:
    from rich.console import Console

    from aegis_provision.rollout.events import Event

_BAD = {Action.ERROR, Action.UNREACHABLE}


class ProgressDisplay:
    """Shows events on ``console``. A context manager: on exit the bar is gone."""

    def __init__(self, console: Console, *, verbosity: int, quiet: bool) -> None:
        self._console = console
        self._verbosity = verbosity
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_bar()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case ReadingStarted(hosts):
                self._begin("Reading", hosts)
            case WritingStarted(hosts):
                self._begin("Writing", hosts)
            case HostPlanned(plan):
                self._advance()
                if self._verbosity or plan.action in _BAD:
                    self._say(Text(f"{plan.host}: {plan.action}"))
            case HostFinished(_, result):
                self._advance()
                if not self._quiet and (self._bar is None or result.status not in WENT_WELL):
                    print_lines(self._console, result_lines(result))
            case KeysAccepted(host, keys):
                for key in keys:
                    where = f"{host}: accepted new host key for {key.name}"
                    print_lines(
                        self._console, [Text(visible(f"{where}: {key.key_type} {key.fingerprint}"))]
                    )
            case StopRequested(running):
                words = f"Stopping: no further host is begun; {running} under way will finish."
                print_lines(self._console, [Text(words)])

    def pause(self) -> None:
        """Take the bar away: something else is about to be printed or asked."""
        self._stop_bar()

    def _begin(self, verb: str, hosts: int) -> None:
        self._stop_bar()
        noun = "host" if hosts == 1 else "hosts"
        if self._quiet or not hosts:
            return
        if not self._console.file.isatty():
            self._say(Text(f"{verb} {hosts} {noun}"))
            return
        self._bar = Progress(
            TextColumn(f"{verb} {hosts} {noun}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=hosts)

    def _advance(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def _say(self, line: Text) -> None:
        if not self._quiet:
            print_lines(self._console, [line])

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
