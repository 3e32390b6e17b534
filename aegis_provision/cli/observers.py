"""Who watches a run: the terminal, a stream of events, the page of ``--report``."""

from __future__ import annotations

import gc
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.cli.output import echo
from aegis_provision.errors import InputError
from aegis_provision.files.reading import check_regular
from aegis_provision.rollout.events import EventBus
from aegis_provision.rollout.run_state import RunTracker
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.cli.output import Output
    from aegis_provision.report.ndjson import EventStream
    from aegis_provision.report.progress_display import ProgressDisplay
    from aegis_provision.rollout.events import Emit

_MODE = 0o666
"""The page's mode, less the umask: it holds no secrets."""


@dataclass(frozen=True, slots=True)
class Observers:
    """The display, the stream of events where one is wanted, and all who are told of events.

    ``bugs`` is what any of them raised.
    """

    display: ProgressDisplay
    stream: EventStream | None
    observers: tuple[Emit, ...]
    bugs: list[Exception] = field(default_factory=list)

    @property
    def emit(self) -> EventBus:
        """Return what tells all of them."""
        return EventBus(self.observers, self.bugs)


@contextmanager
def observe_run(
    output: Output,
    *,
    forks: int,
    events: bool = True,
    report: Path | None = None,
    about: Mapping[str, str] | None = None,
) -> Iterator[Observers]:
    """Watch for as long as the block runs; ``forks`` hosts are worked on at once.

    With ``--format ndjson`` events are printed, unless ``events`` is false. A page is written to
    ``report`` at the end, with ``about`` in its head. Raises what an observer raised, once all is
    done that the block is for.
    """
    from aegis_provision.report.progress_display import ProgressDisplay

    # What was read stays for as long as the run does, so it need not be looked through.
    gc.freeze()
    gc.enable()
    stream = _event_stream() if events and output.format == "ndjson" else None
    # Events that scroll by on the same terminal say all that the picture would.
    quiet = output.quiet or (stream is not None and sys.stdout.isatty())
    observers: list[Emit] = [] if stream is None else [stream]
    with ExitStack() as stack:
        if report is not None:
            observers.append(stack.enter_context(html_report_at(report, about)))
        display = stack.enter_context(
            ProgressDisplay(output.err, verbosity=output.verbosity, quiet=quiet, forks=forks)
        )
        observing = Observers(display, stream, (*observers, display))
        yield observing
    if observing.bugs:
        raise observing.bugs[0]


def _event_stream() -> EventStream:
    from aegis_provision.report.ndjson import EventStream

    return EventStream(sys.stdout)


def check_report_path(path: Path) -> None:
    """Raise :class:`Error` if no page can be written at ``path``."""
    from aegis_provision.files.atomic import check_writable

    try:
        # A page replaces what is there: a device or a pipe would be gone.
        with suppress(FileNotFoundError):
            check_regular(path, path.stat())
        check_writable(path, _MODE)
    except OSError as problem:
        raise InputError(
            f"--report: {path} can't be written: {problem.strerror or problem}",
            "name a file in a directory of yours",
        ) from None


@contextmanager
def html_report_at(path: Path, about: Mapping[str, str] | None) -> Iterator[RunTracker]:
    """Follow the run while the block runs, then write its page to ``path``.

    Raises :class:`Error` at once if no file can be written there. If writing fails in the end, a
    message says so and the run's outcome stays.
    """
    check_report_path(path)
    tracker = RunTracker(time.time)
    yield tracker
    if tracker.state.schedule is not None:
        from aegis_provision.report.html_page import render_page

        write_page(path, render_page(tracker.state, about))


def write_page(path: Path, page: str) -> None:
    """Write ``page`` to ``path``; if that fails, a message says so."""
    from aegis_provision.files.atomic import write_new

    try:
        write_new(path, page.encode("utf-8", "backslashreplace"), _MODE)
    except OSError as problem:
        echo(f"error: the page {path} can't be written: {problem.strerror}", err=True)
