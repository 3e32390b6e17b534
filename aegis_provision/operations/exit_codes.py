"""What the exit codes mean, and which one a plan or a run ends with (docs/exit-codes.md).

Every start of the program loads this, so what a decision knows of plans and runs is loaded for it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from aegis_provision.errors import (
    CommandNotFoundError,
    CommandNotStartedError,
    MissingExtraError,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.errors import Error
    from aegis_provision.importing.result import ImportResult
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.results import RunResult
    from aegis_provision.rollout.session_results import SessionListing, SessionResult


class ExitCode(IntEnum):
    """Every exit code of the tool; ``run`` ends with its command's own status, once it started.

    126 and 127 are what POSIX shells say of a command that can't be run, or is not there.
    """

    DONE = 0
    BUG = 1
    CHANGES_PENDING = 2
    INVALID_INPUT = 3
    HOST_FAILED = 4
    HOST_UNREACHABLE = 5
    REFUSED = 6
    USAGE = 64
    COMMAND_NOT_STARTED = 126
    COMMAND_NOT_FOUND = 127
    INTERRUPTED = 130


def error_exit_code(error: Error) -> ExitCode:
    """Return the exit code of a command that ``error`` stopped."""
    match error:
        case RefusedError():
            return ExitCode.REFUSED
        case MissingExtraError():
            return ExitCode.USAGE
        case CommandNotFoundError():
            return ExitCode.COMMAND_NOT_FOUND
        case CommandNotStartedError():
            return ExitCode.COMMAND_NOT_STARTED
    return ExitCode.INVALID_INPUT


def plan_exit_code(plans: Sequence[HostPlan], *, detailed: bool) -> ExitCode:
    """Return the exit code of a plan; ``detailed`` tells pending changes apart from none.

    A restart that is owed, and that a play would make good, is pending too.
    """
    from aegis_provision.planning.plan import Action

    actions = {plan.action for plan in plans}
    if Action.ERROR in actions:
        return ExitCode.HOST_FAILED
    if Action.UNREACHABLE in actions:
        return ExitCode.HOST_UNREACHABLE
    changes = actions & {Action.CREATE, Action.UPDATE}
    if detailed and (changes or any(plan.restart_pending for plan in plans)):
        return ExitCode.CHANGES_PENDING
    return ExitCode.DONE


def status_exit_code(statuses: Sequence[HostStatus], *, detailed: bool) -> ExitCode:
    """Return the exit code of a look at how hosts stand, as :func:`plan_exit_code` would.

    What has drifted counts as pending: what is wanted is not what is there. So do a lost API lock
    and variables that decide over the provider's; other hand edits are the host's own business.
    """
    from aegis_provision.planning.status import HostState

    states = {state for status in statuses for state in status.states}
    if states & {HostState.ERROR, HostState.NOT_READ}:
        return ExitCode.HOST_FAILED
    if HostState.UNREACHABLE in states:
        return ExitCode.HOST_UNREACHABLE
    if detailed and any(
        status.drifted or status.pending or status.overriding or status.lost_lock
        for status in statuses
    ):
        return ExitCode.CHANGES_PENDING
    return ExitCode.DONE


def run_exit_code(end: RunResult, *, rollback: bool = False) -> ExitCode:
    """Return the exit code of a run that was let loose on the hosts.

    Where it was ``rollback`` on purpose, a host that was rolled back is what was wanted.
    """
    from aegis_provision.rollout.results import FAILURES, Status

    statuses = {result.status for result in end.results}
    if rollback:
        statuses.discard(Status.ROLLED_BACK)
    if end.interrupted:
        return ExitCode.INTERRUPTED
    if end.all_locked:
        return ExitCode.REFUSED
    unpassed = any(not result.passed for result in end.results)
    if end.budget_spent or unpassed or statuses & (FAILURES - {Status.UNREACHABLE}):
        return ExitCode.HOST_FAILED
    if Status.UNREACHABLE in statuses:
        return ExitCode.HOST_UNREACHABLE
    return ExitCode.DONE


def session_exit_code(
    results: Sequence[SessionResult] | Sequence[SessionListing], *, interrupted: bool = False
) -> ExitCode:
    """Return the exit code of sessions that were started, stopped or listed."""
    from aegis_provision.rollout.session_results import SessionStatus

    statuses = {result.status for result in results}
    if interrupted:
        return ExitCode.INTERRUPTED
    # What was not attempted, the budget stopped.
    if statuses & {SessionStatus.FAILED, SessionStatus.NOT_ATTEMPTED}:
        return ExitCode.HOST_FAILED
    if SessionStatus.UNREACHABLE in statuses:
        return ExitCode.HOST_UNREACHABLE
    return ExitCode.DONE


def doctor_exit_code(hosts: Iterable[HostChecks]) -> ExitCode:
    """Return the exit code of a diagnosis; a host that is unreachable has a failed check, too."""
    from aegis_provision.diagnosis.checks import CheckResult, worst

    failed = any(worst(host.checks) is CheckResult.FAIL for host in hosts)
    return ExitCode.HOST_FAILED if failed else ExitCode.DONE


def import_exit_code(ends: Sequence[ImportResult]) -> ExitCode:
    """Return the exit code of taking hosts over: whether all that they have was taken."""
    from aegis_provision.importing.result import ImportStatus

    if any(end.status is ImportStatus.LEFT_OUT or end.unmanaged for end in ends):
        return ExitCode.HOST_FAILED
    if any(end.status is ImportStatus.UNREACHABLE for end in ends):
        return ExitCode.HOST_UNREACHABLE
    return ExitCode.DONE
