"""One host's work in a play: preflight, write, restart, verify, and a restore if that fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, TransportError, Unreachable, WriteFailed, WriteRefused
from aegis_provision.playbook.plays import OnFailure
from aegis_provision.rollout.events import HostWritten, Step
from aegis_provision.rollout.host_connection import HostConnection
from aegis_provision.rollout.host_steps import Failure, HostSteps
from aegis_provision.rollout.remote_text import redacted
from aegis_provision.rollout.results import Status
from aegis_provision.rollout.task import skipped
from aegis_provision.rollout.write_log import WriteLogError
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.rollout.task import HostTask, RunContext
    from aegis_provision.rollout.verdict import Blocked

_PREFLIGHT_TIMEOUT = 10.0
_PROBE_TIMEOUT = 30.0
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
    redactor = redactor.along(task.plan.secrets)

    def emit(event: Event) -> None:
        context.emit(redacted(event, redactor, task.job))

    redacting = replace(context, emit=emit)
    deadline = Deadline.after(context.connection.deadline)
    steps = HostSteps(task, redacting, HostConnection(task.job, redacting, deadline))
    try:
        result = _run(steps)
    finally:
        steps.warnings.extend(steps.connection.close())
    if task.rollback:
        result = _rollback_result(result)
    result = replace(result, warnings=tuple(dict.fromkeys(steps.warnings)))
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


def _run(steps: HostSteps) -> HostResult:
    task, context, connection = steps.task, steps.context, steps.connection
    write, earlier = task.plan.write, task.written
    try:
        steps.start(Step.CONNECT)
        connection.open(tested=write is None or task.gates.probe_first)
        blocked = _preflight(steps)
        if blocked is not None and earlier is not None:
            return _end(steps, earlier, Failure(f"preflight: {blocked.message}", blocked.hint))
        if blocked is not None:
            undone = "written" if write is not None else "restarted"
            return steps.result(Status.REFUSED, f"not {undone}: {blocked.message}", blocked.hint)
        if write is not None:
            steps.start(Step.WRITE)
            lock = connection.lock(write)
            context.emit(context.write_log.before_write(steps.host, write))
            steps.write(lock, write)
            context.emit(HostWritten(steps.host))
    except WriteLogError as error:
        return steps.result(Status.REFUSED, f"not written: {error}", error.hint)
    except WriteRefused as error:
        refused = steps.result(Status.REFUSED, str(error), error.hint)
        return replace(refused, locked=isinstance(error, Locked))
    except WriteFailed as error:
        return steps.result(Status.FAILED, str(error), error.hint)
    except Unreachable as error:
        if earlier is not None:
            return _end(steps, earlier, Failure(str(error), error.hint))
        return steps.result(Status.UNREACHABLE, str(error), error.hint)
    return _end(steps, write or earlier, _activate(steps))


def _preflight(steps: HostSteps) -> Blocked | None:
    if not steps.task.gates.probe_first:
        return None
    steps.start(Step.PREFLIGHT)
    timeout = min(_PREFLIGHT_TIMEOUT, steps.connection.deadline.remaining())
    return steps.probe(Step.PREFLIGHT, timeout)


@dataclass(frozen=True, slots=True)
class _Deferred:
    """The restart is left to the operator: why, and what to do next."""

    message: str
    hint: str


def _activate(steps: HostSteps) -> _Deferred | Failure | None:
    """Restart and verify, as the play says. Returns ``None`` if all went well."""
    restarted: float | None = None
    try:
        if steps.task.restarts:
            blocked = steps.wait_for_idle()
            if blocked is not None:
                return _Deferred(blocked.message, blocked.hint)
            steps.start(Step.RESTART)
            restarted = time.monotonic()
            failure = steps.restart()
            if failure is not None:
                return failure
        blocked = _verify(steps, restarted)
    except TransportError as error:
        return Failure(str(error), error.hint, restarted=restarted is not None)
    if blocked is None:
        return None
    return Failure(f"verify: {blocked.message}", blocked.hint, restarted=restarted is not None)


def _verify(steps: HostSteps, restarted: float | None) -> Blocked | None:
    verify = steps.task.gates.verify
    if verify is None:
        return None
    steps.start(Step.VERIFY)
    blocked = steps.check_health(verify, restarted) if verify.health else None
    if blocked is None and verify.probe:
        began = time.monotonic()
        blocked = steps.probe(Step.VERIFY, min(_PROBE_TIMEOUT, verify.timeout))
        steps.connection.extend_deadline(began)
    return blocked


def _end(steps: HostSteps, write: Write | None, outcome: _Deferred | Failure | None) -> HostResult:
    """Return how the host ended, after a restore if a failure asks for one.

    ``write`` is what this run wrote there, in this play or an earlier one.
    """
    if outcome is None:
        if steps.task.leaves_restart_pending:
            return steps.result(Status.RESTART_PENDING, _PENDING)
        return steps.result(Status.APPLIED)
    if isinstance(outcome, _Deferred):
        message = f"not restarted: {outcome.message}"
        return steps.result(Status.RESTART_PENDING, message, outcome.hint)
    if write is None:
        return steps.result(Status.FAILED, outcome.message, outcome.hint)
    if steps.task.gates.on_failure is OnFailure.KEEP:
        message = f"{outcome.message}; {steps.in_place}"
        return steps.result(Status.FAILED, message, outcome.hint)
    from aegis_provision.rollout.restore import restore

    return restore(steps, write, outcome)
