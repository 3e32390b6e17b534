"""One host's way through a play: probe, write, restart, verify, and back where it must."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, TransportError, Unreachable, WriteFailed, WriteRefused
from aegis_provision.humanize import counted
from aegis_provision.planning.receipts import WriteInfo, with_receipt
from aegis_provision.planning.restore import restoring_write
from aegis_provision.playbook.plays import OnFailure
from aegis_provision.rollout.events import (
    HostRestarted,
    HostRolledBack,
    HostWritten,
    Step,
    StepStarted,
)
from aegis_provision.rollout.host_connection import HostConnection
from aegis_provision.rollout.remote_text import redacted
from aegis_provision.rollout.restart_command import complaint, restart_command, sudo_refusal
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.task import skipped
from aegis_provision.rollout.write_log import WriteLogError
from aegis_provision.transport.protocol import Deadline
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.playbook.plays import Verify
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.gates import AegisApi, Blocked, Ok
    from aegis_provision.rollout.task import HostTask, RunContext

_PREFLIGHT = 10.0
_PROBE = 30.0
_NEW_FILE = "the new file is in place"
_OLD_FILE = "the file from before is in place"
_IS_BACK = "the file from before the run is back"
_WRITTEN = "written; "
_PENDING = f"{_WRITTEN}it takes effect when Aegis restarts there"


_OF_GOING_BACK = {
    Status.APPLIED: Status.ROLLED_BACK,
    Status.RESTART_PENDING: Status.ROLLED_BACK,
    Status.FAILED: Status.ROLLBACK_FAILED,
}


def _of_going_back(result: HostResult) -> HostResult:
    """Return how a host ended on which a past run was undone."""
    status = _OF_GOING_BACK.get(result.status, result.status)
    message = result.message
    if result.status is Status.APPLIED:
        message = _IS_BACK
    elif result.status is Status.RESTART_PENDING:
        message = f"{_IS_BACK}; {message.removeprefix(_WRITTEN)}"
    return replace(result, status=status, message=message)


def run_host(task: HostTask, context: RunContext, redactor: Redactor) -> HostResult:
    """Do a host's part in a play and return how it ended. Never raises for what may happen.

    Neither the result nor an event holds a secret that ``redactor`` or the host's own file knows.
    """
    if not task.has_work:
        return skipped(task.plan)
    redactor = redactor.along(task.plan.secrets)

    def emit(event: Event) -> None:
        context.emit(redacted(event, redactor, task.work))

    result = _HostRun(task, replace(context, emit=emit)).run()
    return redacted(result, redactor, task.work)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What was tried after the write did not come off."""

    message: str
    hint: str = ""
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class _Deferred:
    """The restart is left to somebody else: why, and what to do next."""

    message: str
    hint: str


