"""What a command prints: its result on stdout, all else on stderr."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import IO, TYPE_CHECKING, Literal

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.suggested_commands import complete_hints
from aegis_provision.documents.diagnostic import Severity
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.text import Text

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.report.console import Color
    from aegis_provision.report.json_documents import Document

Format = Literal["text", "json", "ndjson", "sarif", "markdown"]
"""How the result is printed on stdout."""


@dataclass(frozen=True)
class Output:
    """The streams of a command, and how the operator wants them to look.

    ``out`` is for the result and nothing else; ``err`` for progress, warnings and errors.
    """

    color: Color
    no_color: bool
    format: Format
    verbosity: int
    quiet: bool

    @cached_property
    def out(self) -> Console:
        """The console on stdout."""
        return self._console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """The console on stderr."""
        return self._console(sys.stderr)

    def _console(self, stream: IO[str]) -> Console:
        from aegis_provision.report.console import make_console

        return make_console(stream, self.color, no_color=self.no_color)

    @property
    def every_host(self) -> bool:
        """Whether each host is named, however many there are."""
        return self.verbosity > 0

    @property
    def width(self) -> int:
        """How many columns wrapped text may have on stdout."""
        from aegis_provision.report.console import text_width

        return text_width(self.out)

    def print_lines(self, lines: Iterable[Text]) -> None:
        """Print ``lines`` on stdout."""
        from aegis_provision.report.console import print_lines

        print_lines(self.out, lines)

    def print_document(self, content: Document) -> None:
        """Print ``content`` on stdout: laid out, or on one line for ``ndjson``."""
        from aegis_provision.report.json_documents import as_line, as_text

        echo(as_line(content) if self.format == "ndjson" else as_text(content))

    def print_diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Print ``diagnostics`` on stderr; with ``--quiet`` neither notes nor reminders."""
        shown = [
            item
            for item in diagnostics
            if not (self.quiet and (item.severity is Severity.NOTE or item.reminder))
        ]
        if shown:
            from aegis_provision.report.console import print_lines
            from aegis_provision.report.diagnostics import diagnostics_lines

            given = Invocation.current().given
            print_lines(self.err, diagnostics_lines(complete_hints(shown, given)))

    def info(self, text: str) -> None:
        """Print ``text``, which is no result, on stderr, unless there is ``--quiet``."""
        if not self.quiet:
            self.err.print(text, markup=False, highlight=False, soft_wrap=True)


def echo(text: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Print ``text`` on stdout, or on stderr with ``err``, and flush it.

    Always through the process's own stream: click's own function goes around one whose encoding
    is ASCII, and writes UTF-8 there.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(text + end)
    stream.flush()


def echo_utf8(text: str) -> None:
    """Print ``text`` on stdout as the UTF-8 bytes of a file, in any locale."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream in memory has none
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode())
    buffer.flush()
