"""Where a run is recorded, as commands need it: the operator's state directory in our words."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision import __version__
from aegis_provision.errors import RefusedError, StateDirError
from aegis_provision.history.run_header import (
    RunHeader,
    RunHost,
    RunKind,
    host_identity,
    source_file,
)
from aegis_provision.history.run_record import RunRecord, open_record
from aegis_provision.history.state_dir import state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.operations.plan import Job
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.rollout.planner import HostJob


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a record says of its run beside the hosts."""

    kind: RunKind
    operator: str
    inventories: tuple[SourceFile, ...]
    playbook: SourceFile | None = None
    limit: str = ""
    undoes: str | None = None
    retries: str | None = None
    saved_plan: SourceFile | None = None


def run_summary_fields(facts: RunInfo) -> Mapping[str, str]:
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


def run_info(
    job: Job, kind: RunKind, *, retries: str | None = None, saved_plan: SourceFile | None = None
) -> RunInfo:
    """Return what the record of a run of ``job`` says beside the hosts."""
    source = job.playbook_source
    return RunInfo(
        kind=kind,
        operator=operator_name(job.connection.options.login_name),
        inventories=tuple(source_file(file.name, file.data) for file in job.fleet.files),
        playbook=source,
        limit=job.limit,
        retries=retries,
        saved_plan=saved_plan,
    )


def operator_name(login: str) -> str:
    """Return who runs the tool, as records and locks name them."""
    return f"{login}@{socket.gethostname()}"


def open_run_record(
    environ: Mapping[str, str],
    run: str,
    facts: RunInfo,
    schedule: Schedule,
    jobs: Mapping[str, HostJob],
    plans: Sequence[HostPlan],
) -> RunRecord:
    """Open the record of ``run``. Raises :class:`Error`: no record, no run."""
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
            plan.host: RunHost(host_identity(jobs[plan.host].host.target, plan.path), plan.provider)
            for plan in plans
        },
        undoes=facts.undoes,
        retries=facts.retries,
        saved_plan=facts.saved_plan,
    )
    try:
        return open_record(state_dir(environ), header)
    except StateDirError as problem:
        raise RefusedError(f"nothing was written: {problem.message}", problem.hint) from None
