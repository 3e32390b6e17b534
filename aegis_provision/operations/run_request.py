"""A run that is about to be agreed to, and what the operator should know before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.budget import predict_stop
from aegis_provision.playbook.large_batches import large_batches
from aegis_provision.rollout.task import HostTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.operations.run_record import RunInfo
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.rollout.planner import ConnectionSettings, HostJob


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that is about to be agreed to: what it does, where, and what its record will say.

    ``plans`` are those of the schedule's hosts, in its order; ``fleet_size`` is how many hosts
    the inventory has. ``verb`` is what the operator is asked to agree to; ``going_back`` says that
    it undoes a past run.
    """

    schedule: Schedule
    jobs: Mapping[str, HostJob]
    plans: tuple[HostPlan, ...]
    connection: ConnectionSettings
    facts: RunInfo
    fleet_size: int
    verb: str = "Write to"
    going_back: bool = False

    @property
    def changing(self) -> tuple[str, ...]:
        """Return the hosts that would be written."""
        return tuple(plan.host for plan in self.plans if plan.write is not None)

    @property
    def restarting(self) -> tuple[str, ...]:
        """Return the hosts on which a play would restart Aegis, if all goes well."""
        plans = {plan.host: plan for plan in self.plans}
        found = {
            host: None
            for play in self.schedule.plays
            for host in play.hosts
            if HostTask(
                self.jobs[host], plans[host], play.play.gates, plans[host].restart_owed
            ).restarts
        }
        return tuple(found)


def predicted_stop(request: RunRequest) -> str:
    """Return where hosts that can't be worked on will stop the run, empty where they will not."""
    bad = {Action.UNREACHABLE} if request.going_back else {Action.ERROR, Action.UNREACHABLE}
    hosts = {plan.host for plan in request.plans if plan.action in bad}
    stops = predict_stop(request.schedule, hosts)
    if stops is None:
        return ""
    name = request.schedule.plays[stops.play].play.name
    where = f' of "{name}"' if name else ""
    return (
        f"the run will stop before batch {stops.batch + 1}{where}: "
        f"{counted_hosts(len(stops.failed))} can't be worked on, "
        f"and max_fail allows {stops.budget.words}"
    )


def large_batch_warning(request: RunRequest) -> str:
    """Return that one batch changes most of the fleet at once, empty where none does."""
    large = large_batches(request.schedule, request.changing, request.fleet_size)
    if not large:
        return ""
    most = max(large, key=lambda batch: batch.changes)
    return (
        f"one batch changes {most.changes} of the inventory's {counted_hosts(most.fleet)} at once, "
        "more than half of them"
    )


def counted_hosts(number: int) -> str:
    """Return ``1 host``, ``2 hosts``."""
    return "1 host" if number == 1 else f"{number} hosts"
