"""``rollback``: bring back the files from before a past run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.options import (
    check_option,
    fleet_options,
    output_options_with_markdown,
    report_option,
    yes_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output


@click.command("rollback")
@click.argument("run", required=False)
@fleet_options
@check_option
@yes_option
@report_option
@output_options_with_markdown
def command(
    run: str | None,
    *,
    options: FleetOptions,
    check: bool,
    yes: bool,
    report: Path | None,
    output: Output,
) -> int:
    """Bring back the files from before RUN, by default the last one that wrote any.

    Hosts are taken in reverse order, through the same gates: batches, restarts, verification. A
    file comes back only where the one that RUN wrote is still there, and the one from before it
    still beside it. Where the inventory says how to reach a host today is where it is reached.
    """
    from aegis_provision.cli.run_pipeline import plan_and_apply
    from aegis_provision.operations.history import run_to_roll_back
    from aegis_provision.operations.load import load_fleet
    from aegis_provision.operations.rollback import prepare_rollback

    if report is not None and check:
        raise click.UsageError("--report shows a run, and --check makes none")
    environment = options.environment
    past = run_to_roll_back(environment.environ, run)
    fleet = load_fleet(options.inventory, environment.environ)
    job = prepare_rollback(fleet, past, options.limit, environment, options.connection)
    output.print_diagnostics(job.diagnostics)
    return plan_and_apply(job, output, check=check, yes=yes, report=report)
