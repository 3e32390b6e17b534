"""Shows warnings and notes beside a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.suggested_commands import completed_findings
from aegis_provision.documents.diagnostic import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.invocation import Output


def print_diagnostics_to_stderr(output: Output, findings: Sequence[Diagnostic]) -> None:
    """Print ``findings`` on stderr; notes and reminders not where the operator asked for quiet."""
    told = [item for item in findings if not (output.quiet and _is_quiet(item))]
    if told:
        from aegis_provision.report.diagnostics import print_diagnostics

        given = Invocation.current().given
        print_diagnostics(output.err, completed_findings(told, given))


def _is_quiet(item: Diagnostic) -> bool:
    return item.severity is Severity.NOTE or item.reminder
