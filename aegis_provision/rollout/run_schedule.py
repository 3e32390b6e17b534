"""Runs a schedule: play after play, batch after batch, as long as the failure budget lasts."""

from __future__ import annotations

import threading
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import changes_sessions, without_write
from aegis_provision.playbook.budget import budget_of, stop_words
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostFinished,
    PauseStarted,
    PlayStarted,
    StopRequested,
)
from aegis_provision.rollout.host_job import HostTask, not_begun, skipped
from aegis_provision.rollout.host_work import RunHost
from aegis_provision.rollout.results import (
    FAILURES,
    SUCCESSES,
    HostResult,
    RunResult,
    Status,
    later_result,
)
from aegis_provision.rollout.thread_pool import run_all
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.budget import Budget
    from aegis_provision.playbook.plays import Schedule, ScheduledPlay
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_work import Calls, Executor, HostReader, RunTerms

_UNKNOWN = "interrupted while it was worked on: it has either the old file or the new one"


def run_schedule(
    schedule: Schedule,
    jobs: Mapping[str, HostJob],
    plans: Mapping[str, HostPlan],
    executor: Executor,
    calls: Calls,
    terms: RunTerms,
    *,
    reader_of: Callable[[str], HostReader[HostPlan]],
    rollback: bool = False,
) -> RunResult:
    """Run ``schedule`` and return how each of its hosts ended.

    ``jobs`` and ``plans`` hold every host of the schedule; ``reader_of`` returns what made a host's
    plan. The work is done by ``executor``; what happens is told to ``calls``.

    A batch is a barrier; hosts that the
    plan knows to be in error end when their batch begins. Once more hosts of the whole run have
    failed than the current play allows, no host begins any more, in later plays neither; the same
    holds once ``calls.cancel`` is cancelled. A host that did not end well has no part in later
    plays. ``rollback`` says that the plans undo a past run: hosts then end as ``rolled_back`` or
    ``rollback_failed``.
    """
    run = _Run(schedule, jobs, plans, executor, calls, terms, reader_of, rollback)
    for index, scheduled in enumerate(schedule.plays):
        if not run.play(index, scheduled):
            break
    results = tuple(run.result_of(host) for host in schedule.hosts)
    to_write = [result for result in results if plans[result.host].writes]
    return RunResult(
        results,
        budget_spent=run.budget_spent,
        interrupted=calls.cancel.cancelled,
        all_locked=bool(to_write) and all(result.locked for result in to_write),
    )


@dataclass(slots=True)
class _Run:
    """A run while it goes on. Hosts end in the threads in which they are worked on."""

    schedule: Schedule
    jobs: Mapping[str, HostJob]
    plans: Mapping[str, HostPlan]
    executor: Executor
    calls: Calls
    terms: RunTerms
    reader_of: Callable[[str], HostReader[HostPlan]]
    rollback: bool
    results: dict[str, HostResult] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    budget_spent: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, index: int, scheduled: ScheduledPlay) -> bool:
        """Run one play; tell whether the run goes on."""
        budget = budget_of(scheduled.play, len(self.schedule.hosts))
        self.calls.emit(PlayStarted(index))
        for number, batch in enumerate(scheduled.batches):
            if number and scheduled.play.pause and not self._pause(scheduled.play.pause):
                return False
            if not self._batch(index, number, batch, budget):
                return False
        return True

    def result_of(self, host: str) -> HostResult:
        if host in self.under_way:
            return HostResult(host, Status.FAILED, _UNKNOWN, "look at it with 'plan'")
        return self.results.get(host) or not_begun(self.plans[host])

    def _pause(self, seconds: float) -> bool:
        self.calls.emit(PauseStarted(seconds))
        if self.calls.cancel.pause(seconds):
            return True
        self.calls.emit(StopRequested(0))
        return False

    def _batch(self, play: int, number: int, hosts: Sequence[str], budget: Budget) -> bool:
        """Run one batch; tell whether the run goes on."""
        calls = self.calls
        calls.emit(BatchStarted(play, number, tuple(hosts)))
        tasks = [
            self._task(play, host)
            for host in hosts
            if host not in self.results or self.results[host].status in SUCCESSES
        ]
        for task in tasks:
            if not task.has_work:
                self._finish(play, skipped(task.plan))

        def work_on(task: HostTask) -> None:
            host = task.plan.host
            self.under_way.add(host)
            work = RunHost(task, self.reader_of(host), self.terms)
            result = self.executor.run(work, calls)
            self.under_way.discard(host)
            self._finish(play, result)

        for _ in run_all(
            [task for task in tasks if task.has_work],
            work_on,
            threads=self.executor.forks,
            cancel=calls.cancel,
            on_cancel=self._stop,
            enough=lambda: budget.is_spent(len(self.failed)),
        ):
            continue
        failed = tuple(self.failed)
        if not budget.is_spent(len(failed)):
            return not calls.cancel.cancelled
        self.budget_spent = True
        calls.emit(BudgetSpent(play, stop_words(failed, budget, self._verb(failed)), failed))
        return False

    def _stop(self) -> None:
        self.executor.cancel()
        self.calls.emit(StopRequested(len(self.under_way)))

    def _task(self, play: int, host: str) -> HostTask:
        """Return a host's part in a play: what an earlier play did is not done again."""
        gates = self.schedule.plays[play].play.gates
        plan, earlier = self.plans[host], self.results.get(host)
        if earlier is None:
            return HostTask(
                self.jobs[host], plan, gates, plan.restart_pending, rollback=self.rollback
            )
        pending = earlier.status is Status.RESTART_PENDING or (
            plan.restart_pending and earlier.status is Status.UNCHANGED
        )
        return HostTask(
            self.jobs[host],
            without_write(plan),
            gates,
            pending,
            wrote=plan.writes,
            in_effect=changes_sessions(plan) and earlier.status is Status.APPLIED,
        )

    def _counts(self, result: HostResult) -> bool:
        """Tell whether a host counts against the budget.

        A rollback that ended as it should is no failure, and a host whose file has changed since is
        no reason to leave the others as they are.
        """
        expected = {Status.ROLLED_BACK, Status.REFUSED} if self.rollback else set()
        return result.counts_as_failed and result.status not in expected

    def _verb(self, failed: Sequence[str]) -> str:
        if all(self.results[host].status in FAILURES - {Status.UNVERIFIED} for host in failed):
            return "failed"
        return "failed or did not pass" if len(failed) > 1 else "did not pass"

    def _finish(self, play: int, result: HostResult) -> None:
        with self._lock:
            found = later_result(self.results.get(result.host), result)
            self.results[result.host] = found
            if self._counts(found):
                self.failed[result.host] = None
            else:
                self.failed.pop(result.host, None)
        self.calls.emit(HostFinished(play, result))
