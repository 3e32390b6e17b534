"""Sessions on many hosts: batch after batch, as long as the failure budget lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.playbook.budget import budget_of, stop_words
from aegis_provision.rollout.events import (
    BudgetSpent,
    KeysAccepted,
    ReadingStarted,
    SessionReported,
    SessionsListed,
    StopRequested,
)
from aegis_provision.rollout.redact_remote_text import redacted, redactor_of
from aegis_provision.rollout.session_commands import list_on_host
from aegis_provision.rollout.session_results import (
    Outcome,
    SessionListing,
    SessionResult,
    SessionStatus,
)
from aegis_provision.rollout.thread_pool import CancelToken, run_all
from aegis_provision.transport.deadline import Deadline
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.playbook.plays import ScheduledPlay
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.session_commands import SessionAction

_NOT_BEGUN = "nothing was done there"
_ABANDONED = "interrupted while it was worked on: whether it was done is not known"


@dataclass(frozen=True, slots=True)
class SessionBatchResult:
    """How it ended: each host's result in order, and what cut it short."""

    results: tuple[SessionResult, ...]
    budget_spent: bool = False
    interrupted: bool = False


def run_sessions(
    scheduled: ScheduledPlay,
    jobs: Mapping[str, HostJob],
    action: SessionAction[SessionResult],
    connection: ConnectionSettings,
    emit: Emit,
    cancel: CancelToken,
) -> SessionBatchResult:
    """Do ``action`` on the hosts of ``scheduled``, and return how each of them ended.

    ``jobs`` holds every host. A batch is a barrier, as in a rollout: once more hosts have failed
    than the play allows, no host begins any more, and the same holds once ``cancel`` is cancelled.
    A host's failure is its result, never an exception.
    """
    emit(ReadingStarted(len(scheduled.hosts)))
    redactor = redactor_of(jobs.values(), connection.secrets)
    budget = budget_of(scheduled.play, len(scheduled.hosts))
    results: dict[str, SessionResult] = {}
    begun: set[str] = set()
    failed: list[str] = []
    spent = False

    def work_on(job: HostJob) -> None:
        begun.add(job.host.name)
        result = _outcome(job, action, connection, emit, redactor, _unreachable)
        results[job.host.name] = result
        if result.counts_as_failed:
            failed.append(job.host.name)
        emit(SessionReported(result))

    with connection.shared:
        for batch in scheduled.batches:
            for _ in run_all(
                [jobs[host] for host in batch],
                work_on,
                threads=connection.forks,
                cancel=cancel,
                on_cancel=lambda: emit(StopRequested(len(begun - results.keys()))),
                enough=lambda: budget.is_spent(len(failed)),
            ):
                continue
            spent = budget.is_spent(len(failed))
            if spent:
                emit(BudgetSpent(0, stop_words(failed, budget, "failed"), tuple(failed)))
            if spent or cancel.cancelled:
                break
    ended = tuple(
        results.get(host)
        or (
            SessionResult(host, SessionStatus.FAILED, message=_ABANDONED, hint=_look(host))
            if host in begun
            else SessionResult(host, SessionStatus.NOT_ATTEMPTED, message=_NOT_BEGUN)
        )
        for host in scheduled.hosts
    )
    return SessionBatchResult(ended, spent, cancel.cancelled)


def list_sessions(
    jobs: Sequence[HostJob], connection: ConnectionSettings, emit: Emit
) -> tuple[SessionListing, ...]:
    """Return the sessions of every host, in the order of ``jobs``, or why they are not known.

    A host's failure is its listing, never an exception.
    """
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)
    listings: dict[str, SessionListing] = {}

    def work_on(job: HostJob) -> SessionListing:
        return _outcome(job, list_on_host, connection, emit, redactor, _not_listed)

    with connection.shared:
        for job, listing in run_all(jobs, work_on, threads=connection.forks, cancel=CancelToken()):
            listings[job.host.name] = listing
            emit(SessionsListed(listing))
    return tuple(listings[job.host.name] for job in jobs)


def _outcome(
    job: HostJob,
    action: SessionAction[Outcome],
    connection: ConnectionSettings,
    emit: Emit,
    redactor: Redactor,
    unreachable: Callable[[str, Unreachable], Outcome],
) -> Outcome:
    """Connect to a host and do ``action`` there. No outcome holds a secret in its text."""
    deadline = Deadline.after(connection.deadline)
    session = None
    secrets: tuple[str, ...] = ()
    try:
        session = connection.open(job.host, deadline, emit)
        if session.accepted:
            emit(KeysAccepted(job.host.name, session.accepted))
        end = action(job, session, deadline)
        outcome, secrets = end.outcome, end.secrets
    except Unreachable as problem:
        outcome = unreachable(job.host.name, problem)
    finally:
        if session is not None:
            session.close()
    return redacted(outcome, redactor.with_secrets(secrets), job)


def _look(host: str) -> str:
    return f"see which sessions are there: 'aegis-provision session list {host}'"


def _unreachable(host: str, problem: Unreachable) -> SessionResult:
    return SessionResult(host, SessionStatus.UNREACHABLE, message=str(problem), hint=problem.hint)


def _not_listed(host: str, problem: Unreachable) -> SessionListing:
    return SessionListing(
        host, SessionStatus.UNREACHABLE, unlisted=None, message=str(problem), hint=problem.hint
    )
