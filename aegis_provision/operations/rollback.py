"""``rollback``: what it takes to go back to the files from before a past run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.errors import InvalidInputError
from aegis_provision.history.run_header import RunKind, host_identity
from aegis_provision.history.state_dir import load_key, state_dir
from aegis_provision.operations.connection import (
    connection_settings,
    connection_warnings,
    operator_name,
)
from aegis_provision.operations.load import select_hosts
from aegis_provision.operations.plan import Job, RunInfo, hosts_with_api
from aegis_provision.operations.resolve_secrets import resolve_access
from aegis_provision.planning.digests import DigestKey
from aegis_provision.planning.rollback import RollbackTarget, session_from_config
from aegis_provision.playbook.schedule import rollback_schedule
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.rollout.host_job import HostJob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment, Fleet


def prepare_rollback(
    fleet: Fleet,
    past: PastRun,
    limit: str | None,
    environment: Environment,
    options: ConnectionOptions,
) -> Job:
    """Return the run that rolls ``past`` back: its hosts of ``limit`` in reverse order.

    Raises :class:`InvalidInputError` and :class:`Error`, all before any connection.
    """
    selected = set(select_hosts(fleet.inventory, "--limit", limit)) if limit is not None else None
    hosts = [
        name
        for name, host in past.hosts.items()
        if host.file.can_be_rolled_back and (selected is None or name in selected)
    ]
    problems = list(_host_problems(past, fleet, hosts))
    if problems:
        raise InvalidInputError(problems)
    schedule = rollback_schedule(past.header.schedule, hosts)
    with_api = hosts_with_api(schedule)
    tokens, logins = resolve_access(fleet, hosts, environment.variables, with_api_token=with_api)
    digest = DigestKey.of(load_key(state_dir(environment.environ)))
    host_jobs, targets = [], {}
    for name in schedule.hosts:
        recorded, host = past.header.hosts[name], fleet.inventory.hosts[name]
        write = past.hosts[name].file.write
        if write is None:
            continue
        # The run wrote where it wrote, wherever the inventory would have it today.
        host = replace(host, target=replace(host.target, config_path=recorded.identity.path))
        host_jobs.append(HostJob(host, session_from_config(None, ""), tokens.get(name)))
        targets[name] = RollbackTarget(
            past.header.run,
            name,
            recorded.provider,
            write.before.digest if write.before else None,
            write.after.digest if write.after else None,
            digest,
        )
    secrets = recipe_secrets(fleet.recipes, environment.variables)
    connection = connection_settings(options, environment.environ, secrets, logins)
    info = RunInfo(
        kind=RunKind.ROLLBACK,
        operator=operator_name(connection.options.login_name),
        inventories=fleet.sources,
        playbook=past.header.playbook,
        limit=limit or "",
        undoes=past.header.run,
    )
    environ = environment.environ
    ignored = connection_warnings(connection, (job.host.target for job in host_jobs))
    diagnostics = (*fleet.diagnostics, *ignored)
    return Job(fleet, schedule, tuple(host_jobs), connection, info, environ, diagnostics, targets)


def _host_problems(past: PastRun, fleet: Fleet, hosts: list[str]) -> Iterator[Diagnostic]:
    """Yield what keeps hosts of the run from being found again."""
    hint = "name the inventory of that time with -i, or leave them out with --limit"
    gone = tuple(name for name in hosts if name not in fleet.inventory.hosts)
    if gone:
        yield error(
            "no-such-host",
            f"the inventory does not know hosts of the run {past.header.run} any more",
            hint=hint,
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
            hint=hint,
            hosts=moved,
        )
