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
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.planner import ConnectionPool, ConnectionSettings, HostJob
    from aegis_provision.rollout.worker_pool import CancelToken
    from aegis_provision.rollout.write_log import WriteLog

_WITHOUT_WRITE = {
    Action.UNCHANGED: Status.UNCHANGED,
    Action.ERROR: Status.REFUSED,
    Action.UNREACHABLE: Status.UNREACHABLE,
}
_WORKABLE = frozenset({Action.CREATE, Action.UPDATE, Action.UNCHANGED})
_HOPELESS = frozenset({Action.ERROR, Action.UNREACHABLE})
_OWED = "its file is right, and Aegis was not restarted since it came"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every host's work needs beside the host: how to reach it, and whom to tell.

    ``run`` is the run's name, which receipts give; ``owner`` is who the locks name,
    ``renew_every`` after how many seconds of waiting they are renewed.
    """

    connection: ConnectionSettings
    kept: ConnectionPool
    journal: WriteLog
    emit: Emit
    stop: CancelToken
    run: str
    owner: str
    renew_every: float = 60.0


@dataclass(frozen=True, slots=True)
class HostTask:
    """One host's part in one play.

    ``restart_owed`` says that an earlier write waits for a restart; ``written`` is that write
    where an earlier play of this run did it, so that it can be taken back, and ``in_effect`` says
    that Aegis was restarted on it then. ``going_back`` says that the write itself undoes a past
    run's.
    """

    work: HostJob
    plan: HostPlan
    gates: Gates
    restart_owed: bool = False
    written: Write | None = None
    in_effect: bool = False
    going_back: bool = False

    @property
    def restarts(self) -> bool:
        """Tell whether Aegis is to be restarted, provided that the write succeeds."""
        match self.gates.restart:
            case Restart.ALWAYS:
                return self.plan.action in _WORKABLE
            case Restart.CHANGED:
                return self.restart_owed or self.plan.changes_sessions
            case Restart.NEVER:
                return False

    @property
    def leaves_owed(self) -> bool:
        """Tell whether what is there waits for a restart that is none of this play's."""
        return not self.restarts and (self.restart_owed or self.plan.changes_sessions)

    @property
    def has_work(self) -> bool:
        """Tell whether there is anything to do on the host."""
        return self.plan.write is not None or self.restarts


def skipped(plan: HostPlan) -> HostResult:
    """Return how a host ends on which nothing is done, by its plan."""
    if plan.write is not None:
        return HostResult(plan.host, Status.NOT_ATTEMPTED, "nothing was written there")
    status = _WITHOUT_WRITE[plan.action]
    message = _OWED if status is Status.UNCHANGED and plan.restart_owed else plan.message
    return HostResult(plan.host, status, message, plan.hint)


def not_begun(plan: HostPlan) -> HostResult:
    """Return how a host ends whose turn did not come before the run was stopped.

    The reason why it could not have been written anyway is kept.
    """
    message, hint = "nothing was done there", ""
    if plan.action in _HOPELESS:
        message, hint = f"{message}, and nothing could be: {plan.message}", plan.hint
    return HostResult(plan.host, Status.NOT_ATTEMPTED, message, hint)
