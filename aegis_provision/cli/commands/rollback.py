"""``rollback``: bring back the files from before a past run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.diagnostics import print_diagnostics_to_stderr
from aegis_provision.cli.options import (
    ConnectionFlags,
    check_option,
    connection_options,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    output_options,
    report_option,
    yes_option,
)
from aegis_provision.cli.run_pipeline import ApplyOptions, PlanRequest, plan_and_apply
from aegis_provision.history.run_header import RunKind, source_file
from aegis_provision.operations.rollback import prepare_rollback
from aegis_provision.operations.run_record import (
    RunInfo,
    operator_name,
)
from aegis_provision.operations.run_request import RunRequest
from aegis_provision.planning.rollback import session_from_config
from aegis_provision.rollout.rollback import plan_host_rollback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.operations.rollback import RollbackJob
    from aegis_provision.planning.plan import HostPlan


@click.command("rollback")
@click.argument("run", required=False)
@inventory_option
@limit_option
@env_file_option
@connection_options
@check_option
@yes_option
@report_option
@format_option
@output_options
def command(
    run: str | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
    check: bool,
    yes: bool,
    report: Path | None,
    output_format: Format,
    output: Output,
) -> int:
    """Bring back the files from before RUN, by default the last one that wrote any.

    Hosts are taken in reverse order, through the same gates: batches, restarts, verification. A
    file comes back only where the one that RUN wrote is still there, and the one from before it
    still beside it. Where the inventory says how to reach a host today is where it is reached.
    """
    if report is not None and check:
        raise click.UsageError("--report shows a run, and --check makes none")
    way = prepare_rollback(run, inventory, limit, environ, flags)
    print_diagnostics_to_stderr(output, way.fleet.findings)
    options = ApplyOptions(check, yes, output_format, report)
    return plan_and_apply(_looking(way), options, output)


def _looking(way: RollbackJob) -> PlanRequest:
    facts = RunInfo(
        kind=RunKind.ROLLBACK,
        operator=operator_name(way.connection.options.login_name),
        inventories=tuple(source_file(file.name, file.data) for file in way.fleet.files),
        playbook=way.past.header.playbook,
        limit=way.limit,
        undoes=way.past.header.run,
    )

    def build_request(plans: tuple[HostPlan, ...]) -> RunRequest:
        contents = {plan.host: plan.write.content if plan.write else None for plan in plans}
        jobs = {
            work.host.name: replace(work, session=session_from_config(contents[work.host.name]))
            for work in way.jobs
        }
        return RunRequest(
            way.schedule,
            jobs,
            plans,
            way.connection,
            facts,
            len(way.fleet.inventory.hosts),
            verb=f"Undo {way.past.header.run} on",
            going_back=True,
        )

    look = partial(plan_host_rollback, way.undoings)
    return PlanRequest(way.jobs, way.connection, facts, build_request, look)