@dataclass(slots=True)
class _HostRun:
    task: HostTask
    context: RunContext
    warnings: list[str] = field(default_factory=list)
    _connection: HostConnection = field(init=False)

    def __post_init__(self) -> None:
        deadline = Deadline.after(self.context.connection.deadline)
        self._connection = HostConnection(self.task.work, self.context, deadline)

    @property
    def _host(self) -> str:
        return self.task.plan.host

    @property
    def _in_place(self) -> str:
        """Words for which file is there after the write."""
        return _OLD_FILE if self.task.going_back else _NEW_FILE

    def run(self) -> HostResult:
        try:
            result = self._work()
        finally:
            self.warnings.extend(self._connection.close())
        if self.task.going_back:
            result = _of_going_back(result)
        return replace(result, warnings=tuple(dict.fromkeys(self.warnings)))

    def _work(self) -> HostResult:
        write, written = self.task.plan.write, self.task.written
        try:
            self._step(Step.CONNECT)
            if write is None or self.task.gates.probe_first:
                self._connection.open_to_ask()
            else:
                self._connection.open()
            held = self._preflight()
            if held is not None and written is not None:
                return self._after(written, _Failure(f"preflight: {held.message}", held.hint))
            if held is not None:
                left = "written" if write is not None else "restarted"
                return self._result(Status.REFUSED, f"not {left}: {held.message}", held.hint)
            if write is not None:
                self._write(write)
        except WriteLogError as error:
            return self._result(Status.REFUSED, f"not written: {error}", error.hint)
        except WriteRefused as error:
            refused = self._result(Status.REFUSED, str(error), error.hint)
            return replace(refused, locked=isinstance(error, Locked))
        except WriteFailed as error:
            return self._result(Status.FAILED, str(error), error.hint)
        except Unreachable as error:
            if written is not None:
                return self._after(written, _Failure(str(error), error.hint))
            return self._result(Status.UNREACHABLE, str(error), error.hint)
        return self._after(write or written, self._activate())

    def _preflight(self) -> Blocked | None:
        if not self.task.gates.probe_first:
            return None
        self._step(Step.PREFLIGHT)
        seconds = min(_PREFLIGHT, self._connection.deadline.remaining())
        return self._probe(Step.PREFLIGHT, seconds)

    def _after(self, write: Write | None, end: _Deferred | _Failure | None) -> HostResult:
        if end is None:
            if self.task.leaves_owed:
                return self._result(Status.RESTART_PENDING, _PENDING)
            return self._result(Status.APPLIED)
        if isinstance(end, _Deferred):
            return self._result(Status.RESTART_PENDING, f"not restarted: {end.message}", end.hint)
        if write is None:
            return self._result(Status.FAILED, end.message, end.hint)
        if self.task.gates.on_failure is OnFailure.KEEP:
            return self._result(Status.FAILED, f"{end.message}; {self._in_place}", end.hint)
        return self._roll_back(write, end)

    # Writing

    def _write(self, write: Write) -> None:
        self._step(Step.WRITE)
        hold = self._connection.hold(write)
        self.context.journal.before_write(self._host, write)
        written = hold.write(self._with_receipt(write), self._connection.deadline)
        self.warnings.extend(written.warnings)
        self.context.emit(HostWritten(self._host))

    def _with_receipt(self, write: Write) -> Write:
        stamp = WriteInfo(self.context.run, datetime.now(UTC), __version__)
        return with_receipt(write, stamp, secrets.token_bytes(16))

    # Taking effect

    def _activate(self) -> _Deferred | _Failure | None:
        """Restart and verify. Returns ``None`` where all went well."""
        restarted: float | None = None
        try:
            if self.task.restarts:
                held = self._await_no_sessions()
                if held is not None:
                    return _Deferred(held.message, held.hint)
                self._step(Step.RESTART)
                restarted = time.monotonic()
                broken = self._restart()
                if broken is not None:
                    return broken
            return self._verify(restarted)
        except TransportError as error:
            return _Failure(str(error), error.hint, restarted=restarted is not None)

    def _await_no_sessions(self) -> Blocked | None:
        from aegis_provision.rollout.gates import wait_for_idle

        gates, began = self.task.gates, time.monotonic()
        self._step(Step.WAIT_FOR_SESSIONS)

        def tell(running: int) -> None:
            self._step(Step.WAIT_FOR_SESSIONS, f"{counted(running, 'session')} running")

        verdict = wait_for_idle(
            self._api(),
            self._connection.ask,
            gates.sessions,
            gates.sessions_wait,
            pause=self.context.stop.pause,
            tell=tell,
        )
        self._connection.extend_deadline(began)
        return self._passed(verdict)

    def _restart(self) -> _Failure | None:
        work = self.task.work
        command = restart_command(work.host.service, work.host.target)
        session = self._connection.open()
        try:
            end = session.run(command, self._connection.deadline)
        except Unreachable as error:
            raise Unreachable("restart", error.reason, error.hint) from None
        if end.status == 0:
            self.context.emit(HostRestarted(self._host))
            return None
        if end.status is None:
            return _Failure(
                "restart: the command did not end in time", "raise --deadline", restarted=True
            )
        refused = sudo_refusal(work.host.service, work.host.target, session.login_name, end.output)
        if refused is not None:
            return _Failure(
                f"restart: {refused.message}", refused.hint, restarted=not refused.nothing_ran
            )
        said = complaint(end.output)
        how = "was killed" if end.status < 0 else f"ended with status {end.status}"
        return _Failure(
            f"restart: the command {how} ({said})",
            "run it by hand on the host",
            restarted=True,
        )

    def _verify(self, restarted: float | None) -> _Failure | None:
        """Ask what the play wants asked."""
        verify = self.task.gates.verify
        if verify is None:
            return None
        self._step(Step.VERIFY)
        held = self._health(verify, restarted) if verify.health else None
        if held is None and verify.probe:
            began = time.monotonic()
            held = self._probe(Step.VERIFY, min(_PROBE, verify.timeout))
            self._connection.extend_deadline(began)
        if held is None:
            return None
        return _Failure(f"verify: {held.message}", held.hint, restarted=restarted is not None)

    def _probe(self, step: Step, timeout: float) -> Blocked | None:
        from aegis_provision.rollout.gates import Ok, probe_provider

        verdict = probe_provider(
            self.task.work.session, self._connection.ask, timeout, pause=self._pause
        )
        if isinstance(verdict, Ok) and verdict.checked:
            self._step(step, verdict.checked)
        return self._passed(verdict)

    def _health(self, verify: Verify, restarted: float | None) -> Blocked | None:
        from aegis_provision.rollout.gates import wait_for_health

        began = time.monotonic()
        api = self._api()
        verdict = wait_for_health(
            api, self._connection.ask, verify.timeout, restarted=restarted, pause=self._pause
        )
        self._connection.extend_deadline(began)
        return self._passed(verdict)

    # Going back

    def _roll_back(self, write: Write, why: _Failure) -> HostResult:
        # The step itself is what a record needs to know of the write that follows.
        self._step(Step.ROLL_BACK, why.message)
        self._connection.deadline = Deadline.after(self.context.connection.deadline)
        back = restoring_write(write)
        try:
            hold = self._connection.relock(back)
            written = hold.write(self._with_receipt(back), self._connection.deadline)
        except WriteFailed as error:  # which says itself what is there now
            return self._rollback_failed(why, str(error), error.hint)
        except TransportError as error:
            return self._rollback_failed(why, f"{error}; {self._in_place}", error.hint)
        self.warnings.extend(written.warnings)
        self.context.emit(HostRolledBack(self._host))
        in_effect = why.restarted or self.task.in_effect
        problem = self._reactivate(just_now=why.restarted) if in_effect else None
        was = "is back" if back.content is not None else "is gone again, as before"
        if problem is not None:
            return self._rollback_failed(
                why, f"the file {was}, but {problem.message}", problem.hint
            )
        return self._result(Status.ROLLED_BACK, f"{why.message}; the file {was}", why.hint)

    def _reactivate(self, *, just_now: bool) -> _Failure | None:
        """Restart on the old file; no sessions are waited for that a restart ``just_now`` ended."""
        verify = self.task.gates.verify
        try:
            held = None if just_now else self._await_no_sessions()
            if held is not None:
                return _Failure(f"not restarted: {held.message}", held.hint)
            self._step(Step.RESTART)
            restarted = time.monotonic()
            broken = self._restart()
            if broken is not None or verify is None or not verify.health:
                return broken
            self._step(Step.VERIFY)
            held = self._health(verify, restarted)
        except TransportError as error:
            return _Failure(str(error), error.hint)
        return None if held is None else _Failure(held.message, held.hint)

    def _rollback_failed(self, why: _Failure, problem: str, hint: str) -> HostResult:
        return self._result(
            Status.ROLLBACK_FAILED,
            f"{why.message}; going back failed: {problem}",
            hint or "look at the host at once",
        )

    # Clock and words

    def _pause(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True

    def _api(self) -> AegisApi:
        return self.task.work.api(self.task.plan)

    def _passed(self, verdict: Ok | Blocked) -> Blocked | None:
        from aegis_provision.rollout.gates import Blocked

        if isinstance(verdict, Blocked):
            return verdict
        self.warnings.extend(verdict.warnings)
        return None

    def _step(self, step: Step, detail: str = "") -> None:
        self.context.emit(StepStarted(self._host, step, detail))

    def _result(self, status: Status, message: str = "", hint: str = "") -> HostResult:
        return HostResult(self._host, status, message, hint)
