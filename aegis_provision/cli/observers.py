"""Who watches a run: the terminal, a stream of events, a page."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.cli.html_report import html_report_at
from aegis_provision.rollout.event_bus import EventBus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.report.ndjson import EventStream
    from aegis_provision.report.progress_display import ProgressDisplay
    from aegis_provision.rollout.events import Emit


@dataclass(frozen=True, slots=True)
class Observers:
    """The display, the stream of events where one is wanted, and all who are told of events.

    ``bugs`` is what any of them raised.
    """

    display: ProgressDisplay
    stream: EventStream | None
    observers: tuple[Emit, ...]
    bugs: list[Exception] = field(default_factory=list)

    def emit_to(self, *first: Emit) -> EventBus:
        """Return what tells ``first``, and then all of them."""
        return EventBus([*first, *self.observers], self.bugs)

    @property
    def emit(self) -> EventBus:
        """Return what tells all of them."""
        return self.emit_to()


@contextmanager
def observe_run(
    output: Output,
    output_format: Format,
    *,
    forks: int,
    report: Path | None = None,
    about: Mapping[str, str] | None = None,
) -> Iterator[Observers]:
    """Watch for as long as the block runs; ``forks`` hosts are worked on at once.

    A page is written to ``report`` at the end, with ``about`` in its head. Raises what an observer
    raised, once all is done that the block is for.
    """
    from aegis_provision.report.ndjson import EventStream
    from aegis_provision.report.progress_display import ProgressDisplay

    stream = EventStream(sys.stdout) if output_format == "ndjson" else None
    # Events that scroll by on the same terminal say all that the picture would.
    quiet = output.quiet or (stream is not None and sys.stdout.isatty())
    observers: list[Emit] = [] if stream is None else [stream]
    with ExitStack() as undo:
        if report is not None:
            observers.append(undo.enter_context(html_report_at(report, about)))
        display = undo.enter_context(
            ProgressDisplay(output.err, verbosity=output.verbosity, quiet=quiet, forks=forks)
        )
        watch = Observers(display, stream, (*observers, display))
        yield watch
    if watch.bugs:
        raise watch.bugs[0]
