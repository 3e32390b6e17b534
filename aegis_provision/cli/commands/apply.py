"""``apply``: show the plan, ask, carry it out, and say how every host ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aegis_provision.cli.carrying_out import Looking, Wishes, look_and_carry_out
from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    ConnectionFlags,
    check_option,
    connection_options,
    detailed_exitcode_option,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    option,
    output_options,
    playbook_or_plan_argument,
    report_option,
    yes_option,
)
from aegis_provision.cli.planned import (
    Scope,
    again,
    prepare,
    print_schedule,
    schedule_of,
)
from aegis_provision.cli.recording import facts_of
from aegis_provision.cli.undertaking import Undertaking
from aegis_provision.ledger.header import RunKind
from aegis_provision.playbook.shares import parse_max_fail, parse_serial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.cli.saved_plans import KeptPlan
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.playbook.model import Share


if TYPE_CHECKING:
    _AnyType = click.ParamType[Any]
else:
    _AnyType = click.ParamType  # no generic class before click 8.4


class _Parsed(_AnyType):
    """A flag's value that one of our own parsers reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Return the value, or say what is wrong with it."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


@click.command("apply")
@playbook_or_plan_argument
@inventory_option
@limit_option
@env_file_option
@connection_options
@check_option
@option("-D", "--diff", "as_diff", is_flag=True, help="Show changes as a unified diff.")
@yes_option
@option(
    "--serial",
    type=_Parsed("SIZES", parse_serial),
    help="Batches of every play: a number, a share, or several: 1,10%,50%.",
)
@option(
    "--max-fail",
    type=_Parsed("SHARE", parse_max_fail),
    help="How many hosts may fail before nothing new begins: a number or a share.",
)
@option(
    "--retry",
    metavar="RUN",
    help="Take up the hosts of RUN (or 'last') that did not end well, with its playbook "
    "unless you name another.",
)
@report_option
@option(
    "--list-hosts",
    is_flag=True,
    help="List plays, batches and hosts; connects nowhere, needs no secrets.",
)
@detailed_exitcode_option
@format_option
@output_options
def command(
    playbook: Path | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
    check: bool,
    as_diff: bool,
    yes: bool,
    serial: tuple[Share, ...] | None,
    max_fail: Share | None,
    retry: str | None,
    report: Path | None,
    list_hosts: bool,
    detailed_exitcode: bool,
    output_format: Format,
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
    saved = None
    scope = Scope(inventory, limit, playbook, serial, max_fail)
    if playbook is not None and (saved := _saved_plan(playbook)) is not None:
        scope = saved.scope
    elif retry is not None:
        scope = _again(scope, retry)
    if report is not None and (check or list_hosts):
        raise click.UsageError("--report shows a run, and --check and --list-hosts make none")
    if list_hosts:
        return _list_hosts(scope, saved, output, output_format)
    job = prepare(scope, environ, flags)
    if saved is not None:
        job = saved.bind(job)
    show_findings(output, job.findings)
    wishes = Wishes(check, yes, output_format, report, as_diff, detailed_exitcode)
    facts = facts_of(
        job,
        RunKind.APPLY,
        retries=scope.again.header.run if scope.again else None,
        saved_plan=saved.source if saved else None,
    )
    works = {work.host.name: work for work in job.works}

    def undertake(plans: tuple[HostPlan, ...]) -> Undertaking:
        fleet_size = len(job.fleet.inventory.hosts)
        return Undertaking(job.schedule, works, plans, job.reach, facts, fleet_size)

    looking = Looking(job.works, job.reach, facts, undertake, saved=saved)
    return look_and_carry_out(looking, wishes, output)


def _saved_plan(path: Path) -> KeptPlan | None:
    """Return the saved plan at ``path``, ``None`` where that is a playbook."""
    from aegis_provision.cli.saved_plans import check_said, saved_plan_at

    saved = saved_plan_at(path)
    if saved is not None:
        check_said(click.get_current_context())
    return saved


def _again(scope: Scope, run: str) -> Scope:
    from aegis_provision.cli.past_runs import finished_run

    return again(scope, finished_run(Invocation.current().environ, run))


def _list_hosts(scope: Scope, saved: KeptPlan | None, output: Output, output_format: Format) -> int:
    scheduled = schedule_of(scope)
    if saved is not None:
        scheduled = saved.bind_schedule(scheduled)
    show_findings(output, scheduled.findings)
    print_schedule(output, scheduled.schedule, output_format)
    return ExitCode.DONE
