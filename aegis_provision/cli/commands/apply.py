"""``apply``: show the plan, ask, write, and say how every host ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.exits import ExitCode, exit_of_plan, exit_of_run
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.fleet import load_fleet, select_hosts
from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.options import (
    ConnectionFlags,
    connection_options,
    detailed_exitcode_option,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    option,
    output_options,
)
from aegis_provision.cli.planned import Job, display_plan, prepare, print_plan_document
from aegis_provision.cli.prompt import Answer, confirm
from aegis_provision.rollout.pool import Stop
from aegis_provision.rollout.reading import KEPT_CONNECTIONS, KeptConnections, read_fleet
from aegis_provision.rollout.writing import without_write, write_fleet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.rollout.outcome import HostResult


@dataclass(frozen=True, slots=True)
class _Wishes:
    check: bool
    as_diff: bool
    yes: bool
    detailed: bool
    as_json: bool


@click.command("apply")
@inventory_option
@limit_option
@env_file_option
@connection_options
@option("-C", "--check", is_flag=True, help="Only show the plan: asks and writes nothing.")
@option("-D", "--diff", "as_diff", is_flag=True, help="Show changes as a unified diff.")
@option("-y", "--yes", is_flag=True, from_environ=False, help="Do not ask.")
@option("--list-hosts", is_flag=True, help="List the hosts; connects nowhere, needs no secrets.")
@detailed_exitcode_option
@format_option
@output_options
def command(
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
    check: bool,
    as_diff: bool,
    yes: bool,
    list_hosts: bool,
    detailed_exitcode: bool,
    as_json: bool,
    output: Output,
) -> int:
    """Show the plan, ask, and write it to the hosts.

    Each file is replaced as a whole or not at all, and only the session variables in it change.
    A host that fails keeps its old file, and the others go on. Ctrl-C begins no further host and
    lets writes under way finish.
    """
    if list_hosts:
        return _list_hosts(inventory, limit)
    job = prepare(inventory, limit, environ, flags)
    show_findings(output, job.findings)
    wishes = _Wishes(check, as_diff, yes, detailed_exitcode, as_json)
    return _plan_and_write(job, wishes, output)


def _list_hosts(inventory: tuple[Path, ...], limit: str | None) -> int:
    for name in select_hosts(load_fleet(inventory), "--limit", limit):
        click.echo(name)
    return ExitCode.DONE


def _plan_and_write(job: Job, wishes: _Wishes, output: Output) -> int:
    from aegis_provision.report.progress import ProgressDisplay

    stop = Stop()
    with (
        interrupts(stop) as signals,
        KeptConnections(limit=0 if wishes.check else KEPT_CONNECTIONS) as kept,
        ProgressDisplay(output.aside, verbosity=output.verbosity, quiet=output.quiet) as show,
    ):
        plans = read_fleet(job.works, job.reach, kept, show)
        show.pause()
        if not wishes.as_json:
            display_plan(output, plans, as_diff=wishes.as_diff)
        elif wishes.check:
            print_plan_document(plans)
        if wishes.check:
            return exit_of_plan(plans, detailed=wishes.detailed)
        run = _new_run()
        if refusal := _not_confirmed(plans, wishes):
            if wishes.as_json:
                _print_results(run, [without_write(plan) for plan in plans], ExitCode.REFUSED)
            click.echo(f"error: {refusal}", err=True)
            return ExitCode.REFUSED
        signals.writing_begins()
        hosts = {work.host.name: work.host for work in job.works}
        owner = f"{job.reach.options.login_name} (run {run})"
        results = write_fleet(plans, hosts, job.reach, kept, owner=owner, stop=stop, emit=show)
        show.pause()
        code = exit_of_run(results, interrupted=stop.asked)
        if wishes.as_json:
            _print_results(run, results, code)
        else:
            _show_recap(output, results)
    return code


def _not_confirmed(plans: Sequence[HostPlan], wishes: _Wishes) -> str | None:
    changing = sum(plan.write is not None for plan in plans)
    if not changing or wishes.yes:
        return None
    question = f"Write to {changing} {'host' if changing == 1 else 'hosts'}?"
    match confirm(question):
        case Answer.YES:
            return None
        case Answer.NO:
            return "not confirmed; nothing was written"
        case Answer.NOBODY:
            return "nothing was written: there is no terminal to ask on; say --yes to go ahead"


def _new_run() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _print_results(run: str, results: Sequence[HostResult], code: ExitCode) -> None:
    from aegis_provision.report.documents import apply_document, as_text

    click.echo(as_text(apply_document(run, results, code)))


def _show_recap(output: Output, results: Sequence[HostResult]) -> None:
    from aegis_provision.report.apply_text import recap_lines
    from aegis_provision.report.console import print_lines, text_width

    console = output.result
    print_lines(console, recap_lines(results, width=text_width(console)))
