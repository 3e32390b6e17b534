"""What it takes to undo a past run with today's inventory, before anybody connects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.cli.failure import InvalidInputError
from aegis_provision.cli.fleet import fill_api_tokens, load_fleet, select_hosts
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.past_runs import record_key, run_to_undo
from aegis_provision.cli.planned import hosts_asked
from aegis_provision.cli.reach import reach_of
from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.ledger.digests import file_digest
from aegis_provision.ledger.header import identity_of
from aegis_provision.planning.going_back import Undoing, session_in
from aegis_provision.playbook.reversal import reversed_schedule
from aegis_provision.providers.recipes import recipe_secrets
from aegis_provision.rollout.reading import HostWork, Reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.cli.fleet import Fleet
    from aegis_provision.cli.options import ConnectionFlags
    from aegis_provision.ledger.past_run import PastRun
    from aegis_provision.playbook.model import Schedule


@dataclass(frozen=True, slots=True)
class WayBack:
    """What is undone where: the run, the inventory of today, and the hosts in reverse order."""

    past: PastRun
    fleet: Fleet
    schedule: Schedule
    works: tuple[HostWork, ...]
    undoings: Mapping[str, Undoing]
    reach: Reach
    limit: str


def way_back(
    run: str | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    environ: Mapping[str, str],
    flags: ConnectionFlags,
) -> WayBack:
    """Return the way back from ``run``, by default the last apply that is not undone yet.

    ``environ`` fills the tokens of Aegis' API. Raises :class:`CommandFailedError` and
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
            past.header.run,
            name,
            known.provider,
            write.before.digest if write.before else None,
            write.after.digest if write.after else None,
            digest,
        )
    return WayBack(
        past,
        fleet,
        schedule,
        tuple(works),
        undoings,
        reach_of(flags, real, recipe_secrets(fleet.recipes, environ)),
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
