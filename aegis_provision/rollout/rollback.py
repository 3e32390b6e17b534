"""Plans the rollback of a past run on a host: what is there is read first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import check_permissions, needs_login
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.rollback import (
    needs_previous,
    plan_rollback,
    restore_managed_keys,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.rollback import RollbackTarget
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession


def plan_host_rollback(
    targets: Mapping[str, RollbackTarget], job: HostJob, session: HostSession, deadline: Deadline
) -> HostPlan:
    """Return the plan that undoes on the host what a past run did there.

    ``targets`` holds what to bring back on every host. Raises :class:`Unreachable`.
    """
    target = targets[job.host.name]
    actual = session.read(deadline)
    previous = None
    if needs_previous(target, actual):
        previous = session.previous(actual.path, deadline)
    plan = plan_rollback(target, actual, previous)
    if plan.write is not None:
        receipt = validate(session.receipt(actual.path, deadline), actual)
        trusted = receipt if isinstance(receipt, Receipt) else None
        plan = restore_managed_keys(plan, target, trusted)
    if needs_login(plan):
        plan = check_permissions(plan, replace(actual, login=session.login(deadline)))
    return plan
