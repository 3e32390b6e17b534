"""Reads many hosts at once, and turns each into its plan: of an apply, or of a rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.aegis.file_in_use import FoundFiles
from aegis_provision.aegis.identify_server import NO_COMMANDS, UnknownServer
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.host_plan import (
    Recreation,
    check_permissions,
    compare,
    is_gone,
    plan_compared,
    read_only,
    refuse_restart,
    unreachable,
)
from aegis_provision.planning.pending_restart import is_restart_pending
from aegis_provision.planning.plan import Action, HostPlan, changes_sessions
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.rollback import (
    needs_previous,
    plan_rollback,
    session_from_config,
    with_managed_keys,
)
from aegis_provision.rollout.events import HostPlanned, KeysAccepted, ReadingStarted
from aegis_provision.rollout.find_server import read_host
from aegis_provision.rollout.host_work import Calls, HostRead, HostReader, ReadHost
from aegis_provision.rollout.thread_pool import CancelToken, run_all
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.errors import Unreachable
    from aegis_provision.planning.rollback import RollbackTarget
    from aegis_provision.rollout.events import Emit, Event
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_work import Executor, Reading
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_RIGHT_FOR_SESSIONS = frozenset({Action.UPDATE, Action.UNCHANGED})
_HEALTH_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class PlanReader(HostReader[HostPlan]):
    """Plans what would turn a host into what the inventory wants, its pin included."""

    def read(self, job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
        """Return the host's plan. Raises :class:`Unreachable`."""
        return _plan_host(job, session, deadline)

    def unreachable(self, job: HostJob, problem: Unreachable) -> HostPlan:
        """Return the plan of a host that could not be read."""
        return replace(unreachable_plan(job, problem), pin=pin_of(job.host))


@dataclass(frozen=True, slots=True)
class RollbackReader(HostReader[HostPlan]):
    """Plans what brings back a host's file from before a past run."""

    target: RollbackTarget

    def read(
        self,
        job: HostJob,  # noqa: ARG002 - the target says all of the host
        session: HostSession,
        deadline: Deadline,
    ) -> HostPlan:
        """Return the host's plan. Raises :class:`Unreachable`."""
        return plan_host_rollback(self.target, session, deadline)

    def unreachable(self, job: HostJob, problem: Unreachable) -> HostPlan:
        """Return the plan of a host that could not be read."""
        return unreachable_plan(job, problem)

    def job_after(self, job: HostJob, plan: HostPlan) -> HostJob:
        """Return ``job`` with the session variables of the file that comes back.

        They are what sessions get then, so the gates ask for them.
        """
        content = plan.write.content if plan.write is not None else None
        return replace(job, session=session_from_config(content, plan.path))


def plan_fleet(
    jobs: Sequence[HostJob],
    executor: Executor,
    emit: Emit,
    reader_of: Callable[[str], HostReader[HostPlan]] = lambda _: PlanReader(),
) -> tuple[HostPlan, ...]:
    """Read every host and return the masked plans in the order of ``jobs``.

    ``reader_of`` returns what makes a host's plan, by default what the inventory wants there. A
    host's failure is its plan's action, never an exception.
    """
    return read_fleet(jobs, executor, emit, reader_of, event=HostPlanned)


def read_fleet(
    jobs: Sequence[HostJob],
    executor: Executor,
    emit: Emit,
    reader_of: Callable[[str], HostReader[Reading]],
    *,
    event: Callable[[Reading], Event],
) -> tuple[Reading, ...]:
    """Read every host, each by its reader, and return the readings in the order of ``jobs``.

    Nothing is written. Each reading is emitted as an ``event``. No reading holds a secret in its
    text.
    """
    emit(ReadingStarted(len(jobs)))
    calls = Calls(emit)

    def read_host(job: HostJob) -> HostRead[Reading]:
        return executor.read(ReadHost(job, reader_of(job.host.name)), calls)

    readings: dict[str, Reading] = {}
    for job, found in run_all(jobs, read_host, threads=executor.forks, cancel=CancelToken()):
        if found.accepted:
            emit(KeysAccepted(job.host.name, found.accepted))
        readings[job.host.name] = found.reading
        emit(event(found.reading))
    return tuple(readings[job.host.name] for job in jobs)


def _plan_host(job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
    """Return what would turn the host into what the inventory wants."""
    actual, server = read_host(job.host, session, deadline)
    comparison = compare(job.host, job.session, actual, server)
    receipt = validate(actual.receipt, actual) if comparison.needs_receipt else None
    recreated = None
    if job.recreate and is_gone(comparison, receipt):
        recreated = Recreation(session.previous(actual.path, deadline))
    plan = plan_compared(comparison, receipt, recreated)
    if plan.write is not None:
        plan = check_permissions(plan, replace(actual, login=session.login(deadline)))
    if job.restarts and server == UnknownServer(NO_COMMANDS):
        plan = refuse_restart(plan, NO_COMMANDS)
    if plan.action in _RIGHT_FOR_SESSIONS and job.restarts and not changes_sessions(plan):
        pending = ask_restart_pending(job, plan, actual, server, session, deadline)
        plan = replace(plan, restart_pending=pending)
    plan = read_only(plan) if job.session.withheld else plan
    return replace(plan, pin=pin_of(job.host))


def unreachable_plan(job: HostJob, problem: Unreachable) -> HostPlan:
    """Return the plan of a host that could not be read."""
    return unreachable(job.host, job.session, str(problem), problem.hint)


def plan_host_rollback(
    target: RollbackTarget, session: HostSession, deadline: Deadline
) -> HostPlan:
    """Return the plan that brings back the file from before a past run.

    ``target`` says what to bring back. Raises :class:`Unreachable`.
    """
    actual = session.read(deadline)
    previous = None
    if needs_previous(target, actual):
        previous = session.previous(actual.path, deadline)
    plan = plan_rollback(target, actual, previous)
    if plan.write is not None:
        receipt = validate(actual.receipt, actual)
        trusted = receipt if isinstance(receipt, Receipt) else None
        plan = with_managed_keys(plan, target, trusted)
        plan = check_permissions(plan, replace(actual, login=session.login(deadline)))
    return plan


def ask_restart_pending(
    job: HostJob,
    plan: HostPlan,
    actual: RemoteState,
    server: FoundFiles | UnknownServer | None,
    session: HostSession,
    deadline: Deadline,
) -> bool:
    """Ask Aegis' API since when it is up, and tell whether it waits for a restart.

    Where nothing tells, it does not.
    """
    from aegis_provision.transport.http_messages import HttpFailure

    timeout = min(_HEALTH_TIMEOUT, deadline.remaining())
    health = job.client(plan, session.request).health(timeout)
    recorded = plan.path in job.pending_restarts
    if actual.file is None:
        return recorded
    pending = is_restart_pending(
        None if isinstance(health, HttpFailure) else health,
        server.server if isinstance(server, FoundFiles) else None,
        actual.file.mtime,
        recorded=recorded,
    )
    return bool(pending)
