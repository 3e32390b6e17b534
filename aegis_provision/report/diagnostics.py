"""Findings as text with the quoted line and a caret, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.diagnostic import Diagnostic, Severity
from aegis_provision.documents.quoting import excerpt
from aegis_provision.report.console import print_lines, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from aegis_provision.documents.source import Source, Span
    from aegis_provision.report.documents import Document

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_NAMED_HOSTS = 3
_WITHHELD = "(line not shown: it may hold a secret)"


def print_diagnostics(console: Console, diagnostics: Sequence[Diagnostic]) -> None:
    """Print all of ``diagnostics`` and how many they are."""
    lines = diagnostics_lines(diagnostics)
    print_lines(console, lines)


def diagnostics_lines(diagnostics: Sequence[Diagnostic]) -> list[Text]:
    """Return the lines that tell ``diagnostics``, file by file and from top to bottom.

    Files keep the order in which they first appear; findings without a place come first. The
    same finding is told once, with all its hosts.
    """
    merged = told_once(diagnostics)
    secret = frozenset(
        (item.span.source, line)
        for item in merged
        if item.span is not None and not item.quotable
        for line in range(item.span.line, item.span.end_line + 1)
    )
    lines = [line for item in merged for line in _lines(item, secret)]
    counts = Counter(item.severity for item in merged)
    words = ", ".join(
        f"{counts[severity]} {severity.value}" + ("" if counts[severity] == 1 else "s")
        for severity in Severity
        if counts[severity]
    )
    if words:
        lines.append(Text(words, style="bold"))
    return lines


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> list[Document]:
    """Return ``diagnostics`` for a program: no source text, so nothing that a line may hold."""
    return [
        {
            "severity": item.severity.value,
            "code": item.code,
            "message": item.message,
            "hint": item.hint,
            "hosts": list(item.hosts),
            **_place(item.span),
            "related": [{"message": other.message, **_place(other.span)} for other in item.related],
        }
        for item in told_once(diagnostics)
    ]


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


def told_once(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return ``diagnostics`` in the order in which they are told, the same finding once."""
    return _in_order(_merged(diagnostics))


def _merged(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    found: dict[Diagnostic, list[str]] = {}
    for item in diagnostics:
        hosts = found.setdefault(replace(item, hosts=()), [])
        hosts.extend(host for host in item.hosts if host not in hosts)
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


def _lines(item: Diagnostic, secret: frozenset[tuple[Source, int]]) -> list[Text]:
    head = Text()
    if item.span is not None:
        head.append(f"{visible(str(item.span))}: ", style="bold")
    head.append(f"{item.severity.value}: ", style=_STYLE[item.severity])
    head.append(visible(item.message + hosts_words(item.hosts)))
    lines = [head]
    if item.reminder:
        return lines
    if item.span is not None:
        lines.extend(_quoted(item.span, _STYLE[item.severity], secret))
    for other in item.related:
        lines.append(Text(visible(f"  {other.span}: {other.message}")))
        lines.extend(_quoted(other.span, "cyan", secret))
    if item.hint:
        lines.append(Text(visible(f"  = {item.hint}")))
    return lines


def hosts_words(hosts: Sequence[str]) -> str:
    """Return ``hosts`` as they follow a message, in brackets; nothing for no hosts."""
    if not hosts:
        return ""
    named = ", ".join(hosts[:_NAMED_HOSTS])
    more = len(hosts) - _NAMED_HOSTS
    rest = f" and {more} more" if more > 0 else ""
    return f" (on {len(hosts)} host{'' if len(hosts) == 1 else 's'}: {named}{rest})"


def _quoted(span: Span, style: str, secret: frozenset[tuple[Source, int]]) -> list[Text]:
    number = str(span.line)
    gutter = " " * max(4, len(number))
    quote = excerpt(span) if (span.source, span.line) not in secret else None
    if quote is None:
        return [Text(f"{gutter} | {_WITHHELD}", style="dim")]
    caret = Text(f"{gutter} | {' ' * quote.caret}")
    caret.append("^" * quote.width, style=style)
    return [Text(f"{number:>4} | {quote.text}"), caret]
