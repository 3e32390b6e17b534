"""Where a run is recorded, as commands need it: the operator's state directory in our words."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision import __version__
from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.failure import CommandFailedError
from aegis_provision.ledger.header import RunHeader, RunHost, RunKind, identity_of, source_of
from aegis_provision.ledger.places import StateError, places_of
from aegis_provision.ledger.record import RunRecord, open_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.cli.planned import Job
    from aegis_provision.ledger.header import Source
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.playbook.model import Schedule
    from aegis_provision.rollout.reading import HostWork


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
