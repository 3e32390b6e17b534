"""Reads many hosts at once for what they have, as an import needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import validate
from aegis_provision.providers.session import Session, SessionSpec
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.planner import plan_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.receipts import Receipt, RejectedReceipt
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_NOTHING = Session(SessionSpec("", (), allow_http=False), {}, ())


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
    seen: dict[str, RemoteState] = {}
    receipts: dict[str, Receipt | RejectedReceipt | None] = {}

    def plan(job: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
        actual = seen[job.host.name] = session.read(deadline)
        comparison = compare(job.host, job.session, actual)
        if comparison.has_others:
            found = session.receipt(actual.path, deadline)
            receipts[job.host.name] = validate(found, actual)
        planned = plan_compared(comparison)
        if planned.action is Action.ERROR:
            return planned
        return replace(planned, action=Action.UNCHANGED, write=None)

    jobs = [HostJob(host, _NOTHING) for host in hosts]
    with ConnectionPool(limit=0) as pool:
        plans = plan_fleet(jobs, connection, pool, emit, plan)
    return tuple(
        InspectedHost(host, plan, None)
        if plan.action is Action.UNREACHABLE
        else InspectedHost(host, plan, seen.get(host.name), receipts.get(host.name))
        for host, plan in zip(hosts, plans, strict=True)
    )
