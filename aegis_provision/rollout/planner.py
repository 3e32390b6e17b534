"""Reads many hosts at once, and turns each into its plan: of an apply, or of a rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from aegis_provision.aegis.file_in_use import FoundFiles
from aegis_provision.aegis.identify_server import NO_COMMANDS, UnknownServer
from aegis_provision.errors import Unreachable
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
from aegis_provision.planning.plan import Action, changes_sessions
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.rollback import needs_previous, plan_rollback, with_managed_keys
from aegis_provision.rollout.events import HostPlanned, KeysAccepted, ReadingStarted
from aegis_provision.rollout.find_server import read_host
from aegis_provision.rollout.redact_remote_text import redacted, redactor_of
from aegis_provision.rollout.worker_pool import CancelToken, run_all
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.rollback import RollbackTarget
    from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
    from aegis_provision.rollout.events import Emit, Event
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.connect_options import AcceptedKey
    from aegis_provision.transport.host_session import HostSession

_RIGHT_FOR_SESSIONS = frozenset({Action.UPDATE, Action.UNCHANGED})
_HEALTH_TIMEOUT = 5.0


HostPlanner: TypeAlias = "Callable[[HostJob, HostSession, Deadline], HostPlan]"
"""Reads one host over an open session and returns its plan. Raises :class:`Unreachable`."""


class HasSecrets(Protocol):
    """What was read of a host; ``secrets`` are those in its file."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must be masked in any text about the host."""
        ...


Reading = TypeVar("Reading", bound=HasSecrets)


def plan_fleet(
    jobs: Sequence[HostJob],
    connection: ConnectionSettings,
    pool: ConnectionPool,
    emit: Emit,
    planner: HostPlanner | None = None,
) -> tuple[HostPlan, ...]:
    """Read every host and return the plans in the order of ``jobs``.

    ``planner`` makes a host's plan, by default what the inventory wants there, pins included. A
    host's failure is its plan's action, never an exception. Connections to hosts that would change
    go to ``pool`` if there is room; the others are closed.
    """

    def keep(plan: HostPlan, session: HostSession) -> bool:
        needed = plan.write is not None or plan.restart_pending
        return needed and pool.offer(plan.host, session)

    return read_fleet(
        jobs,
        connection,
        emit,
        planner or _plan_host,
        unreachable=unreachable_plan if planner else _unreachable_with_pin,
        event=HostPlanned,
        keep=keep,
    )


def read_fleet(
    jobs: Sequence[HostJob],
    connection: ConnectionSettings,
    emit: Emit,
    read: Callable[[HostJob, HostSession, Deadline], Reading],
    *,
    unreachable: Callable[[HostJob, Unreachable], Reading],
    event: Callable[[Reading], Event],
    keep: Callable[[Reading, HostSession], bool] = lambda *_: False,
) -> tuple[Reading, ...]:
    """Connect to every host, ``read`` it, and return the readings in the order of ``jobs``.

    Nothing is written. ``unreachable`` makes the reading of a host on which ``read`` or the
    connection failed. Each reading is emitted as an ``event``. A
    session is closed unless ``keep`` took it over. No reading holds a secret in its text.
    """
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)

    def read_host(job: HostJob) -> tuple[Reading, tuple[AcceptedKey, ...]]:
        deadline = Deadline.after(connection.deadline)
        session, kept = None, False
        try:
            session = connection.open(job.host, deadline, emit)
            reading = read(job, session, deadline)
            kept = keep(reading, session)
        except Unreachable as error:
            reading = unreachable(job, error)
        finally:
            if session is not None and not kept:
                session.close()
        accepted = session.accepted if session is not None else ()
        return redacted(reading, redactor.with_secrets(reading.secrets), job), accepted

    readings: dict[str, Reading] = {}
    with connection.shared:
        for job, (reading, accepted) in run_all(
            jobs, read_host, workers=connection.forks, cancel=CancelToken()
        ):
            if accepted:
                emit(KeysAccepted(job.host.name, accepted))
            readings[job.host.name] = reading
            emit(event(reading))
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


def _unreachable_with_pin(job: HostJob, problem: Unreachable) -> HostPlan:
    return replace(unreachable_plan(job, problem), pin=pin_of(job.host))


def plan_host_rollback(
    targets: Mapping[str, RollbackTarget], job: HostJob, session: HostSession, deadline: Deadline
) -> HostPlan:
    """Return the plan that brings back the file from before a past run.

    ``targets`` holds what to bring back on every host. Raises :class:`Unreachable`.
    """
    target = targets[job.host.name]
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
