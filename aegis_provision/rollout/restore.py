"""Restores a host after a failed verify: the file from before comes back, and Aegis with it.

That is within one run. Undoing a past run is a rollback, see :mod:`~.rollback`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.errors import TransportError, WriteFailed
from aegis_provision.planning.plan import restoring_write
from aegis_provision.rollout.events import HostRolledBack, Step
from aegis_provision.rollout.host_steps import Failure
from aegis_provision.rollout.results import Status
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.rollout.host_steps import HostSteps
    from aegis_provision.rollout.results import HostResult


def restore(steps: HostSteps, write: Write, failure: Failure) -> HostResult:
    """Undo ``write``, for ``failure``, and return how the host ended.

    Aegis is restarted on the old file if it may run on the new one. The work gets a deadline of
    its own.
    """
    connection = steps.connection
    # A record needs to know no more of the write that follows than that this step began.
    steps.start(Step.ROLL_BACK, failure.message)
    connection.deadline = Deadline.after(steps.context.connection.deadline)
    old = restoring_write(write)
    try:
        steps.write(connection.relock(old), old)
    except WriteFailed as error:  # which says itself what is there now
        return _failed(steps, failure, str(error), error.hint)
    except TransportError as error:
        return _failed(steps, failure, f"{error}; {steps.in_place}", error.hint)
    steps.context.emit(HostRolledBack(steps.host))
    in_effect = failure.restarted or steps.task.in_effect
    problem = _restart(steps, just_now=failure.restarted) if in_effect else None
    outcome = "is back" if old.content is not None else "is gone again, as before"
    if problem is not None:
        message = f"the file {outcome}, but {problem.message}"
        return _failed(steps, failure, message, problem.hint)
    return steps.result(Status.ROLLED_BACK, f"{failure.message}; the file {outcome}", failure.hint)


def _restart(steps: HostSteps, *, just_now: bool) -> Failure | None:
    """Restart on the old file; a restart ``just_now`` has ended all sessions already."""
    verify = steps.task.gates.verify
    try:
        blocked = None if just_now else steps.wait_for_idle()
        if blocked is not None:
            return Failure(f"not restarted: {blocked.message}", blocked.hint)
        steps.start(Step.RESTART)
        restarted = time.monotonic()
        failure = steps.restart()
        if failure is not None or verify is None or not verify.health:
            return failure
        steps.start(Step.VERIFY)
        blocked = steps.check_health(verify, restarted)
    except TransportError as error:
        return Failure(str(error), error.hint)
    return None if blocked is None else Failure(blocked.message, blocked.hint)


def _failed(steps: HostSteps, failure: Failure, problem: str, hint: str) -> HostResult:
    return steps.result(
        Status.ROLLBACK_FAILED,
        f"{failure.message}; going back failed: {problem}",
        hint or "look at the host at once",
    )
