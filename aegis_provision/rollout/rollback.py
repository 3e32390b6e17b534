"""Reads hosts for the way back from a past run."""

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
    from aegis_provision.rollout.planner import HostJob
    from aegis_provision.transport.protocol import Deadline, HostSession


def plan_host_rollback(
    undoings: Mapping[str, RollbackTarget], work: HostJob, session: HostSession, deadline: Deadline
) -> HostPlan:
    """Return what would undo on the host what a past run did there.

    ``undoings`` says so for every host. Raises :class:`Unreachable`.
    """
    undoing = undoings[work.host.name]
    actual = session.read(deadline)
    previous = None
    if needs_previous(undoing, actual):
        previous = session.previous(actual.path, deadline)
    plan = plan_rollback(undoing, actual, previous)
    if plan.write is not None:
        receipt = validate(session.receipt(actual.path, deadline), actual)
        trusted = receipt if isinstance(receipt, Receipt) else None
        plan = restore_managed_keys(plan, undoing, trusted)
    if needs_login(plan):
        plan = check_permissions(plan, replace(actual, login=session.login(deadline)))
    return plan
