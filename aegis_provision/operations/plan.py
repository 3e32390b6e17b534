"""What ``plan`` and ``apply`` have in common: the work to do, and how a plan is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.output import echo, print_document
from aegis_provision.documents.diagnostic import Diagnostic, has_errors, note, warning
from aegis_provision.errors import InvalidInputError
from aegis_provision.inventory.pins import pin_findings
from aegis_provision.operations.connection import connection_settings
from aegis_provision.operations.load import (
    load_fleet,
    read_pattern_file,
    resolve_sessions,
    select_hosts,
)
from aegis_provision.playbook.plays import Restart
from aegis_provision.playbook.schedule import make_schedule, single_play, with_overrides
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.rollout.planner import ConnectionSettings, HostJob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import ConnectionFlags, Format
    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.operations.load import Fleet
    from aegis_provision.operations.runs import PendingRestarts
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Gates, HostCount, Playbook, Schedule
    from aegis_provision.report.ndjson import EventStream

_MOST_NAMES = 24


@dataclass(frozen=True, slots=True)
class RunSelection:
    """What the operator wants done: where, in which order, and how much of it.

    ``playbook`` is ``None`` for a run without one; ``again`` is the earlier run whose hosts are
    taken up again as far as they did not end well. ``no_secrets`` says that hosts are only looked
    at, without what is secret.
    """

    inventory: tuple[Path, ...]
    limit: str | None = None
    playbook: Path | None = None
    serial: tuple[HostCount, ...] | None = None
    max_fail: HostCount | None = None
    again: PastRun | None = None
    no_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """The hosts to work on, in which order, how to reach them, and what was found on the way."""

    fleet: Fleet
    playbook_source: SourceFile | None
    limit: str
    schedule: Schedule
    jobs: tuple[HostJob, ...]
    connection: ConnectionSettings
    findings: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What a run does, as far as that can be told without SSH and without secrets.

    ``findings`` are warnings and notes; ``source`` is the playbook's file.
    """

    fleet: Fleet
    schedule: Schedule
    source: SourceFile | None
    findings: tuple[Diagnostic, ...]


def schedule_of(scope: RunSelection) -> Scheduled:
    """Return what a run over ``scope`` does.

    Raises :class:`InvalidInputError` and :class:`Error`.
    """
    playbook, source, found = _playbook(scope)
    try:
        fleet = load_fleet(scope.inventory)
    except InvalidInputError as problem:
        raise InvalidInputError((*problem.diagnostics, *found)) from None
    findings = (*fleet.findings, *found)
    if playbook is None:
        raise InvalidInputError(findings)
    playbook = with_overrides(playbook, scope.serial, scope.max_fail)
    chosen = set(select_hosts(fleet, "--limit", scope.limit))
    if scope.again is not None:
        from aegis_provision.history.retry import hosts_to_retry

        chosen &= set(hosts_to_retry(scope.again))
        findings += tuple(_since(scope.again, source, chosen))
    pinned = [host for name, host in fleet.inventory.hosts.items() if name in chosen]
    findings += pin_findings(pinned, Invocation.current().today)
    schedule, found = make_schedule(
        playbook, fleet.inventory, chosen=chosen, read_file=read_pattern_file
    )
    findings += found
    if has_errors(findings):
        raise InvalidInputError(findings)
    return Scheduled(fleet, schedule, source, findings)


def _playbook(
    scope: RunSelection,
) -> tuple[Playbook | None, SourceFile | None, tuple[Diagnostic, ...]]:
    if scope.playbook is None:
        return single_play(), None, ()
    from aegis_provision.inputs.playbook_files import read_playbooks

    files, findings = read_playbooks([scope.playbook])
    if not files:
        return None, None, findings
    return files[0].playbook, files[0].source, findings


def retry_selection(scope: RunSelection, past: PastRun) -> RunSelection:
    """Return ``scope`` for taking up the hosts of ``past``, with its playbook if none is named."""
    playbook = scope.playbook
    if playbook is None and past.header.playbook is not None:
        playbook = Path(past.header.playbook.path)
    return replace(scope, playbook=playbook, again=past)


