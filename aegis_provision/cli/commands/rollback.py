"""``rollback``: bring back the files from before a past run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.carrying_out import Stage, Undertaking, carry_out
from aegis_provision.cli.exits import exit_of_plan
from aegis_provision.cli.failure import InvalidInputError
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.fleet import fill_api_tokens, load_fleet, select_hosts
from aegis_provision.cli.interrupts import interrupts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    ConnectionFlags,
    connection_options,
    env_file_option,
    inventory_option,
    limit_option,
    option,
    output_options,
    stream_format_option,
)
from aegis_provision.cli.planned import display_plan, hosts_asked, print_plan_document
from aegis_provision.cli.reach import reach_of
from aegis_provision.cli.recording import (
    RunFacts,
    about,
    operator_name,
    record_key,
    run_to_undo,
)
from aegis_provision.cli.watching import watching
from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.ledger.digests import file_digest
from aegis_provision.ledger.header import RunKind, identity_of, source_of
from aegis_provision.planning.going_back import Undoing, session_in
from aegis_provision.playbook.reversal import reversed_schedule
from aegis_provision.rollout.going_back import look_for_way_back
from aegis_provision.rollout.pool import Stop
from aegis_provision.rollout.reading import (
    KEPT_CONNECTIONS,
    HostWork,
    KeptConnections,
    Reach,
    read_fleet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.cli.fleet import Fleet
    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.watching import Format
    from aegis_provision.ledger.past_run import PastRun
    from aegis_provision.playbook.model import Schedule


@dataclass(frozen=True, slots=True)
class _Wishes:
    check: bool
    yes: bool
    output_format: Format
    report: Path | None


@dataclass(frozen=True, slots=True)
class _WayBack:
    """What is undone where: the run, the inventory of today, and the hosts in reverse order."""

    past: PastRun
    fleet: Fleet
    schedule: Schedule
    works: tuple[HostWork, ...]
    undoings: Mapping[str, Undoing]
    reach: Reach
    limit: str


@click.command("rollback")
@click.argument("run", required=False)
@inventory_option
@limit_option
@env_file_option
@connection_options
@option("-C", "--check", is_flag=True, help="Only show what would come back; writes nothing.")
@option("-y", "--yes", is_flag=True, from_environ=False, help="Do not ask.")
@option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the way back as one HTML page.",
)
@stream_format_option
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
    way = _way_back(run, inventory, limit, environ, flags)
    show_findings(output, way.fleet.findings)
    return _look_and_go(way, _Wishes(check, yes, output_format, report), output)


def _way_back(
    run: str | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
) -> _WayBack:
    real = Invocation.current().environ
    past = run_to_undo(real, run)
    fleet = load_fleet(inventory)
    chosen = set(select_hosts(fleet, "--limit", limit)) if limit is not None else None
    hosts = [
        name
        for name, host in past.hosts.items()
        if host.can_be_undone and (chosen is None or name in chosen)
    ]
    wrong = list(_not_the_same(past, fleet, hosts))
    if wrong:
        raise InvalidInputError(wrong)
    schedule = reversed_schedule(past.header.schedule, hosts)
    asked = hosts_asked(schedule)
    tokens = fill_api_tokens(fleet, [name for name in hosts if name in asked], environ)
    digest = partial(file_digest, record_key(real))
    works, undoings = [], {}
    for name in schedule.hosts:
        known, host = past.header.hosts[name], fleet.inventory.hosts[name]
        write = past.hosts[name].write
        if write is None:
            continue
        # The run wrote where it wrote, wherever the inventory would have it today.
        there = replace(host, target=replace(host.target, config_path=known.identity.path))
        works.append(HostWork(there, session_in(None), tokens.get(name)))
        undoings[name] = Undoing(
            name,
            known.provider,
            write.before.digest if write.before else None,
            write.after.digest if write.after else None,
            digest,
        )
    return _WayBack(
        past, fleet, schedule, tuple(works), undoings, reach_of(flags, real), limit or ""
    )


def _not_the_same(past: PastRun, fleet: Fleet, hosts: list[str]) -> Iterator[Diagnostic]:
    """Yield what keeps hosts of the run from being found again."""
    gone = tuple(name for name in hosts if name not in fleet.inventory.hosts)
    if gone:
        yield error(
            "no-such-host",
            f"the inventory does not know hosts of the run {past.header.run} any more",
            hint="name the inventory of that time with -i, or leave them out with --limit",
            hosts=gone,
        )
    moved = tuple(
        name
        for name in hosts
        if name in fleet.inventory.hosts
        and identity_of(fleet.inventory.hosts[name].target, past.header.hosts[name].identity.path)
        != past.header.hosts[name].identity
    )
    if moved:
        yield error(
            "another-host",
            f"the inventory leads to other machines than the run {past.header.run} did",
            hint="name the inventory of that time with -i, or leave them out with --limit",
            hosts=moved,
        )


def _look_and_go(way: _WayBack, wishes: _Wishes, output: Output) -> int:
    facts = RunFacts(
        kind=RunKind.ROLLBACK,
        operator=operator_name(way.reach.options.login_name),
        inventories=tuple(source_of(file.name, file.data) for file in way.fleet.files),
        playbook=way.past.header.playbook,
        limit=way.limit,
        undoes=way.past.header.run,
    )
    stop = Stop()
    with (
        interrupts(stop) as signals,
        KeptConnections(limit=0 if wishes.check else KEPT_CONNECTIONS) as kept,
        watching(
            output,
            wishes.output_format,
            forks=way.reach.forks,
            report=wishes.report,
            about=about(facts),
        ) as watch,
    ):
        look = partial(look_for_way_back, way.undoings)
        plans = read_fleet(way.works, way.reach, kept, watch.emit, look)
        watch.display.pause()
        if wishes.output_format == "text":
            display_plan(output, plans)
        elif wishes.check and watch.stream is not None:
            watch.stream.plan_finished(plans)
        elif wishes.check:
            print_plan_document(plans)
        if wishes.check:
            return exit_of_plan(plans, detailed=False)
        contents = {plan.host: plan.write.content if plan.write else None for plan in plans}
        works = {
            work.host.name: replace(work, session=session_in(contents[work.host.name]))
            for work in way.works
        }
        undertaking = Undertaking(
            way.schedule,
            works,
            plans,
            way.reach,
            facts,
            len(way.fleet.inventory.hosts),
            verb=f"Undo {way.past.header.run} on",
            going_back=True,
        )
        stage = Stage(output, watch, signals, stop, kept, wishes.output_format, wishes.yes)
        return carry_out(undertaking, stage)
