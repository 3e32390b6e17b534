"""``apply``: carry a plan out on its hosts, and record what happens while it happens."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aegis_provision.errors import RefusedError, StateDirError
from aegis_provision.history.run_header import RunHeader, RunHost, host_identity
from aegis_provision.history.run_record import open_record
from aegis_provision.history.state_dir import state_dir
from aegis_provision.operations.exit_codes import ExitCode, run_exit_code
from aegis_provision.rollout.events import EventBus, RunFinished, RunStarted
from aegis_provision.rollout.host_job import skipped
from aegis_provision.rollout.host_run import run_host as _loaded  # noqa: F401 - while files are free
from aegis_provision.rollout.host_work import Calls, RunTerms
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.run_schedule import run_schedule
from aegis_provision.transport.lock import LockOwner
from aegis_provision.values import dataclass
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from aegis_provision.history.run_record import RunRecord
    from aegis_provision.operations.plan import RunPlan
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_work import Executor
    from aegis_provision.rollout.thread_pool import CancelToken


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: ``name`` is what ``history`` calls it, ``hosts`` how each host ended.

    ``record_problem`` says why its record is not whole, empty where it is.
    """

    name: str
    hosts: tuple[HostResult, ...]
    exit_code: ExitCode
    record_problem: str = ""

    def __iter__(self) -> Iterator[HostResult]:
        return iter(self.hosts)

    @property
    def ok(self) -> bool:
        """Tell whether every host ended well and nothing stopped the run."""
        return self.exit_code is ExitCode.DONE and all(host.ok for host in self.hosts)


def run_name(now: datetime) -> str:
    """Return a name that sorts by when the run began, also within one second."""
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{secrets.randbelow(16):x}"


def refused_results(
    plan: RunPlan, stale: Mapping[str, Sequence[str]] | None = None
) -> tuple[HostResult, ...]:
    """Return how hosts end of which none is written; ``stale`` says why some are refused."""
    reasons = stale or {}
    return tuple(
        HostResult(item.host, Status.REFUSED, "; ".join(reasons[item.host]))
        if item.host in reasons
        else skipped(item)
        for item in plan.hosts
    )


def apply(
    plan: RunPlan,
    name: str,
    now: datetime,
    *,
    executor: Executor,
    cancel: CancelToken,
    observers: Sequence[Emit] = (),
    bugs: list[Exception],
) -> Run:
    """Carry ``plan`` out as the run called ``name`` and return how every host ended.

    The run begins ``now`` (UTC).

    ``observers`` are told of each event once it is recorded; what one of them raises goes to
    ``bugs`` and stops nothing. ``executor`` does the work: best the one that made the plan, as
    another one reads each host again. Once ``cancel`` is asked no further host is begun.

    Raises :class:`RefusedError` where the run can't be recorded: without a record nothing is
    written.
    """
    job = plan.job
    host_jobs = {item.host.name: item for item in job.host_jobs}
    with _open_record(plan, name, now) as record:
        emit = EventBus([record, *observers], bugs)
        owner = LockOwner(f"{job.info.operator}, run {name}")
        calls = Calls(emit, record.before_write, cancel)
        emit(RunStarted(name, job.schedule, plan.hosts))
        plans = {item.host: item for item in plan.hosts}
        result = run_schedule(
            job.schedule,
            host_jobs,
            plans,
            executor,
            calls,
            RunTerms(name, owner, record.digest),
            reader_of=job.reader_of,
            rollback=plan.is_rollback,
        )
        code = run_exit_code(result, rollback=plan.is_rollback)
        emit(RunFinished(result.results, code))
        return Run(name, result.results, code, record.problem or "")


def _open_record(plan: RunPlan, name: str, now: datetime) -> RunRecord:
    job, info = plan.job, plan.job.info
    targets = {item.host.name: item.host.target for item in job.host_jobs}
    header = RunHeader(
        run=name,
        kind=info.kind,
        tool_version=__version__,
        operator=info.operator,
        started=now,
        inventories=info.inventories,
        playbook=info.playbook,
        limit=info.limit,
        schedule=job.schedule,
        hosts={
            item.host: RunHost(host_identity(targets[item.host], item.path), item.provider)
            for item in plan.hosts
        },
        undoes=info.undoes,
        retries=info.retries,
        saved_plan=info.saved_plan,
    )
    try:
        return open_record(state_dir(job.environ), header)
    except StateDirError as problem:
        raise RefusedError(f"nothing was written: {problem.message}", problem.hint) from None
