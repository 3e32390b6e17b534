"""Carries a schedule out: play after play, batch after batch, as long as the budget lasts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.humanize import counted
from aegis_provision.planning.restore import without_write
from aegis_provision.playbook.budget import budget_of
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostFinished,
    PauseStarted,
    PlayStarted,
    StopRequested,
)
from aegis_provision.rollout.host_run import run_host
from aegis_provision.rollout.remote_text import redactor_of
from aegis_provision.rollout.results import (
    FAILURES,
    SUCCESSES,
    HostResult,
    RunResult,
    Status,
    later_result,
)
from aegis_provision.rollout.task import HostTask, not_begun, skipped
from aegis_provision.rollout.worker_pool import run_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.budget import Budget
    from aegis_provision.playbook.plays import Schedule, ScheduledPlay
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.planner import HostJob
    from aegis_provision.rollout.task import RunContext

_NAMED = 3
_UNKNOWN = "interrupted while it was worked on: it has either the old file or the new one"


def run_schedule(
    schedule: Schedule,
    jobs: Mapping[str, HostJob],
    plans: Mapping[str, HostPlan],
    context: RunContext,
    *,
    going_back: bool = False,
) -> RunResult:
    """Carry ``schedule`` out and return how each of its hosts ended.

    ``works`` and ``plans`` hold every host of the schedule. A batch is a barrier; hosts that the
    plan knows to be in error end when their batch begins. Once more hosts of the whole run have
    failed than the current play allows, no host is begun any more, later plays' included; the same
    goes once ``tools.stop`` was asked. A host that did not end well has no part in later plays.
    ``going_back`` says that the plans undo a past run: hosts then end as ``rolled_back`` or
    ``rollback_failed``.
    """
    return _Run(schedule, jobs, plans, context, going_back=going_back).run()


@dataclass(slots=True)
class _Tally:
    """How hosts ended, counted in the threads in which they do.

    ``counting`` are the statuses that count against the budget.
    """

    counting: frozenset[Status]
    results: dict[str, HostResult] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: HostResult) -> None:
        with self._lock:
            self.results[result.host] = later_result(self.results.get(result.host), result)

    def failed(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(
                name for name, item in self.results.items() if item.status in self.counting
            )


@dataclass(slots=True)
class _Run:
    schedule: Schedule
    jobs: Mapping[str, HostJob]
    plans: Mapping[str, HostPlan]
    context: RunContext
    tally: _Tally = field(init=False)
    redactor: Redactor = field(init=False)
    under_way: set[str] = field(default_factory=set)
    budget_spent: bool = False
    going_back: bool = False

    def __post_init__(self) -> None:
        # A way back that ended where it should is no failure, and a host whose file has moved on is
        # no reason to leave the others as they are.
        back = {Status.ROLLED_BACK, Status.REFUSED} if self.going_back else set()
        self.tally = _Tally(FAILURES - back)
        self.redactor = redactor_of(self.jobs.values(), self.context.connection.secrets)

    def run(self) -> RunResult:
        for index, scheduled in enumerate(self.schedule.plays):
            if not self._play(index, scheduled):
                break
        results = tuple(self._end_of(host) for host in self.schedule.hosts)
        to_write = [item for item in results if self.plans[item.host].write is not None]
        return RunResult(
            results,
            budget_spent=self.budget_spent,
            interrupted=self.context.stop.asked,
            all_locked=bool(to_write) and all(item.locked for item in to_write),
        )

    def _end_of(self, host: str) -> HostResult:
        if host in self.under_way:
            return HostResult(host, Status.FAILED, _UNKNOWN, "look at it with 'plan'")
        known = self.tally.results.get(host)
        return known or not_begun(self.plans[host])

    def _play(self, index: int, scheduled: ScheduledPlay) -> bool:
        """Do one play; tell whether the run goes on."""
        budget = budget_of(scheduled.play, len(self.schedule.hosts))
        self.context.emit(PlayStarted(index))
        for number, batch in enumerate(scheduled.batches):
            if number and scheduled.play.pause and not self._pause(scheduled.play.pause):
                return False
            if not self._batch(index, number, batch, budget):
                return False
        return True

    def _pause(self, seconds: float) -> bool:
        self.context.emit(PauseStarted(seconds))
        if self.context.stop.pause(seconds):
            return True
        self.context.emit(StopRequested(0))
        return False

    def _batch(self, play: int, number: int, hosts: Sequence[str], budget: Budget) -> bool:
        self.context.emit(BatchStarted(play, number, tuple(hosts)))
        tasks = [self._task(play, host) for host in hosts if self._takes_part(host)]
        for task in tasks:
            if not task.has_work:
                self._end(play, skipped(task.plan))
        working = [task for task in tasks if task.has_work]
        self._work_off(play, working, budget)
        if not budget.is_spent(len(self.tally.failed())):
            return not self.context.stop.asked
        failed = self.tally.failed()
        self.budget_spent = True
        self.context.emit(BudgetSpent(play, _arithmetic(failed, budget), failed))
        return False

    def _work_off(self, play: int, tasks: Sequence[HostTask], budget: Budget) -> None:
        def work(task: HostTask) -> HostResult:
            self.under_way.add(task.plan.host)
            result = run_host(task, self.context, self.redactor)
            self.under_way.discard(task.plan.host)
            self._end(play, result)
            return result

        def enough() -> bool:
            return budget.is_spent(len(self.tally.failed()))

        def tell() -> None:
            self.context.emit(StopRequested(len(self.under_way)))

        forks, stop = self.context.connection.forks, self.context.stop
        for _ in run_all(tasks, work, workers=forks, stop=stop, on_stop=tell, enough=enough):
            continue

    def _takes_part(self, host: str) -> bool:
        known = self.tally.results.get(host)
        return known is None or known.status in SUCCESSES

    def _task(self, play: int, host: str) -> HostTask:
        """Return a host's part in a play: what an earlier play did is not done again."""
        gates = self.schedule.plays[play].play.gates
        plan, known = self.plans[host], self.tally.results.get(host)
        if known is None:
            return HostTask(
                self.jobs[host], plan, gates, plan.restart_owed, going_back=self.going_back
            )
        pending = known.status is Status.RESTART_PENDING or (
            plan.restart_owed and known.status is Status.UNCHANGED
        )
        return HostTask(
            self.jobs[host],
            without_write(plan),
            gates,
            pending,
            plan.write,
            in_effect=plan.changes_sessions and known.status is Status.APPLIED,
        )

    def _end(self, play: int, result: HostResult) -> None:
        self.tally.add(result)
        self.context.emit(HostFinished(play, result))


def _arithmetic(failed: Sequence[str], budget: Budget) -> str:
    names = ", ".join(failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
    return (
        f"Stopped: {counted(len(failed), 'host')} failed ({names}), "
        f"and max_fail allows {budget.words}; nothing further is begun"
    )
