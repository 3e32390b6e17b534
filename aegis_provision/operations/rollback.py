"""What it takes to undo a past run with today's inventory, before anybody connects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.cli.invocation import Invocation
from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.errors import InvalidInputError
from aegis_provision.history.digests import file_digest
from aegis_provision.history.run_header import host_identity
from aegis_provision.operations.connection import connection_settings
from aegis_provision.operations.load import load_fleet, resolve_api_tokens, select_hosts
from aegis_provision.operations.plan import hosts_with_api
from aegis_provision.operations.runs import record_key, run_to_undo
from aegis_provision.planning.rollback import RollbackTarget, session_from_config
from aegis_provision.playbook.rollback import rollback_schedule
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.rollout.planner import ConnectionSettings, HostJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.cli.options import ConnectionFlags
    from aegis_provision.history.past_run import PastRun
    from aegis_provision.operations.load import Fleet
    from aegis_provision.playbook.plays import Schedule


@dataclass(frozen=True, slots=True)
class RollbackJob:
    """What is undone where: the run, the inventory of today, and the hosts in reverse order."""

    past: PastRun
    fleet: Fleet
    schedule: Schedule
    jobs: tuple[HostJob, ...]
    undoings: Mapping[str, RollbackTarget]
    connection: ConnectionSettings
    limit: str


def prepare_rollback(
    run: str | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
) -> RollbackJob:
    """Return the way back from ``run``, by default the last apply that is not undone yet.

    ``environ`` fills the tokens of Aegis' API. Raises :class:`Error` and
    :class:`InvalidInputError`, both before any connection.
    """
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
    schedule = rollback_schedule(past.header.schedule, hosts)
    asked = hosts_with_api(schedule)
    tokens = resolve_api_tokens(fleet, [name for name in hosts if name in asked], environ)
    digest = partial(file_digest, record_key(real))
    jobs, undoings = [], {}
    for name in schedule.hosts:
        known, host = past.header.hosts[name], fleet.inventory.hosts[name]
        write = past.hosts[name].write
        if write is None:
            continue
        # The run wrote where it wrote, wherever the inventory would have it today.
        there = replace(host, target=replace(host.target, config_path=known.identity.path))
        jobs.append(HostJob(there, session_from_config(None), tokens.get(name)))
        undoings[name] = RollbackTarget(
            past.header.run,
            name,
            known.provider,
            write.before.digest if write.before else None,
            write.after.digest if write.after else None,
            digest,
        )
    return RollbackJob(
        past,
        fleet,
        schedule,
        tuple(jobs),
        undoings,
        connection_settings(flags, real, recipe_secrets(fleet.recipes, environ)),
        limit or "",
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
        and host_identity(fleet.inventory.hosts[name].target, past.header.hosts[name].identity.path)
        != past.header.hosts[name].identity
    )
    if moved:
        yield error(
            "another-host",
            f"the inventory leads to other machines than the run {past.header.run} did",
            hint="name the inventory of that time with -i, or leave them out with --limit",
            hosts=moved,
        )
