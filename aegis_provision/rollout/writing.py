"""Carries plans out on many hosts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.planning.model import Action
from aegis_provision.rollout.events import HostFinished, StopRequested, WritingStarted
from aegis_provision.rollout.outcome import HostResult, Status
from aegis_provision.rollout.pool import Stop, run_all
from aegis_provision.transport.protocol import Deadline, Unreachable, WriteFailed, WriteRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.inventory.model import Host
    from aegis_provision.planning.model import HostPlan, Write
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.reading import KeptConnections, Reach
    from aegis_provision.transport.protocol import Written

_WITHOUT_WRITE = {
    Action.UNCHANGED: Status.UNCHANGED,
    Action.ERROR: Status.REFUSED,
    Action.UNREACHABLE: Status.UNREACHABLE,
}
_UNKNOWN = "interrupted while it was being written: it has either the old file or the new one"


def write_fleet(
    plans: Sequence[HostPlan],
    hosts: Mapping[str, Host],
    reach: Reach,
    kept: KeptConnections,
    *,
    owner: str,
    stop: Stop,
    emit: Emit,
) -> tuple[HostResult, ...]:
    """Write every host that has something to write; return all results in the plans' order.

    ``owner`` is who the locks name. A host's failure is its result's status, never an
    exception. Once ``stop`` was asked, hosts not yet begun end as ``not_attempted`` and writes
    under way finish; where it was asked twice, those end as ``failed``, their outcome unknown.
    """
    results = {plan.host: without_write(plan) for plan in plans if plan.write is None}
    to_write = [plan for plan in plans if plan.write is not None]
    emit(WritingStarted(len(to_write)))
    begun: set[str] = set()

    def work(plan: HostPlan) -> HostResult:
        begun.add(plan.host)
        return _write_host(plan, hosts[plan.host], reach, kept, owner)

    def tell() -> None:
        emit(StopRequested(len(begun - results.keys())))

    for plan, result in run_all(to_write, work, workers=reach.forks, stop=stop, on_stop=tell):
        results[plan.host] = result
        emit(HostFinished(0, result))
    for host in begun - results.keys():
        results[host] = HostResult(host, Status.FAILED, _UNKNOWN, "look at it with 'plan'")
    return tuple(results.get(plan.host) or _not_attempted(plan) for plan in plans)


def without_write(plan: HostPlan) -> HostResult:
    """Return how a host ends that is not written: by its plan, or as not attempted."""
    if plan.write is not None:
        return _not_attempted(plan)
    return HostResult(plan.host, _WITHOUT_WRITE[plan.action], plan.message, plan.hint)


def _not_attempted(plan: HostPlan) -> HostResult:
    return HostResult(plan.host, Status.NOT_ATTEMPTED, "nothing was written there")


def _write_host(
    plan: HostPlan, host: Host, reach: Reach, kept: KeptConnections, owner: str
) -> HostResult:
    if plan.write is None:
        raise ValueError("only hosts with something to write are written")
    try:
        written = _write(plan.write, host, reach, kept, owner)
    except WriteRefused as error:
        return HostResult(host.name, Status.REFUSED, str(error), error.hint)
    except WriteFailed as error:
        return HostResult(host.name, Status.FAILED, str(error), error.hint)
    except Unreachable as error:
        return HostResult(host.name, Status.UNREACHABLE, str(error), error.hint)
    return _written(plan, written)


def _write(write: Write, host: Host, reach: Reach, kept: KeptConnections, owner: str) -> Written:
    deadline = Deadline.after(reach.deadline)
    session = kept.take(host.name, deadline) or reach.connect(host.target, reach.options, deadline)
    with session:
        return session.write(write, owner, deadline)


def _written(plan: HostPlan, written: Written) -> HostResult:
    only_the_file = all(change.key.startswith("file.") for change in plan.changes)
    if only_the_file:
        return HostResult(plan.host, Status.APPLIED, warnings=written.warnings)
    return HostResult(
        plan.host,
        Status.RESTART_PENDING,
        "written; it takes effect when Aegis restarts there",
        warnings=written.warnings,
    )
