"""One host's part in one play: what is to be done there, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Restart
from aegis_provision.rollout.results import HostResult, Status

if TYPE_CHECKING:
    from aegis_provision.planning.plan import HostPlan, Write
    from aegis_provision.playbook.plays import Gates
    from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.worker_pool import CancelToken
    from aegis_provision.rollout.write_log import WriteLog

_WITHOUT_WRITE = {
    Action.UNCHANGED: Status.UNCHANGED,
    Action.ERROR: Status.REFUSED,
    Action.UNREACHABLE: Status.UNREACHABLE,
}
_CAN_RESTART = frozenset({Action.CREATE, Action.UPDATE, Action.UNCHANGED})
_CAN_NOT_WRITE = frozenset({Action.ERROR, Action.UNREACHABLE})
_PENDING = "its file is right, and Aegis was not restarted since it came"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the work on every host needs beside the host.

    ``run`` is the run's name, which receipts hold; ``owner`` is whom the locks name,
    ``renew_every`` after how many seconds of waiting they are renewed.
    """

    connection: ConnectionSettings
    pool: ConnectionPool
    write_log: WriteLog
    emit: Emit
    cancel: CancelToken
    run: str
    owner: str
    renew_every: float = 60.0


@dataclass(frozen=True, slots=True)
class HostTask:
    """One host's part in one play.

    ``restart_pending`` says that an earlier write waits for a restart; ``written`` is that write
    if an earlier play of this run did it, so that it can be undone, and ``in_effect`` says that
    Aegis was restarted on it. ``rollback`` says that the plan's own write undoes a past run's.
    """

    job: HostJob
    plan: HostPlan
    gates: Gates
    restart_pending: bool = False
    written: Write | None = None
    in_effect: bool = False
    rollback: bool = False

    @property
    def restarts(self) -> bool:
        """Tell whether Aegis is to be restarted once the write has succeeded."""
        match self.gates.restart:
            case Restart.ALWAYS:
                return self.plan.action in _CAN_RESTART
            case Restart.CHANGED:
                return self.restart_pending or self.plan.changes_sessions
            case Restart.NEVER:
                return False

    @property
    def leaves_restart_pending(self) -> bool:
        """Tell whether the file still waits for a restart after this play."""
        return not self.restarts and (self.restart_pending or self.plan.changes_sessions)

    @property
    def has_work(self) -> bool:
        """Tell whether there is anything to do on the host."""
        return self.plan.write is not None or self.restarts


def skipped(plan: HostPlan) -> HostResult:
    """Return the result of a host on which nothing is done, by its plan."""
    if plan.write is not None:
        return HostResult(plan.host, Status.NOT_ATTEMPTED, "nothing was written there")
    status = _WITHOUT_WRITE[plan.action]
    message = _PENDING if status is Status.UNCHANGED and plan.restart_owed else plan.message
    return HostResult(plan.host, status, message, plan.hint)


def not_begun(plan: HostPlan) -> HostResult:
    """Return the result of a host that did not begin before the run was stopped.

    If it could not have been written anyway, the reason stays.
    """
    message, hint = "nothing was done there", ""
    if plan.action in _CAN_NOT_WRITE:
        message, hint = f"{message}, and nothing could be: {plan.message}", plan.hint
    return HostResult(plan.host, Status.NOT_ATTEMPTED, message, hint)
