"""How a command stops before its end: expected, said in words, with its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.exit_codes import ExitCode
    from aegis_provision.documents.diagnostic import Diagnostic


class CommandError(Exception):
    """A command can't go on: ``message`` says why, ``hint`` what to do next.

    ``reasons`` are for what can't be done for several reasons at once, each a line of its own.
    """

    def __init__(
        self, code: ExitCode, message: str, hint: str = "", reasons: Sequence[str] = ()
    ) -> None:
        """Keep the parts; nobody shows this exception as such."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.reasons = tuple(reasons)


class InvalidInputError(Exception):
    """The operator's input has errors; ``diagnostics`` holds all of them, warnings too."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Keep the findings."""
        super().__init__(f"{len(diagnostics)} findings")
        self.diagnostics = tuple(diagnostics)
