"""Reads many hosts at once for what they have: for their status, and for an import.

The status is drift, edits, pending changes and restarts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.status import status_of, unreachable_status
from aegis_provision.providers.session_variables import Session, SessionSpec
from aegis_provision.rollout.events import HostChecked, HostPlanned
from aegis_provision.rollout.find_server import read_host
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.planner import ask_restart_pending, read_fleet, unreachable_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.receipts import RejectedReceipt
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_NO_SESSION = Session(SessionSpec("", (), allow_http=False), {}, ())


@dataclass(frozen=True, slots=True)
class InspectedHost:
    """One host as it is; ``actual`` is ``None`` if it was unreachable.

    ``plan`` is what any inventory would do there: refuse, or correct the file's mode; without a
    file there is nothing to plan. ``receipt`` is what lies beside a file with session variables.
    """

    host: Host
    plan: HostPlan
    actual: RemoteState | None
    receipt: Receipt | RejectedReceipt | None = None


def inspect_fleet(
    hosts: Sequence[Host], connection: ConnectionSettings, emit: Emit
) -> tuple[InspectedHost, ...]:
    """Read every host's file and return what was found, in the order of ``hosts``.

    A host's failure is its plan's action, never an exception.
    """
    states: dict[str, RemoteState] = {}
    receipts: dict[str, Receipt | RejectedReceipt | None] = {}

    def inspect(job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
        actual, server = read_host(job.host, session, deadline, ask=False)
        states[job.host.name] = actual
        comparison = compare(job.host, job.session, actual, server)
        if comparison.has_others:
            receipts[job.host.name] = validate(actual.receipt, actual)
        plan = plan_compared(comparison)
        if plan.action is Action.ERROR:
            return plan
        return replace(plan, action=Action.UNCHANGED, write=None)

    jobs = [HostJob(host, _NO_SESSION) for host in hosts]
    plans = read_fleet(
        jobs, connection, emit, inspect, unreachable=unreachable_plan, event=HostPlanned
    )
    return tuple(
        InspectedHost(host, plan, None)
        if plan.action is Action.UNREACHABLE
        else InspectedHost(host, plan, states.get(host.name), receipts.get(host.name))
        for host, plan in zip(hosts, plans, strict=True)
    )


def check_fleet(
    jobs: Sequence[HostJob], connection: ConnectionSettings, emit: Emit
) -> tuple[HostStatus, ...]:
    """Read every host and return each one's status, in the order of ``jobs``.

    A host's failure is its state, never an exception. No status holds the host's secrets any more:
    they have done their part, which is to be masked in its text.
    """
    statuses = read_fleet(
        jobs,
        connection,
        emit,
        _check_host,
        unreachable=lambda job, problem: unreachable_status(
            job.host, job.session, str(problem), problem.hint
        ),
        event=lambda status: HostChecked(replace(status, secrets=())),
    )
    return tuple(replace(status, secrets=()) for status in statuses)


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
