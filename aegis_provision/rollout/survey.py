"""Reads many hosts at once for what they have, whatever they should have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.model import Action
from aegis_provision.planning.receipts import judge
from aegis_provision.providers.session import Session, SessionSpec
from aegis_provision.rollout.reading import HostWork, KeptConnections, read_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.aegis.actual import Actual
    from aegis_provision.inventory.model import Host
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.planning.receipts import Receipt, Untrusted
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.reading import Reach
    from aegis_provision.transport.protocol import Deadline, HostSession

_NOTHING = Session(SessionSpec("", (), allow_http=False), {}, ())


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One host as it is. ``actual`` is ``None`` where nobody could talk to it.

    ``plan`` is what any inventory would do there, whatever it wants of sessions: refuse, or correct
    the file's mode. There is no file to plan for where ``actual`` has none. ``receipt`` is what
    lies beside a file with session variables.
    """

    host: Host
    plan: HostPlan
    actual: Actual | None
    receipt: Receipt | Untrusted | None = None


def survey(hosts: Sequence[Host], reach: Reach, emit: Emit) -> tuple[Surveyed, ...]:
    """Read every host's file and return what was found, in the order of ``hosts``.

    A host's failure is its plan's action, never an exception.
    """
    seen: dict[str, Actual] = {}
    receipts: dict[str, Receipt | Untrusted | None] = {}

    def look(work: HostWork, session: HostSession, deadline: Deadline) -> HostPlan:
        actual = seen[work.host.name] = session.read(deadline)
        comparison = compare(work.host, work.session, actual)
        if comparison.has_others:
            found = session.receipt(actual.path, deadline)
            receipts[work.host.name] = judge(found, actual)
        plan = plan_compared(comparison)
        if plan.action is Action.ERROR:
            return plan
        return replace(plan, action=Action.UNCHANGED, write=None)

    works = [HostWork(host, _NOTHING) for host in hosts]
    with KeptConnections(limit=0) as kept:
        plans = read_fleet(works, reach, kept, emit, look)
    return tuple(
        Surveyed(host, plan, None)
        if plan.action is Action.UNREACHABLE
        else Surveyed(host, plan, seen.get(host.name), receipts.get(host.name))
        for host, plan in zip(hosts, plans, strict=True)
    )
