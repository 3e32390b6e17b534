"""``history``: the runs so far, or all about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import output_options_with_markdown
from aegis_provision.cli.output import echo, echo_utf8
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.history import list_runs, past_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.output import Output
    from aegis_provision.history.past_run import DamagedRun, PastRun
    from aegis_provision.history.runs import RunSummary

LISTED = 50
"""How many runs are listed where not all are asked for."""


@click.command("history")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help=f"List all runs, not only the last {LISTED}.")
@output_options_with_markdown
def command(run: str | None, *, every: bool, output: Output) -> int:
    """List the runs so far, newest first, or show all about RUN.

    RUN is a run's name, the beginning of it, or 'last'. Only what was run with your state
    directory is known ($XDG_STATE_HOME/aegis-provision, else ~/.local/state/aegis-provision).
    Records hold names, digests and statuses, never a value.
    """
    if run is not None and every:
        raise click.UsageError("--all lists runs; with RUN there is nothing to list")
    environ = Invocation.current().environ
    if run is not None:
        _show_run(past_run(environ, run), output)
        return ExitCode.DONE
    runs, count = list_runs(environ, None if every else LISTED)
    _list(runs, output)
    if count > len(runs) and not output.quiet:
        echo(f"The last {LISTED} of {count} runs; --all lists them all.", err=True)
    return ExitCode.DONE


def _list(runs: Sequence[RunSummary | DamagedRun], output: Output) -> None:
    from aegis_provision.report.history_report import history_document, history_lines

    if output.format == "text":
        output.print_lines(history_lines(runs))
    elif output.format == "markdown":
        from aegis_provision.report.markdown_comments import history_comment

        echo_utf8(history_comment(runs))
    else:
        output.print_document(history_document(runs))


def _show_run(past: PastRun, output: Output) -> None:
    from aegis_provision.report.history_report import run_document, run_lines

    if output.format == "text":
        output.print_lines(run_lines(past, width=output.width, every_host=output.every_host))
    elif output.format == "markdown":
        from aegis_provision.report.markdown_comments import run_comment

        echo_utf8(run_comment(past))
    else:
        output.print_document(run_document(past))
