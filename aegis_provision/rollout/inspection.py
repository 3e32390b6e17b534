"""Reads many hosts at once for what they have: for their status, and for an import.

The status is drift, edits, pending changes and restarts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.status import HostStatus, status_of, unreachable_status
from aegis_provision.providers.session_variables import Session, SessionSpec
from aegis_provision.rollout.events import HostChecked, HostPlanned
from aegis_provision.rollout.find_server import read_host
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.host_work import HostReader
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.rollout.inspected_host import InspectedHost
from aegis_provision.rollout.planner import ask_restart_pending, read_fleet, unreachable_plan
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.errors import Unreachable
    from aegis_provision.inventory.host import Host
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_work import Executor
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_NO_SESSION = Session(SessionSpec("", (), allow_http=False), {}, ())


@dataclass(frozen=True, slots=True)
class InspectionReader(HostReader[InspectedHost]):
    """Looks at a host for an import: what is read leaves with its content."""

    def read(self, job: HostJob, session: HostSession, deadline: Deadline) -> InspectedHost:
        """Return what the host has. Raises :class:`Unreachable`."""
        actual, server = read_host(job.host, session, deadline, ask=False)
        comparison = compare(job.host, job.session, actual, server)
        receipt = None
        if comparison.has_others:
            receipt = validate(actual.receipt, actual)
        plan = plan_compared(comparison)
        if plan.action is not Action.ERROR:
            plan = replace(plan, action=Action.UNCHANGED, write=None)
        return InspectedHost(job.host, plan, actual, receipt)

    def unreachable(self, job: HostJob, problem: Unreachable) -> InspectedHost:
        """Return what is known of a host that could not be read."""
        return InspectedHost(job.host, unreachable_plan(job, problem), None)


@dataclass(frozen=True, slots=True)
class StatusReader(HostReader[HostStatus]):
    """Tells how a host stands."""

    def read(self, job: HostJob, session: HostSession, deadline: Deadline) -> HostStatus:
        """Return the host's status. Raises :class:`Unreachable`."""
        return _check_host(job, session, deadline)

    def unreachable(self, job: HostJob, problem: Unreachable) -> HostStatus:
        """Return the status of a host that could not be read."""
        return unreachable_status(job.host, job.session, str(problem), problem.hint)


def inspect_fleet(
    hosts: Sequence[Host], connection: ConnectionSettings, emit: Emit
) -> tuple[InspectedHost, ...]:
    """Read every host's file and return what was found, in the order of ``hosts``.

    A host's failure is its plan's action, never an exception.
    """
    jobs = [HostJob(host, _NO_SESSION) for host in hosts]
    reader = InspectionReader()
    with host_worker(jobs, connection) as worker:
        return read_fleet(
            jobs, worker, emit, lambda _: reader, event=lambda found: HostPlanned(found.plan)
        )


def check_fleet(jobs: Sequence[HostJob], executor: Executor, emit: Emit) -> tuple[HostStatus, ...]:
    """Read every host and return each one's status, in the order of ``jobs``.

    A host's failure is its state, never an exception.
    """
    reader = StatusReader()
    return read_fleet(jobs, executor, emit, lambda _: reader, event=HostChecked)


def _check_host(job: HostJob, session: HostSession, deadline: Deadline) -> HostStatus:
    actual, server = read_host(job.host, session, deadline)
    comparison = compare(job.host, job.session, actual, server)
    if comparison.refusals:
        return status_of(comparison, None)
    receipt = validate(actual.receipt, actual)
    written = isinstance(receipt, Receipt) or actual.path in job.pending_restarts
    pending = False
    if actual.file is not None and written:
        # As 'apply' decides it, so that the two agree.
        plan = plan_compared(comparison, receipt)
        pending = ask_restart_pending(job, plan, actual, server, session, deadline)
    return status_of(comparison, receipt, restart_pending=pending)
