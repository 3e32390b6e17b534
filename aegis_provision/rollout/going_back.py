"""Reads hosts for the way back from a past run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.planning.going_back import (
    needs_previous,
    plan_going_back,
    with_ours_from_before,
)
from aegis_provision.planning.host_plan import as_login, needs_login
from aegis_provision.planning.receipts import Receipt, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.going_back import Undoing
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.rollout.reading import HostWork
    from aegis_provision.transport.protocol import Deadline, HostSession


def look_for_way_back(
    undoings: Mapping[str, Undoing], work: HostWork, session: HostSession, deadline: Deadline
) -> HostPlan:
    """Return what would undo on the host what a past run did there.

    ``undoings`` says so for every host. Raises :class:`~.protocol.Unreachable`.
    """
    undoing = undoings[work.host.name]
    actual = session.read(deadline)
    previous = None
    if needs_previous(undoing, actual):
        previous = session.previous(actual.path, deadline)
    plan = plan_going_back(undoing, actual, previous)
    if plan.write is not None:
        receipt = judge(session.receipt(actual.path, deadline), actual)
        trusted = receipt if isinstance(receipt, Receipt) else None
        plan = with_ours_from_before(plan, undoing, trusted)
    if needs_login(plan):
        plan = as_login(plan, replace(actual, login=session.login(deadline)))
    return plan
