"""``history``: the runs so far, or all about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import format_option, output_options
from aegis_provision.cli.output import echo, print_document
from aegis_provision.errors import InputError, NoSuchRunError, StateDirError
from aegis_provision.history.past_run import DamagedRun
from aegis_provision.history.runs import find_run, read_run, run_names, run_summaries
from aegis_provision.history.state_dir import state_dir
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.state_dir import StateDir

LISTED = 50
"""How many runs are listed where not all are asked for."""


@click.command("history")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help=f"List all runs, not only the last {LISTED}.")
@format_option
@output_options
def command(run: str | None, *, every: bool, output_format: Format, output: Output) -> int:
    """List the runs so far, newest first, or show all about RUN.

    RUN is a run's name, the beginning of it, or 'last'. Only what was run with your state
    directory is known ($XDG_STATE_HOME/aegis-provision, else ~/.local/state/aegis-provision).
    Records hold names, digests and statuses, never a value.
    """
    if run is not None and every:
        raise click.UsageError("--all lists runs; with RUN there is nothing to list")
    try:
        places = state_dir(Invocation.current().environ)
        names = run_names(places)
        if run is not None:
            _show_run(places, find_run(names, run), output, output_format)
        else:
            _list(places, names if every else names[:LISTED], output, output_format)
    except (StateDirError, NoSuchRunError) as problem:
        raise InputError(problem.message, problem.hint) from None
    if run is None and not every and len(names) > LISTED and not output.quiet:
        echo(f"The last {LISTED} of {len(names)} runs; --all lists them all.", err=True)
    return ExitCode.DONE


def _list(places: StateDir, names: Sequence[str], output: Output, output_format: Format) -> None:
    from aegis_provision.report.console import print_lines
    from aegis_provision.report.history_document import history_document
    from aegis_provision.report.history_text import history_lines

    runs = list(run_summaries(places, names))
    if output_format != "text":
        print_document(history_document(runs), output_format)
    else:
        print_lines(output.result, history_lines(runs))


def _show_run(places: StateDir, name: str, output: Output, output_format: Format) -> None:
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.history_document import run_document
    from aegis_provision.report.history_text import run_lines

    past = _understood(read_run(places, name), places)
    if output_format != "text":
        print_document(run_document(past), output_format)
    else:
        every_host = output.verbosity > 0
        lines = run_lines(past, width=text_width(output.result), every_host=every_host)
        print_lines(output.result, lines)


def _understood(past: PastRun | DamagedRun, places: StateDir) -> PastRun:
    if isinstance(past, DamagedRun):
        raise InputError(
            f"the record of {past.run} is damaged: {past.reason}",
            f"look at {places.record(past.run)}",
        )
    return past
