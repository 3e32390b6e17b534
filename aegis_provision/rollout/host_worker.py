"""Does hosts' work in the process that it lives in: the operator's own, or a worker's.

It keeps what must not leave that process: connections, and plans with what is to be written.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Self, cast

from aegis_provision.errors import Passing, ShortageError, Unreachable
from aegis_provision.planning.digests import DigestKey
from aegis_provision.planning.plan import Action, HostPlan, without_contents, without_write
from aegis_provision.playbook.plays import OnFailure
from aegis_provision.providers.redaction import Redactor
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import KeysAccepted
from aegis_provision.rollout.host_job import RunContext, skipped
from aegis_provision.rollout.host_work import HostRead, ReadHost
from aegis_provision.rollout.redact_remote_text import redacted, run_secrets
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.transport.deadline import Deadline
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_work import Calls, HasSecrets, Reading, RunHost
    from aegis_provision.transport.host_session import HostSession

_MOVED = "the file changed since the plan saw it"
_AGAIN = "plan again and look at what changed"
_ROOM = "lower --forks, or choose fewer hosts with --limit"
_SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A host's whole plan, and its job in plays."""

    job: HostJob
    plan: HostPlan


class HostWorker:
    """An :class:`~.host_work.Executor` in this process; safe to use from several threads.

    ``known`` are all secrets that the run knows: no text that leaves has one in it. Where none are
    told here, no text about a host has its own secrets in it. ``digest`` makes the digests of
    masked plans. ``pool`` is closed on exit.
    """

    def __init__(
        self,
        connection: ConnectionSettings,
        pool: ConnectionPool,
        known: Iterable[Secret],
        digest: DigestKey,
    ) -> None:
        self._connection = connection
        self._pool = pool
        known = tuple(known)
        self._redactor = Redactor.of(known)
        self._knows_all = bool(known)
        self._digest = digest
        self._kept: dict[str, _Kept] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._connection.shared)
        self._stack.enter_context(self._pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def forks(self) -> int:
        """Return how many hosts the operator wants to be worked on at once."""
        return self._connection.forks

    def cancel(self) -> None:
        """Do nothing: the operator's own token is what hosts look at here."""

    def read(self, work: ReadHost[Reading], calls: Calls) -> HostRead[Reading]:
        """Connect to a host and read it; see :class:`~.host_work.Executor`.

        A plan is kept as a whole, and so is the connection to a host with something to be done,
        if there is room. Raises :class:`ShortageError` where this machine had none for the host.
        """
        job, connection = work.job, self._connection
        deadline = Deadline.after(connection.deadline)
        session, kept = None, False
        try:
            session = connection.open(job.host, deadline, calls.emit)
            reading = work.reader.read(job, session, deadline)
            kept = self._keep_session(job, reading, session)
        except Unreachable as problem:
            if problem.passing is Passing.WITH_ROOM_HERE:
                raise ShortageError(problem.reason) from None
            reading = work.reader.unreachable(job, problem)
        finally:
            if session is not None and not kept:
                session.close()
        accepted = session.accepted if session is not None else ()
        own = () if self._knows_all else job.secrets()
        redactor = self._redactor.with_secrets((*own, *reading.secrets))
        reading = redacted(reading, redactor, job)
        if isinstance(reading, HostPlan):
            self._kept[job.host.name] = _Kept(work.reader.job_after(job, reading), reading)
            masked = without_contents(reading, self._digest.of_plan(reading))
            return HostRead(cast("Reading", masked), accepted)
        return HostRead(_without_secrets(reading), accepted)

    def run(self, work: RunHost, calls: Calls) -> HostResult:
        """Do a host's part in a play; see :class:`~.host_work.Executor`."""
        # A plan never comes here, and starts sooner without all that a run needs.
        from aegis_provision.rollout.host_run import run_host

        task, terms = work.task, work.terms
        if not task.has_work:
            return skipped(task.plan)
        kept = self._kept.get(task.plan.host) or self._plan_again(work, calls)
        if isinstance(kept, HostResult):
            return kept
        plan = without_write(kept.plan) if task.wrote else kept.plan
        written = kept.plan.write if task.wrote else None
        context = RunContext(
            self._connection,
            self._pool,
            calls.before_write,
            calls.emit,
            calls.cancel,
            terms.run,
            terms.owner,
            terms.digest,
            terms.renew_every,
        )
        redactor = self._redactor.with_secrets((*kept.job.secrets(), *kept.plan.secrets))
        return run_host(replace(task, job=kept.job, plan=plan, written=written), context, redactor)

    def _keep_session(self, job: HostJob, reading: HasSecrets, session: HostSession) -> bool:
        if not isinstance(reading, HostPlan):
            return False
        needed = reading.writes or reading.restart_pending
        return needed and self._pool.offer(job.host.name, session)

    def _plan_again(self, work: RunHost, calls: Calls) -> _Kept | HostResult:
        """Return the whole plan of a host that no one here has read, or why it can't be had.

        It must do what the masked plan was agreed to for, and where an earlier play of this run has
        done that, nothing more. A host whose restart is to be undone on failure does not go on: the
        file from before is gone with the worker.
        """
        task, host = work.task, work.task.plan.host
        if task.wrote and task.gates.on_failure is not OnFailure.KEEP:
            return _not_gone_on(host, "and with it what a restore would need")
        try:
            found = self.read(ReadHost(task.job, work.reader), calls)
        except ShortageError as short:
            if task.wrote:
                return _not_gone_on(host, f"and {short}")
            return HostResult(host, Status.REFUSED, f"not written: {short}", _ROOM)
        if found.accepted:
            calls.emit(KeysAccepted(host, found.accepted))
        kept = self._kept[host]
        if kept.plan.action is Action.UNREACHABLE:
            return HostResult(host, Status.UNREACHABLE, kept.plan.message, kept.plan.hint)
        if task.wrote:
            as_agreed = kept.plan.action is Action.UNCHANGED
        else:
            as_agreed = self._digest.of_plan(kept.plan) == task.plan.digests
        if as_agreed:
            return kept
        del self._kept[host]
        if task.wrote:
            return _not_gone_on(host, "and the file changed since")
        return HostResult(host, Status.REFUSED, f"not written: {_MOVED}", _AGAIN)


def _not_gone_on(host: str, why: str) -> HostResult:
    """Return how a host ends whose file an earlier play wrote, on a worker that is gone."""
    return HostResult(
        host,
        Status.FAILED,
        f"the worker that wrote its file is gone, {why}; nothing further was done there",
        "look at it with 'plan', then apply again",
    )


def host_worker(
    jobs: Iterable[HostJob],
    connection: ConnectionSettings,
    pool: ConnectionPool | None = None,
    digest: DigestKey | None = None,
) -> HostWorker:
    """Return the worker of this process for a run over ``jobs``.

    Without a ``pool`` no connection is kept; without a ``digest`` masked plans are alike only
    within this worker.
    """
    return HostWorker(
        connection,
        pool or ConnectionPool(0),
        run_secrets(jobs, connection.secrets),
        digest or DigestKey.of(secrets.token_bytes(16)),
    )


def _without_secrets(reading: Reading) -> Reading:
    """Return what was read without the secrets of the host's file, which have done their part."""
    value: Any = reading
    if any(field.name == _SECRETS for field in fields(value)):
        value = replace(value, secrets=())
    return cast("Reading", value)
