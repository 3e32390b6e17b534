"""``plan``: read the hosts and show what would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation, note_written
from aegis_provision.cli.options import (
    detailed_exitcode_option,
    diff_option,
    fleet_options,
    no_secrets_option,
    output_options_with_markdown,
    plan_report_option,
    policy_option,
)
from aegis_provision.cli.suggested_commands import apply_line, piped
from aegis_provision.operations.exit_codes import plan_exit_code

if TYPE_CHECKING:
    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output


@click.command("plan")
@click.argument("playbook", required=False, type=click.Path(path_type=Path))
@fleet_options
@diff_option
@no_secrets_option
@policy_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the plan in FILE, for 'apply FILE'. It holds no secret.",
)
@plan_report_option
@detailed_exitcode_option
@output_options_with_markdown
def command(
    playbook: Path | None,
    *,
    options: FleetOptions,
    as_diff: bool,
    no_secrets: bool,
    policy: tuple[Path, ...],
    out: Path | None,
    page: Path | None,
    detailed_exitcode: bool,
    output: Output,
) -> int:
    """Read the hosts and show the masked diff; nothing is written.

    Shows host by host what 'apply' would change, or why it would refuse, and then the sum.
    With --out, 'apply FILE' does exactly what was shown, or refuses.
    """
    from aegis_provision.cli.observers import check_report_path, observe_run, write_page
    from aegis_provision.cli.run_pipeline import print_plan
    from aegis_provision.operations.plan import RunSelection, plan, prepare_job, schedule_run

    _check_arguments(playbook, out, options.inventory)
    if page is not None:
        check_report_path(page)
    environment = options.environment
    selection = RunSelection(options.limit, playbook, secrets=not no_secrets, policies=policy)
    scheduled = schedule_run(options.inventory, selection, environment)
    job = prepare_job(scheduled, environment, options.connection)
    output.print_diagnostics(job.diagnostics)
    with (
        job.executor(keeps_connections=False) as executor,
        observe_run(output, forks=options.connection.forks) as observers,
    ):
        planned = plan(job, executor, observers.emit)
    print_plan(output, planned.hosts, observers.stream, as_diff=as_diff)
    if out is not None:
        from aegis_provision.operations.saved_plans import write_saved_plan

        write_saved_plan(
            out, options.inventory, selection, planned, environment.now, on_write=note_written
        )
        output.info(_how_to_apply(out))
    if page is not None:
        from aegis_provision.report.html_plan import render_plan_page

        write_page(page, render_plan_page(planned.hosts, job.info.titled()))
    return plan_exit_code(planned.hosts, detailed=detailed_exitcode)


def _check_arguments(playbook: Path | None, out: Path | None, inventory: tuple[Path, ...]) -> None:
    from aegis_provision.operations.load import inventory_paths

    if playbook is None and out is None:
        return
    from aegis_provision.operations.saved_plans import check_output_path, saved_plan_at

    if playbook is not None and saved_plan_at(playbook) is not None:
        raise click.UsageError(
            f"{playbook} is a saved plan; this shows it, and whether it still holds: "
            f"{apply_line(Invocation.current().given, playbook, '--check')}"
        )
    if out is not None:
        check_output_path(out, inventory_paths(inventory))


def _how_to_apply(saved: Path) -> str:
    """Return where the plan is, and the command line that carries it out from the same place."""
    given = Invocation.current().given
    again = piped(given)
    with_pipes = f" (and {' and '.join(again)} again)" if again else ""
    return f"Saved to {saved}; carry it out{with_pipes} with: {apply_line(given, saved)}"
