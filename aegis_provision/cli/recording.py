"""Where a run is recorded, as commands need it: the operator's state directory in our words."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision import __version__
from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.failure import CommandFailedError
from aegis_provision.ledger.header import RunHeader, RunHost, RunKind, identity_of, source_of
from aegis_provision.ledger.owed import restarts_owed
from aegis_provision.ledger.past_run import DamagedRun, RunState
from aegis_provision.ledger.places import StateError, load_key, places_of
from aegis_provision.ledger.record import RunRecord, open_record
from aegis_provision.ledger.runs import NoSuchRun, find_run, read_run, run_names, runs_that_touched
from aegis_provision.rollout.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.cli.planned import Job
    from aegis_provision.inventory.model import Target
    from aegis_provision.ledger.header import Identity, Source
    from aegis_provision.ledger.past_run import PastRun
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.playbook.model import Schedule
    from aegis_provision.rollout.reading import HostWork


@dataclass(frozen=True, slots=True)
class OwedRestarts:
    """Restarts that the operator's records know to be owed: paths of files, by place."""

    paths: Mapping[Identity, frozenset[str]]

    def at(self, target: Target) -> frozenset[str]:
        """Return the absolute paths of files at ``target`` for which a restart is owed."""
        return self.paths.get(identity_of(target, ""), frozenset())


def owed_restarts(environ: Mapping[str, str]) -> OwedRestarts:
    """Return what all records together say. Raises :class:`CommandFailedError`."""
    found: dict[Identity, set[str]] = {}
    with _in_our_words():
        places = places_of(environ)
        for identity in restarts_owed(runs_that_touched(places, run_names(places))):
            found.setdefault(replace(identity, path=""), set()).add(identity.path)
    return OwedRestarts({place: frozenset(paths) for place, paths in found.items()})


def past_run(environ: Mapping[str, str], wanted: str) -> PastRun:
    """Return the run that ``wanted`` names. Raises :class:`CommandFailedError`."""
    with _in_our_words():
        places = places_of(environ)
        past = read_run(places, find_run(run_names(places), wanted))
    if isinstance(past, DamagedRun):
        raise CommandFailedError(
            ExitCode.INVALID_INPUT, f"the record of {past.run} is damaged: {past.reason}"
        )
    return past


def finished_run(environ: Mapping[str, str], wanted: str) -> PastRun:
    """Return the run that ``wanted`` names, which nobody is carrying out any more.

    Raises :class:`CommandFailedError`.
    """
    past = past_run(environ, wanted)
    if past.state is RunState.RUNNING:
        raise CommandFailedError(
            ExitCode.REFUSED,
            f"the run {past.header.run} is not over yet",
            "wait for its end, or stop it with Ctrl-C",
        )
    return past


def run_to_undo(environ: Mapping[str, str], wanted: str | None) -> PastRun:
    """Return the run that ``wanted`` names, without a name the last apply that is not undone yet.

    Raises :class:`CommandFailedError`, also where that run wrote nothing.
    """
    past = finished_run(environ, wanted) if wanted is not None else _last_to_undo(environ)
    if not any(host.can_be_undone for host in past.hosts.values()):
        raise CommandFailedError(
            ExitCode.INVALID_INPUT,
            f"the run {past.header.run} wrote nothing that could be undone",
            f"look at it with 'aegis-provision history {past.header.run}'",
        )
    return past


def _last_to_undo(environ: Mapping[str, str]) -> PastRun:
    undone: set[tuple[str | None, str]] = set()
    with _in_our_words():
        places = places_of(environ)
        for past in runs_that_touched(places, run_names(places)):
            if past.header.kind is RunKind.ROLLBACK:
                undone.update(
                    (past.header.undoes, host.host)
                    for host in past.hosts.values()
                    if host.status is Status.ROLLED_BACK
                )
            elif past.state is not RunState.RUNNING and any(
                host.can_be_undone and (past.header.run, host.host) not in undone
                for host in past.hosts.values()
            ):
                return past
    raise CommandFailedError(
        ExitCode.INVALID_INPUT,
        "no run has written anything that could be undone",
        "list them with 'aegis-provision history'",
    )


def record_key(environ: Mapping[str, str]) -> bytes:
    """Return the key that digests in records are made with. Raises :class:`CommandFailedError`."""
    with _in_our_words():
        return load_key(places_of(environ))


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (StateError, NoSuchRun) as problem:
        raise CommandFailedError(ExitCode.INVALID_INPUT, problem.message, problem.hint) from None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a record says of its run beside the hosts."""

    kind: RunKind
    operator: str
    inventories: tuple[Source, ...]
    playbook: Source | None = None
    limit: str = ""
    undoes: str | None = None
    retries: str | None = None
    saved_plan: Source | None = None


def about(facts: RunFacts) -> Mapping[str, str]:
    """Return what a page says of a run in its head, by title."""
    return {
        "Operator": facts.operator,
        "Inventory": ", ".join(source.path for source in facts.inventories),
        **({"Playbook": facts.playbook.path} if facts.playbook else {}),
        **({"Saved plan": facts.saved_plan.path} if facts.saved_plan else {}),
        **({"Limit": facts.limit} if facts.limit else {}),
        **({"Undoes": facts.undoes} if facts.undoes else {}),
        **({"Takes up again": facts.retries} if facts.retries else {}),
    }


def facts_of(
    job: Job, kind: RunKind, *, retries: str | None = None, saved_plan: Source | None = None
) -> RunFacts:
    """Return what the record of a run of ``job`` says beside the hosts."""
    source = job.playbook_source
    return RunFacts(
        kind=kind,
        operator=operator_name(job.reach.options.login_name),
        inventories=tuple(source_of(file.name, file.data) for file in job.fleet.files),
        playbook=source,
        limit=job.limit,
        retries=retries,
        saved_plan=saved_plan,
    )


def operator_name(login: str) -> str:
    """Return who runs the tool, as records and locks name them."""
    return f"{login}@{socket.gethostname()}"


def begin_record(
    environ: Mapping[str, str],
    run: str,
    facts: RunFacts,
    schedule: Schedule,
    works: Mapping[str, HostWork],
    plans: Sequence[HostPlan],
) -> RunRecord:
    """Open the record of ``run``. Raises :class:`CommandFailedError`: no record, no run."""
    header = RunHeader(
        run=run,
        kind=facts.kind,
        tool_version=__version__,
        operator=facts.operator,
        started=datetime.now(UTC),
        inventories=facts.inventories,
        playbook=facts.playbook,
        limit=facts.limit,
        schedule=schedule,
        hosts={
            plan.host: RunHost(identity_of(works[plan.host].host.target, plan.path), plan.provider)
            for plan in plans
        },
        undoes=facts.undoes,
        retries=facts.retries,
        saved_plan=facts.saved_plan,
    )
    try:
        return open_record(places_of(environ), header)
    except StateError as problem:
        raise CommandFailedError(
            ExitCode.REFUSED, f"nothing was written: {problem.message}", problem.hint
        ) from None
