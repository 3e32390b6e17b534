"""One host's work in a play: preflight, write, restart, verify, and a restore if that fails.

A restore brings the file from before back within the same run. To undo a past run is a rollback:
its plan comes from :mod:`~.planner`, and is carried out here like any other.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from aegis_provision.aegis.file_in_use import FoundFiles, NotChecked, describe, reading_now
from aegis_provision.errors import Locked, TransportError, Unreachable, WriteFailed, WriteRefused
from aegis_provision.planning.plan import restoring_write
from aegis_provision.planning.receipts import WriteInfo, with_receipt
from aegis_provision.playbook.plays import OnFailure
from aegis_provision.rollout.events import (
    FileChange,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    Step,
    StepStarted,
)
from aegis_provision.rollout.find_server import ask_server
from aegis_provision.rollout.health_gate import wait_for_health
from aegis_provision.rollout.host_connection import HostConnection
from aegis_provision.rollout.host_job import RecordError, skipped
from aegis_provision.rollout.idle_gate import wait_for_idle
from aegis_provision.rollout.provider_probe import probe_provider
from aegis_provision.rollout.redact_remote_text import redacted
from aegis_provision.rollout.restart_command import become_refusal, complaint, restart_command
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.session_gate import session_gate
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown
from aegis_provision.transport.atomic_write import atomic_write
from aegis_provision.transport.commands import NoCommands
from aegis_provision.transport.deadline import Deadline
from aegis_provision.values import dataclass
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.aegis.identify_server import AegisServer
    from aegis_provision.planning.plan import Write
    from aegis_provision.playbook.plays import Verify
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.aegis_client import AegisClient
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_job import HostTask, RunContext
    from aegis_provision.transport.lock import WriteLock

_PREFLIGHT_TIMEOUT = 10.0
_PROBE_TIMEOUT = 30.0
_SHORTEST_SESSION = 20.0
_SESSION_UNKNOWN = Unknown("whether sessions start was not checked either")
_WRITTEN = "written; "
_PENDING = f"{_WRITTEN}it takes effect when Aegis restarts there"
_IS_BACK = "the file from before the run is back"
_ROLLBACK_STATUS = {
    Status.APPLIED: Status.ROLLED_BACK,
    Status.RESTART_PENDING: Status.ROLLED_BACK,
    Status.FAILED: Status.ROLLBACK_FAILED,
}


def run_host(task: HostTask, context: RunContext, redactor: Redactor) -> HostResult:
    """Do a host's part in a play and return how it ended. A host's failure is never raised.

    Neither the result nor an event holds a secret that ``redactor`` or the host's own file knows.
    """
    if not task.has_work:
        return skipped(task.plan)
    redactor = redactor.with_secrets(task.plan.secrets)

    def emit(event: Event) -> None:
        context.emit(redacted(event, redactor, task.job))

    redacting = replace(context, emit=emit)
    deadline = Deadline.after(context.connection.deadline)
    connection = HostConnection(task.job, redacting, deadline)
    client = task.job.client(task.plan, connection.request)
    work = _HostWork(task, redacting, connection, client)
    try:
        result = work.run()
    finally:
        work.warnings.extend(work.connection.close())
    if task.rollback:
        result = _rollback_result(result)
    result = replace(result, warnings=tuple(dict.fromkeys(work.warnings)))
    return redacted(result, redactor, task.job)


def _rollback_result(result: HostResult) -> HostResult:
    """Return ``result`` in the words for a host on which a past run was undone."""
    message = result.message
    if result.status is Status.APPLIED:
        message = _IS_BACK
    elif result.status is Status.RESTART_PENDING:
        message = f"{_IS_BACK}; {message.removeprefix(_WRITTEN)}"
    status = _ROLLBACK_STATUS.get(result.status, result.status)
    return replace(result, status=status, message=message)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What failed after the write; ``restarted`` says that Aegis may have been restarted."""

    message: str
    hint: str = ""
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class _Deferred:
    """The restart is left to the operator: why, and what to do next."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Unverified:
    """What the play wants verified could not be asked, for ``message``."""

    message: str


_Outcome: TypeAlias = "_Deferred | _Failure | _Unverified | None"


@dataclass(slots=True)
class _HostWork:
    """What is done on one host. ``warnings`` collects what the steps warn of.

    ``server`` is the Aegis that runs there, once it was asked for and is known.

    Every step raises :class:`TransportError` if the host can't be worked on.
    """

    task: HostTask
    context: RunContext
    connection: HostConnection
    client: AegisClient
    warnings: list[str] = field(default_factory=list)
    server: AegisServer | None = None

    @property
    def host(self) -> str:
        return self.task.plan.host

    def run(self) -> HostResult:
        write, earlier = self.task.plan.write, self.task.written
        try:
            self._start(Step.CONNECT)
            self.connection.open(tested=write is None or self.task.gates.probe_first)
            blocked = self._preflight()
            if blocked is not None and earlier is not None:
                return self._end(earlier, _Failure(f"preflight: {blocked.message}", blocked.hint))
            if blocked is not None:
                undone = "written" if write is not None else "restarted"
                return self._result(
                    Status.REFUSED, f"not {undone}: {blocked.message}", blocked.hint
                )
            if write is not None:
                self._start(Step.WRITE)
                lock = self.connection.lock(write)
                change = FileChange.of(write, self.context.digest)
                self.context.emit(self.context.before_write(self.host, change))
                follows = self.task.restarts or self.task.gates.verify is not None
                self._write(lock, write, is_last=not follows)
                self.context.emit(HostWritten(self.host))
        except RecordError as error:
            return self._result(Status.REFUSED, f"not written: {error}", error.hint)
        except WriteRefused as error:
            refused = self._result(Status.REFUSED, str(error), error.hint)
            return replace(refused, locked=isinstance(error, Locked))
        except WriteFailed as error:
            return self._result(Status.FAILED, str(error), error.hint)
        except Unreachable as error:
            if earlier is not None:
                return self._end(earlier, _Failure(str(error), error.hint))
            return self._result(Status.UNREACHABLE, str(error), error.hint)
        return self._end(write or earlier, self._activate())

    def _preflight(self) -> Blocked | None:
        if not self.task.gates.probe_first:
            return None
        self._start(Step.PREFLIGHT)
        timeout = min(_PREFLIGHT_TIMEOUT, self.connection.deadline.remaining())
        verdict = self._probe(Step.PREFLIGHT, timeout, timeout)
        if isinstance(verdict, Unknown):
            self.warnings.append(verdict.message)
        return verdict if isinstance(verdict, Blocked) else None

    def _activate(self) -> _Outcome:
        """Restart and verify, as the play says. Returns ``None`` if all went well."""
        restarted: float | None = None
        try:
            if self.task.restarts:
                blocked = self._wait_for_idle()
                if blocked is not None:
                    return _Deferred(blocked.message, blocked.hint)
                restarted = time.monotonic()
                failure = self._restart()
                if failure is not None:
                    return failure
            verdicts = self._verify(restarted)
        except TransportError as error:
            return _Failure(str(error), error.hint, restarted=restarted is not None)
        for verdict in verdicts:
            if isinstance(verdict, Blocked):
                message = f"verify: {verdict.message}"
                return _Failure(message, verdict.hint, restarted=restarted is not None)
        unknown = [verdict.message for verdict in verdicts if isinstance(verdict, Unknown)]
        if not unknown:
            return None
        if self.task.gates.go_on:
            self.warnings.extend(unknown)
            return None
        return _Unverified("; ".join(unknown))

    def _verify(self, restarted: float | None) -> list[Ok | Unknown | Blocked]:
        """Ask what the play wants verified, up to the first question that is answered with no."""
        verify = self.task.gates.verify
        verdicts: list[Ok | Unknown | Blocked] = []
        if verify is None:
            return verdicts
        self._start(Step.VERIFY)
        began = time.monotonic()
        if verify.waits_for_health:
            verdicts.append(self._check_health(verify, restarted))
            if not isinstance(verdicts[-1], Blocked):
                verdicts.append(self._check_reading())
        healthy = all(isinstance(verdict, Ok) for verdict in verdicts)
        if verify.probe and not any(isinstance(verdict, Blocked) for verdict in verdicts):
            began_probe = time.monotonic()
            timeout = min(_PROBE_TIMEOUT, verify.timeout)
            left = verify.timeout - (began_probe - began)
            verdicts.append(self._probe(Step.VERIFY, timeout, left))
            self.connection.extend_deadline(began_probe)
        if verify.session and not any(isinstance(verdict, Blocked) for verdict in verdicts):
            left = verify.timeout - (time.monotonic() - began)
            left = max(left, min(verify.timeout, _SHORTEST_SESSION))
            verdicts.append(self._check_session(verify, left) if healthy else _SESSION_UNKNOWN)
        return verdicts

    def _end(self, write: Write | None, outcome: _Outcome) -> HostResult:
        """Return how the host ended, after a restore if a failure asks for one.

        ``write`` is what this run wrote there, in this play or an earlier one.
        """
        if outcome is None:
            if self.task.leaves_restart_pending:
                return self._result(Status.RESTART_PENDING, _PENDING)
            return self._result(Status.APPLIED)
        if isinstance(outcome, _Deferred):
            message = f"not restarted: {outcome.message}"
            deferred = self._result(Status.RESTART_PENDING, message, outcome.hint)
            return replace(deferred, passed=self.task.gates.go_on)
        if isinstance(outcome, _Unverified):
            return self._unverified(outcome)
        if write is None:
            return self._result(Status.FAILED, outcome.message, outcome.hint)
        if self.task.gates.on_failure is OnFailure.KEEP:
            message = f"{outcome.message}; {self._in_place}"
            return self._result(Status.FAILED, message, outcome.hint)
        return self._restore(write, outcome)

    def _unverified(self, outcome: _Unverified) -> HostResult:
        """Return how a host ended on which what the play wants verified could not be asked."""
        hint = "look at it yourself, or let such hosts pass with 'unverified: go_on'"
        restarted = self.task.restarts
        status = Status.UNVERIFIED if restarted else Status.RESTART_PENDING
        done = "restarted" if restarted else "written"
        result = self._result(status, f"{done}, and not verified: {outcome.message}", hint)
        return replace(result, passed=False)

    def _restore(self, write: Write, failure: _Failure) -> HostResult:
        """Undo ``write``, for ``failure``, and return how the host ended.

        Aegis is restarted on the old file if it may run on the new one. The work gets a deadline
        of its own.
        """
        # A record needs to know no more of the write that follows than that this step began.
        self._start(Step.ROLL_BACK, failure.message)
        self.connection.deadline = Deadline.after(self.context.connection.deadline)
        old = restoring_write(write)
        try:
            self._write(self.connection.relock(old), old)
        except WriteFailed as error:  # which says itself what is there now
            return self._restore_failed(failure, str(error), error.hint)
        except TransportError as error:
            return self._restore_failed(failure, f"{error}; {self._in_place}", error.hint)
        self.context.emit(HostRolledBack(self.host))
        problem = None
        if failure.restarted or self.task.in_effect:
            problem = self._restart_restored(just_restarted=failure.restarted)
        outcome = "is back" if old.content is not None else "is gone again, as before"
        if problem is not None:
            message = f"the file {outcome}, but {problem.message}"
            return self._restore_failed(failure, message, problem.hint)
        message = f"{failure.message}; the file {outcome}"
        return self._result(Status.ROLLED_BACK, message, failure.hint)

    def _restart_restored(self, *, just_restarted: bool) -> _Failure | None:
        """Restart on the old file; a restart just now has ended all sessions already."""
        verify = self.task.gates.verify
        try:
            blocked = None if just_restarted else self._wait_for_idle()
            if blocked is not None:
                return _Failure(f"not restarted: {blocked.message}", blocked.hint)
            restarted = time.monotonic()
            failure = self._restart()
            if failure is not None or verify is None or not verify.waits_for_health:
                return failure
            self._start(Step.VERIFY)
            verdict = self._check_health(verify, restarted)
        except TransportError as error:
            return _Failure(str(error), error.hint)
        if isinstance(verdict, Unknown):
            self.warnings.append(verdict.message)
        return _Failure(verdict.message, verdict.hint) if isinstance(verdict, Blocked) else None

    def _restore_failed(self, failure: _Failure, problem: str, hint: str) -> HostResult:
        return self._result(
            Status.ROLLBACK_FAILED,
            f"{failure.message}; going back failed: {problem}",
            hint or "look at the host at once",
        )

    def _write(self, lock: WriteLock, write: Write, *, is_last: bool = False) -> None:
        """Write under ``lock``, with a receipt that names this run."""
        info = WriteInfo(self.context.run, datetime.now(UTC), __version__)
        write = with_receipt(write, info, secrets.token_bytes(16))
        done = atomic_write(lock, write, self.connection.deadline, is_last=is_last)
        self.warnings.extend(done.warnings)

    def _wait_for_idle(self) -> Blocked | None:
        """Wait until no session runs; the time does not count against the host's deadline."""
        gates, began = self.task.gates, time.monotonic()
        until = datetime.now(UTC) + timedelta(seconds=gates.sessions_wait)
        self._start(Step.WAIT_FOR_SESSIONS)
        verdict = wait_for_idle(
            self.client,
            gates,
            pause=self.context.cancel.pause,
            on_running=lambda running: self._start(
                Step.WAIT_FOR_SESSIONS, f"{running}; waits until {until:%H:%M:%S} UTC at the latest"
            ),
        )
        self.connection.extend_deadline(began)
        if isinstance(verdict, Ok):
            self.warnings.extend(verdict.warnings)
            return None
        return verdict

    def _restart(self) -> _Failure | None:
        """Restart Aegis by the host's unit or command."""
        self._start(Step.RESTART)
        host = self.task.job.host
        session = self.connection.open()
        try:
            command = restart_command(host.service, host.target)
            end = session.run(command, self.connection.deadline)
        except NoCommands as error:
            return _Failure(f"restart: {error.reason}", error.hint)
        except Unreachable as error:
            raise Unreachable("restart", error.reason, error.hint) from None
        self.client.restarted()
        if end.status == 0:
            self.context.emit(HostRestarted(self.host))
            return None
        if end.status is None:
            return _Failure(
                "restart: the command did not end in time", "raise --deadline", restarted=True
            )
        refused = become_refusal(host.service, host.target, session.login_name, end.output)
        if refused is not None:
            return _Failure(
                f"restart: {refused.message}", refused.hint, restarted=not refused.nothing_ran
            )
        how = "was killed" if end.status < 0 else f"ended with status {end.status}"
        return _Failure(
            f"restart: the command {how} ({complaint(end.output)})",
            "run it by hand on the host",
            restarted=True,
        )

    def _check_health(self, verify: Verify, restarted: float | None) -> Ok | Unknown | Blocked:
        """Wait until Aegis is healthy. ``restarted`` is when its restart began, if it did."""
        began = time.monotonic()
        verdict = wait_for_health(self.client, verify.timeout, restarted=restarted)
        self.connection.extend_deadline(began)
        if isinstance(verdict, Ok):
            self.warnings.extend(verdict.warnings)
        return verdict

    def _check_reading(self) -> Ok | Blocked:
        """Ask whether the Aegis that runs now reads the file that was written."""
        host, path = self.task.job.host, self.task.plan.path
        if self.task.rollback or not host.tells_server:
            return Ok()
        session, deadline = self.connection.open(), self.connection.deadline
        found = ask_server(host, session, deadline, path, self.task.file)
        self.server = found.server if isinstance(found, FoundFiles) else None
        reading = reading_now(found, path)
        not_read = describe(reading, found)
        if not_read is not None:
            return Blocked(*not_read)
        if isinstance(reading, NotChecked) and reading.warning not in self.task.plan.warnings:
            self.warnings.append(reading.warning)
        return Ok()

    def _check_session(self, verify: Verify, timeout: float) -> Ok | Unknown | Blocked:
        """Start a session, and end it again."""
        self._start(Step.VERIFY, "starts a session")
        gate = session_gate(self.task, self.client, self.connection, self.server, verify.prompt)
        try:
            verdict = gate.run(timeout)
        finally:
            self.warnings.extend(gate.warnings)
        if isinstance(verdict, Ok):
            self._start(Step.VERIFY, verdict.checked)
        return verdict

    def _probe(self, step: Step, timeout: float, longest: float) -> Ok | Unknown | Blocked:
        """Ask the provider whether it would serve this host.

        A wait that the provider asks for may end after ``longest`` seconds, not ``timeout``.
        """
        job = self.task.job
        chosen_at = str(job.host.provider.span) if job.host.provider is not None else ""
        verdict = probe_provider(
            job.session,
            self.connection.request,
            timeout,
            self.connection.pause,
            longest=longest,
            chosen_at=chosen_at,
        )
        if isinstance(verdict, Ok):
            self.warnings.extend(verdict.warnings)
            if verdict.checked:
                self._start(step, verdict.checked)
        return verdict

    @property
    def _in_place(self) -> str:
        which = "file from before" if self.task.rollback else "new file"
        return f"the {which} is in place"

    def _start(self, step: Step, detail: str = "") -> None:
        self.context.emit(StepStarted(self.host, step, detail))

    def _result(self, status: Status, message: str = "", hint: str = "") -> HostResult:
        return HostResult(self.host, status, message, hint)
