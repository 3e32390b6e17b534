"""What is to be done on hosts: a host's job, its part in a play, and the run's context."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Action, changes_sessions, resulting_file
from aegis_provision.playbook.plays import Restart
from aegis_provision.providers.secret import Secret
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan, Write
    from aegis_provision.playbook.plays import Gates
    from aegis_provision.providers.session_variables import Session
    from aegis_provision.rollout.aegis_client import AegisClient, SendRequest
    from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
    from aegis_provision.rollout.events import Emit, FileChange, WriteBegun
    from aegis_provision.rollout.thread_pool import CancelToken
    from aegis_provision.transport.lock import LockOwner


_WITHOUT_WRITE = {
    Action.UNCHANGED: Status.UNCHANGED,
    Action.ERROR: Status.REFUSED,
    Action.UNREACHABLE: Status.UNREACHABLE,
}
_CAN_RESTART = frozenset({Action.CREATE, Action.UPDATE, Action.UNCHANGED})
_PENDING = "its file is right, and Aegis was not restarted since it came"


@dataclass(frozen=True, slots=True)
class HostJob:
    """One host and what it should have.

    ``api_token`` opens Aegis' API there, ``None`` for the token in the host's own file.
    ``restarts`` says that a play of the run would do a restart that is pending, so that the host
    is asked whether one is. ``pending_restarts`` holds the absolute paths of files on the host for
    which the operator's records know of a pending restart. ``recreate`` writes a file anew that
    this tool wrote and that is gone.
    """

    host: Host
    session: Session
    api_token: Secret | None = field(default=None, repr=False)
    restarts: bool = False
    pending_restarts: frozenset[str] = frozenset()
    recreate: bool = False

    def client(self, plan: HostPlan, send: SendRequest) -> AegisClient:
        """Return what asks Aegis' API on the host, once ``plan`` has seen its file."""
        from aegis_provision.rollout.aegis_client import AegisClient

        return AegisClient.of(
            self.host,
            (self.api_token, plan.auth_token, plan.client_auth_token),
            plan.api,
            send,
            locked=plan.auth_token is not None,
        )

    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret that is known of the host before it is read."""
        values = (*self.session.values.values(), self.api_token)
        return tuple(value for value in values if isinstance(value, Secret))


class RecordError(Exception):
    """The run's record can't be written; the text says why. Nothing may be written on a host.

    ``hint`` says what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the work on every host needs beside the host.

    ``before_write`` records that a write is about to begin on a host, so that it is known even if
    the operator's process dies, and returns the event that says so; it raises :class:`RecordError`.
    ``run`` is the run's name, which receipts hold; ``owner`` is whom the locks name,
    ``renew_every`` after how many seconds of waiting they are renewed. ``digest`` makes the digests
    of files that the record keeps.
    """

    connection: ConnectionSettings
    pool: ConnectionPool
    before_write: Callable[[str, FileChange], WriteBegun]
    emit: Emit
    cancel: CancelToken
    run: str
    owner: LockOwner
    digest: Callable[[bytes], str]
    renew_every: float = 60.0


@dataclass(frozen=True, slots=True)
class HostTask:
    """One host's part in one play.

    ``restart_pending`` says that an earlier write waits for a restart; ``wrote`` that an earlier
    play of this run did it, so that it can be undone, and ``in_effect`` that Aegis was restarted on
    it. ``rollback`` says that the plan's own write undoes a past run's.

    The operator's process holds it with a masked plan. The worker that has the whole one fills that
    in, and ``written``, what an earlier play wrote.
    """

    job: HostJob
    plan: HostPlan
    gates: Gates
    restart_pending: bool = False
    wrote: bool = False
    in_effect: bool = False
    rollback: bool = False
    written: Write | None = field(default=None, repr=False)

    @property
    def restarts(self) -> bool:
        """Tell whether Aegis is to be restarted once the write has succeeded."""
        match self.gates.restart:
            case Restart.ALWAYS:
                return self.plan.action in _CAN_RESTART
            case Restart.CHANGED:
                return self.restart_pending or changes_sessions(self.plan)
            case Restart.NEVER:
                return False

    @property
    def leaves_restart_pending(self) -> bool:
        """Tell whether the file still waits for a restart after this play."""
        return not self.restarts and (self.restart_pending or changes_sessions(self.plan))

    @property
    def file(self) -> RemoteFile | None:
        """The host's file as this run left it, once the plan's write was done."""
        write = self.plan.write or self.written
        return resulting_file(write) if write is not None else self.plan.seen

    @property
    def has_work(self) -> bool:
        """Tell whether there is anything to do on the host."""
        return self.plan.writes or self.restarts


def skipped(plan: HostPlan) -> HostResult:
    """Return the result of a host on which nothing is done, by its plan."""
    if plan.writes:
        return HostResult(plan.host, Status.NOT_ATTEMPTED, "nothing was written there")
    status = _WITHOUT_WRITE[plan.action]
    message = _PENDING if status is Status.UNCHANGED and plan.restart_pending else plan.message
    return HostResult(plan.host, status, message, plan.hint)


def not_begun(plan: HostPlan) -> HostResult:
    """Return the result of a host that did not begin before the run was stopped.

    If it could not have been written anyway, the reason stays.
    """
    message, hint = "nothing was done there", ""
    if plan.action.is_failure:
        message, hint = f"{message}, and nothing could be: {plan.message}", plan.hint
    return HostResult(plan.host, Status.NOT_ATTEMPTED, message, hint)
