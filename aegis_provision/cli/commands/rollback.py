"""``rollback``: bring back the files from before a past run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.carrying_out import Looking, Wishes, look_and_carry_out
from aegis_provision.cli.findings import show_findings
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
from aegis_provision.cli.recording import (
    RunFacts,
    operator_name,
)
from aegis_provision.cli.undertaking import Undertaking
from aegis_provision.cli.way_back import way_back
from aegis_provision.ledger.header import RunKind, source_of
from aegis_provision.planning.going_back import session_in
from aegis_provision.rollout.going_back import look_for_way_back

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.cli.way_back import WayBack
    from aegis_provision.planning.model import HostPlan


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
    way = way_back(run, inventory, limit, environ, flags)
    show_findings(output, way.fleet.findings)
    wishes = Wishes(check, yes, output_format, report)
    return look_and_carry_out(_looking(way), wishes, output)


def _looking(way: WayBack) -> Looking:
    facts = RunFacts(
        kind=RunKind.ROLLBACK,
        operator=operator_name(way.reach.options.login_name),
        inventories=tuple(source_of(file.name, file.data) for file in way.fleet.files),
        playbook=way.past.header.playbook,
        limit=way.limit,
        undoes=way.past.header.run,
    )

    def undertake(plans: tuple[HostPlan, ...]) -> Undertaking:
        contents = {plan.host: plan.write.content if plan.write else None for plan in plans}
        works = {
            work.host.name: replace(work, session=session_in(contents[work.host.name]))
            for work in way.works
        }
        return Undertaking(
            way.schedule,
            works,
            plans,
            way.reach,
            facts,
            len(way.fleet.inventory.hosts),
            verb=f"Undo {way.past.header.run} on",
            going_back=True,
        )

    look = partial(look_for_way_back, way.undoings)
    return Looking(way.works, way.reach, facts, undertake, look)
