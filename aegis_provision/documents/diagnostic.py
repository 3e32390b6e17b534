"""What is wrong (or noteworthy) in the operator's input, as a value."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.documents.nodes import Span


class Severity(Enum):
    """How much a diagnostic matters: an error stops everything, the others do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that belongs to a diagnostic, and what it has to do with it."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One diagnostic.

    ``code`` is a stable kebab-case name (``unknown-key``). ``message`` says what is wrong and
    why; ``hint`` what to do next (may be empty). Neither ever repeats a secret. ``span`` is
    ``None`` only where no text is at fault (a file that is missing, an unset variable).
    ``hosts`` names the hosts concerned, where the diagnostic is not about the text alone.
    ``quotable`` is false where ``span`` covers a secret: then no diagnostic quotes its lines. A
    ``reminder`` is told in one line, without a quote and a hint, and not at all where
    the operator asked for quiet.
    """

    severity: Severity
    code: str
    message: str
    span: Span | None = None
    hint: str = ""
    related: tuple[Related, ...] = ()
    hosts: tuple[str, ...] = ()
    quotable: bool = True
    reminder: bool = False

    @property
    def is_error(self) -> bool:
        """Tell whether this stops everything."""
        return self.severity is Severity.ERROR

    @property
    def place(self) -> str:
        """Return ``file:line:column``, empty where no text is at fault."""
        return "" if self.span is None else str(self.span)


error = partial(Diagnostic, Severity.ERROR)
"""A diagnostic that stops the run."""

warning = partial(Diagnostic, Severity.WARNING)
"""A diagnostic that the operator should act on, but that stops nothing."""

note = partial(Diagnostic, Severity.NOTE)
"""A diagnostic that is only worth knowing."""

LITERAL_SECRET = "literal-secret"  # noqa: S105 - a diagnostic's code
"""The code of errors about a secret that is written down."""

_OF_FORM = frozenset(
    ["ambiguous-number", "not-allowed", "out-of-range", "unknown-tag", "wrong-tag", "wrong-type",
     "stray-reference"]
)  # fmt: skip


def drop_followups(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return ``diagnostics`` without the errors that follow from another one at the same place.

    Where a value has the wrong form, later checks of it add nothing. Where another error says what
    is wrong with a secret, the error that it is a secret adds nothing; none of them quotes its
    line.
    """
    malformed: dict[Span, str] = {}
    secrets: set[Span] = set()
    otherwise: set[Span] = set()
    for item in diagnostics:
        if item.span is None:
            continue
        if item.code in _OF_FORM:
            malformed.setdefault(item.span, item.code)
        if item.code == LITERAL_SECRET:
            secrets.add(item.span)
        elif item.severity is Severity.ERROR:
            otherwise.add(item.span)
    return tuple(
        replace(item, quotable=False) if item.span in secrets else item
        for item in diagnostics
        if item.span is None
        or (
            malformed.get(item.span, item.code) == item.code
            and not (item.code == LITERAL_SECRET and item.span in otherwise)
        )
    )


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether any of ``diagnostics`` is an error."""
    return any(item.severity is Severity.ERROR for item in diagnostics)
