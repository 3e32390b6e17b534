"""``apply``: show the plan, ask, carry it out, and say how every host ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from aegis_provision.cli.options import (
    check_option,
    detailed_exitcode_option,
    diff_option,
    fleet_options,
    max_fail_option,
    option,
    output_options_with_markdown,
    policy_option,
    report_option,
    serial_option,
    yes_option,
)
from aegis_provision.cli.suggested_commands import DECIDED_BY_A_PLAN
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output
    from aegis_provision.operations.load import Environment
    from aegis_provision.operations.plan import RunSelection
    from aegis_provision.operations.saved_plans import SavedPlanFile
    from aegis_provision.playbook.host_counts import HostCount
    from aegis_provision.playbook.plays import Schedule


@click.command("apply")
@click.argument(
    "playbook",
    required=False,
    type=click.Path(path_type=Path),
    metavar="[PLAYBOOK|PLANFILE]",
)
@fleet_options
@check_option
@diff_option
@yes_option
@serial_option
@max_fail_option
@option(
    "--retry",
    metavar="RUN",
    help="Take up the hosts of RUN (or 'last') that did not end well, with its playbook "
    "unless you name another.",
)
@option(
    "--recreate",
    is_flag=True,
    help="Write files anew that this tool wrote and that are gone since.",
)
@policy_option
@report_option
@option(
    "--list-hosts",
    is_flag=True,
    help="List plays, batches and hosts; connects nowhere, needs no secrets.",
)
@detailed_exitcode_option
@output_options_with_markdown
def command(
    playbook: Path | None,
    *,
    options: FleetOptions,
    check: bool,
    as_diff: bool,
    yes: bool,
    serial: tuple[HostCount, ...] | None,
    max_fail: HostCount | None,
    retry: str | None,
    recreate: bool,
    policy: tuple[Path, ...],
    report: Path | None,
    list_hosts: bool,
    detailed_exitcode: bool,
    output: Output,
) -> int:
    """Show the plan, ask, and carry it out: on all hosts at once, or as PLAYBOOK says.

    Of PLANFILE, which 'plan --out' wrote, exactly that plan is carried out: where the inventory, a
    secret or a file on a host is not what it was, nothing is written at all.

    Each file is replaced as a whole or not at all, and only the session variables in it change.
    A host whose write fails keeps its old file; one that fails later gets it back where PLAYBOOK
    says so. The others go on, as far as it allows.
    Ctrl-C begins no further host and lets those under way finish.
    """
    from aegis_provision.cli.run_pipeline import plan_and_apply
    from aegis_provision.operations.plan import RunSelection, prepare_job, schedule_run

    if report is not None and (check or list_hosts):
        raise click.UsageError("--report shows a run, and --check and --list-hosts make none")
    inventory, environment = options.inventory, options.environment
    selection = RunSelection(
        options.limit, playbook, serial, max_fail, recreate=recreate, policies=policy
    )
    saved = _saved_plan(playbook) if playbook is not None else None
    if saved is not None:
        inventory, selection = saved.inventories, replace(saved.selection, policies=policy)
    elif retry is not None:
        selection = _retry(selection, retry, environment)
    scheduled = schedule_run(inventory, selection, environment)
    if list_hosts:
        scheduled = saved.bind_schedule(scheduled) if saved is not None else scheduled
        output.print_diagnostics(scheduled.diagnostics)
        _print_schedule(output, scheduled.schedule)
        return ExitCode.DONE
    job = prepare_job(scheduled, environment, options.connection)
    job = saved.bind(job) if saved is not None else job
    output.print_diagnostics(job.diagnostics)
    return plan_and_apply(
        job,
        output,
        check=check,
        yes=yes,
        report=report,
        saved=saved,
        as_diff=as_diff,
        detailed=detailed_exitcode,
    )


def _print_schedule(output: Output, schedule: Schedule) -> None:
    from aegis_provision.report.plan_report import schedule_document, schedule_lines

    if output.format in {"text", "markdown"}:
        output.print_lines(schedule_lines(schedule))
    else:
        output.print_document(schedule_document(schedule))


def _saved_plan(path: Path) -> SavedPlanFile | None:
    """Return the saved plan at ``path``, ``None`` where that is a playbook."""
    from aegis_provision.operations.saved_plans import saved_plan_at

    saved = saved_plan_at(path)
    if saved is not None:
        _reject_conflicting_flags(click.get_current_context())
    return saved


def _reject_conflicting_flags(context: click.Context) -> None:
    """Raise ``UsageError`` for flags beside a saved plan that has decided what they say.

    What the environment says is meant for all commands, and counts for none here.
    """
    given = [
        max(flag.opts, key=len)
        for flag in context.command.params
        if flag.name in DECIDED_BY_A_PLAN
        and context.get_parameter_source(flag.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        words = ", ".join(given)
        raise click.UsageError(f"a saved plan has decided that already: leave out {words}")


def _retry(selection: RunSelection, run: str, environment: Environment) -> RunSelection:
    from aegis_provision.operations.history import finished_run
    from aegis_provision.operations.plan import retry_selection

    return retry_selection(selection, finished_run(environment.environ, run))
