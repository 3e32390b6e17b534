"""Reads many hosts at once and turns each into its plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from aegis_provision.errors import Unreachable
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.host_plan import (
    check_permissions,
    compare,
    needs_login,
    plan_compared,
    read_only,
    unreachable,
)
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import validate
from aegis_provision.rollout.events import HostPlanned, KeysAccepted, ReadingStarted
from aegis_provision.rollout.remote_text import redacted, redactor_of
from aegis_provision.rollout.worker_pool import CancelToken, run_all
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.options import AcceptedKey

_RIGHT_FOR_SESSIONS = frozenset({Action.UPDATE, Action.UNCHANGED})


@dataclass(frozen=True, slots=True)
class _Read:
    plan: HostPlan
    accepted: tuple[AcceptedKey, ...]


class HostPlanner(Protocol):
    """Reads one host over an open session and returns its plan. Raises :class:`Unreachable`."""

    def __call__(self, job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
        """Return the host's plan before ``deadline``."""
        ...


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
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)
    plans: dict[str, HostPlan] = {}
    for job, read in run_all(
        jobs,
        lambda job: _read_host(job, connection, pool, planner, redactor),
        workers=connection.forks,
        cancel=CancelToken(),
    ):
        if read.accepted:
            emit(KeysAccepted(job.host.name, read.accepted))
        plans[job.host.name] = read.plan
        emit(HostPlanned(read.plan))
    return tuple(plans[job.host.name] for job in jobs)


def _read_host(
    job: HostJob,
    connection: ConnectionSettings,
    pool: ConnectionPool,
    planner: HostPlanner | None,
    redactor: Redactor,
) -> _Read:
    found = _read(job, connection, pool, planner or plan_host)
    plan = redacted(found.plan, redactor.along(found.plan.secrets), job)
    if planner is None:
        plan = replace(plan, pin=pin_of(job.host))
    return replace(found, plan=plan)


def _read(
    job: HostJob, connection: ConnectionSettings, pool: ConnectionPool, planner: HostPlanner
) -> _Read:
    deadline = Deadline.after(connection.deadline)
    try:
        session = connection.connect(job.host.target, connection.options, deadline)
    except Unreachable as error:
        return _Read(unreachable(job.host, job.session, str(error), error.hint), ())
    keep = False
    try:
        plan = planner(job, session, deadline)
        needed = plan.write is not None or plan.restart_owed
        keep = needed and pool.offer(job.host.name, session)
    except Unreachable as error:
        plan = unreachable(job.host, job.session, str(error), error.hint)
    finally:
        if not keep:
            session.close()
    return _Read(plan, session.accepted)


def plan_host(job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
    """Return what would turn the host into what the inventory wants."""
    actual = session.read(deadline)
    comparison = compare(job.host, job.session, actual)
    receipt, login = None, None
    if comparison.needs_receipt:
        found, login = session.receipt_and_login(actual.path, deadline)
        receipt = validate(found, actual)
    plan = plan_compared(comparison, receipt)
    if needs_login(plan):
        login = login if comparison.needs_receipt else session.login(deadline)
        plan = check_permissions(plan, replace(actual, login=login))
    if plan.action in _RIGHT_FOR_SESSIONS and job.restarts and not plan.changes_sessions:
        from aegis_provision.rollout.pending_restart import is_restart_pending

        pending = is_restart_pending(job, plan, actual, session, deadline)
        plan = replace(plan, restart_owed=pending)
    return read_only(plan) if job.session.withheld else plan