def _since(
    past: PastRun, source: SourceFile | None, hosts: Collection[str]
) -> Iterator[Diagnostic]:
    """Yield what an operator should know who takes up a run."""
    run, then = past.header.run, past.header.playbook
    if not hosts:
        yield note("nothing-to-retry", f"no host of {run} is left to be taken up again")
    if then is None or source is None or source.path != then.path:
        return
    if source.sha256 != then.sha256:
        yield warning("changed-playbook", f"{source.path} is not what it was in {run}")


def prepare_job(
    scope: RunSelection,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
    *,
    owed: PendingRestarts | None = None,
) -> Job:
    """Return the job, or raise for input that is wrong, all before any connection.

    ``environ`` fills the templates; the connection's own variables come from the real
    environment alone. ``owed`` is what records know of restarts still to be done, ``None`` to read
    them where a play would do such. Raises :class:`InvalidInputError` and
    :class:`Error`.
    """
    scheduled = schedule_of(scope)
    fleet, schedule = scheduled.fleet, scheduled.schedule
    asking = hosts_with_api(schedule)
    filled, warnings = resolve_sessions(
        fleet,
        schedule.hosts,
        environ,
        with_api_token=asking,
        with_secrets=not scope.no_secrets,
    )
    restarting = _hosts_where(schedule, lambda gates: gates.restart is Restart.CHANGED)
    known = None
    if restarting:
        known = _owed_by_records() if owed is None else owed
    jobs = tuple(
        HostJob(
            host=fleet.inventory.hosts[name],
            session=filled.sessions[name],
            api_token=filled.api_tokens.get(name),
            restarts=name in restarting,
            owed=known.at(fleet.inventory.hosts[name].target) if known else frozenset(),
        )
        for name in schedule.hosts
    )
    tokens = recipe_secrets(fleet.recipes, environ)
    connection = connection_settings(flags, Invocation.current().environ, tokens)
    findings = (*scheduled.findings, *warnings)
    return Job(fleet, scheduled.source, scope.limit or "", schedule, jobs, connection, findings)


def _owed_by_records() -> PendingRestarts:
    from aegis_provision.operations.runs import pending_restarts

    return pending_restarts(Invocation.current().environ)


def hosts_with_api(schedule: Schedule) -> frozenset[str]:
    """Return the hosts whose API some play of ``schedule`` asks."""
    return _hosts_where(schedule, _asks_aegis)


def _asks_aegis(gates: Gates) -> bool:
    return gates.restart is not Restart.NEVER or (gates.verify is not None and gates.verify.health)


def _hosts_where(schedule: Schedule, wanted: Callable[[Gates], bool]) -> frozenset[str]:
    return frozenset(
        host for play in schedule.plays if wanted(play.play.gates) for host in play.hosts
    )


def print_schedule(output: Output, schedule: Schedule, output_format: Format) -> None:
    """Print plays, batches and hosts on stdout."""
    from aegis_provision.report.console import print_lines
    from aegis_provision.report.json_documents import schedule_document
    from aegis_provision.report.schedule_text import schedule_lines

    if output_format == "text":
        print_lines(output.result, schedule_lines(schedule))
    else:
        print_document(schedule_document(schedule), output_format)


def print_plan_warnings(plans: Sequence[HostPlan]) -> None:
    """Print on stderr what plans warn of, where nothing else shows them before they are done."""
    from aegis_provision.report.console import escape_control
    from aegis_provision.report.host_lists import truncate

    warned: dict[str, list[str]] = {}
    for plan in plans:
        for words in plan.warnings:
            warned.setdefault(words, []).append(plan.host)
    for words, hosts in warned.items():
        names = ", ".join(truncate(hosts, _MOST_NAMES))
        echo(escape_control(f"warning: {names}: {words}"), err=True)


def print_plan(
    output: Output,
    plans: Sequence[HostPlan],
    output_format: Format,
    stream: EventStream | None,
    *,
    as_diff: bool = False,
) -> None:
    """Print ``plans`` on stdout, as the last line of ``stream`` where events are watched."""
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.json_documents import plan_document
    from aegis_provision.report.plan_text import plan_lines

    if stream is not None:
        stream.plan_finished(plans)
    elif output_format == "json":
        print_document(plan_document(plans), output_format)
    else:
        console = output.result
        every = output.verbosity > 0
        lines = plan_lines(plans, width=text_width(console), every_host=every, as_diff=as_diff)
        print_lines(console, lines)
