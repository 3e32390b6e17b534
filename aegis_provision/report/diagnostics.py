"""Diagnostics as text, with the source line and a caret, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.diagnostic import Diagnostic, Severity
from aegis_provision.documents.quoting import excerpt
from aegis_provision.humanize import counted, escape_control
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.documents.nodes import Span
    from aegis_provision.report.json_documents import Document

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
MOST_IN_TEXT = 50
"""How many diagnostics text shows."""

MOST_IN_DOCUMENTS = 1000
"""How many diagnostics a document holds, and how many hosts and places each of them has."""

_NAMED_HOSTS = 3
_SHOWN_PLACES = 10
WITHHELD = "(line not shown: it may hold a secret)"


@dataclass(frozen=True, slots=True)
class ShownDiagnostics:
    """The diagnostics to show, in order, and how many of each severity there are.

    If there are too many, ``shown`` holds the most severe of them. ``hidden`` are the places of all
    diagnostics whose source lines must not be quoted.
    """

    shown: tuple[Diagnostic, ...]
    counts: Mapping[Severity, int]
    hidden: tuple[Span, ...]

    @property
    def omitted(self) -> int:
        """Return how many diagnostics are left out."""
        return sum(self.counts.values()) - len(self.shown)


def diagnostics_lines(diagnostics: Sequence[Diagnostic]) -> list[Text]:
    """Return the lines for at most :data:`MOST_IN_TEXT` of ``diagnostics``, file by file.

    Files keep the order in which they first appear; diagnostics without a place come first. Equal
    diagnostics are shown once, with all their hosts.
    """
    selection = deduplicate(diagnostics, MOST_IN_TEXT)
    lines = [line for item in selection.shown for line in _lines(item, selection.hidden)]
    words = ", ".join(
        counted(selection.counts[severity], severity.value)
        for severity in Severity
        if selection.counts[severity]
    )
    if selection.omitted:
        words += f" ({selection.omitted} of them not shown)"
    if words:
        lines.append(Text(words, style="bold"))
    return lines


def diagnostics_fields(diagnostics: Sequence[Diagnostic]) -> Document:
    """Return the fields of a document that hold ``diagnostics``, and how many are left out.

    They contain no source text, so no secret that a line may hold.
    """
    selection = deduplicate(diagnostics, MOST_IN_DOCUMENTS)
    return {
        "diagnostics": [_diagnostic(item) for item in selection.shown],
        "diagnostics_omitted": selection.omitted,
    }


def _diagnostic(item: Diagnostic) -> Document:
    hosts, related = item.hosts[:MOST_IN_DOCUMENTS], item.related[:MOST_IN_DOCUMENTS]
    omitted = {
        "hosts_omitted": len(item.hosts) - len(hosts),
        "related_omitted": len(item.related) - len(related),
    }
    return {
        "severity": item.severity.value,
        "code": item.code,
        "message": item.message,
        "hint": item.hint,
        "hosts": list(hosts),
        **_place(item.span),
        "related": [{"message": other.message, **_place(other.span)} for other in related],
        **{name: number for name, number in omitted.items() if number},
    }


def _place(span: Span | None) -> Document:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def deduplicate(diagnostics: Sequence[Diagnostic], most: int) -> ShownDiagnostics:
    """Return ``diagnostics`` in order, equal ones merged, and at most ``most`` of them."""
    every = _in_order(_merged(diagnostics))
    diagnostics = every
    if len(every) > most:
        severities = list(Severity)
        foremost = sorted(range(len(every)), key=lambda at: severities.index(every[at].severity))
        diagnostics = [every[at] for at in sorted(foremost[:most])]
    return ShownDiagnostics(
        tuple(diagnostics),
        Counter(item.severity for item in every),
        tuple(item.span for item in every if item.span is not None and not item.quotable),
    )


def _merged(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    found: dict[Diagnostic, dict[str, None]] = {}
    for item in diagnostics:
        hosts = found.setdefault(replace(item, hosts=()), {})
        hosts.update(dict.fromkeys(item.hosts))
    return [replace(item, hosts=tuple(hosts)) for item, hosts in found.items()]


def _in_order(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    files: dict[str, int] = {}
    for item in diagnostics:
        if item.span is not None:
            files.setdefault(item.span.source.name, len(files))

    def place(item: Diagnostic) -> tuple[int, int, int]:
        if item.span is None:
            return (-1, 0, 0)
        return (files[item.span.source.name], item.span.line, item.span.column)

    return sorted(diagnostics, key=place)


def _lines(item: Diagnostic, hidden: Sequence[Span]) -> list[Text]:
    head = Text()
    if item.span is not None:
        head.append(f"{escape_control(str(item.span))}: ", style="bold")
    head.append(f"{item.severity.value}: ", style=_STYLE[item.severity])
    head.append(escape_control(item.message + hosts_words(item.hosts)))
    lines = [head]
    if item.reminder:
        return lines
    if item.span is not None:
        lines.extend(_quoted(item.span, _STYLE[item.severity], hidden))
    for other in item.related[:_SHOWN_PLACES]:
        lines.append(Text(escape_control(f"  {other.span}: {other.message}")))
        lines.extend(_quoted(other.span, "cyan", hidden))
    if len(item.related) > _SHOWN_PLACES:
        lines.append(Text(f"  and {len(item.related) - _SHOWN_PLACES} more places"))
    if item.hint:
        lines.append(Text(escape_control(f"  = {item.hint}")))
    return lines


def hosts_words(hosts: Sequence[str]) -> str:
    """Return ``hosts`` in brackets, to follow a message; empty for no hosts."""
    if not hosts:
        return ""
    named = ", ".join(hosts[:_NAMED_HOSTS])
    more = len(hosts) - _NAMED_HOSTS
    rest = f" and {more} more" if more > 0 else ""
    return f" (on {counted(len(hosts), 'host')}: {named}{rest})"


def _quoted(span: Span, style: str, hidden: Sequence[Span]) -> list[Text]:
    if not span.source.text:
        return []
    number = str(span.line) if span.source.numbered else ""
    gutter = " " * max(4, len(number))
    secret = any(
        other.source is span.source and other.line <= span.line <= other.end_line
        for other in hidden
    )
    quote = None if secret else excerpt(span)
    if quote is None and not span.source.numbered:
        return []  # there is no line that the operator could look at instead
    if quote is None:
        return [Text(f"{gutter} | {WITHHELD}", style="dim")]
    caret = Text(f"{gutter} | {' ' * quote.caret}")
    caret.append("^" * quote.width, style=style)
    return [Text(f"{number:>4} | {quote.text}"), caret]
