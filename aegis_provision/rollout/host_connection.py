"""The connection to a host while it is worked on: the lock held over it, and the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, Unreachable
from aegis_provision.rollout.events import KeysAccepted
from aegis_provision.transport.protocol import Deadline

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.rollout.planner import HostJob
    from aegis_provision.rollout.task import RunContext
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.protocol import HostSession, WriteLock

_FAREWELL = 3.0


@dataclass(slots=True)
class HostConnection:
    """The one connection to the host of ``work``: opened when needed, anew where it is lost.

    ``deadline`` is when the work there has to be done.
    """

    work: HostJob
    context: RunContext
    deadline: Deadline
    _session: HostSession | None = None
    _kept: bool = False
    _hold: WriteLock | None = None
    _renewed: float = 0.0

    def open(self) -> HostSession:
        """Return the open connection: the one that was kept, or a new one.

        Raises :class:`Unreachable`.
        """
        if self._session is None:
            connection, host = self.context.connection, self.work.host
            kept = self.context.kept.take(host.name, self.deadline)
            self._session = kept or connection.connect(
                host.target, connection.options, self.deadline
            )
            self._kept = kept is not None
            if not self._kept and self._session.accepted:
                self.context.emit(KeysAccepted(host.name, self._session.accepted))
        return self._session

    def open_to_ask(self) -> None:
        """Open it for a question, which must not be the first to meet one that has died.

        Raises :class:`Unreachable`.
        """
        self.open()
        if self._kept:
            self.open_alive()

    def open_alive(self) -> HostSession:
        """Return a connection that answers, a new one if need be. Raises :class:`Unreachable`."""
        if self._session is not None and not self._session.alive(self.deadline):
            self._drop()
        return self.open()

    def hold(self, write: Write) -> WriteLock:
        """Take the lock, over a new connection where the one that was kept is dead by now.

        Raises what :meth:`~.protocol.HostSession.hold` does.
        """
        self._hold = self._take_hold(write)
        self._renewed = time.monotonic()
        return self._hold

    def relock(self, write: Write) -> WriteLock:
        """Return the lock that is held, taken again where its connection was lost.

        Raises what :meth:`~.protocol.HostSession.hold` does.
        """
        session = self.open_alive()
        if self._hold is None or not self._hold.is_on(session):
            self._hold = session.hold(write, self.context.owner, self.deadline, again=self._hold)
        return self._hold

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask from the host's point of view, and keep the lock over a long wait.

        Raises :class:`TransportError`.
        """
        self._keep_lock()
        return self.open().ask(question, timeout)

    def extend_deadline(self, since: float) -> None:
        """Let the time since ``since`` (``time.monotonic``) not count against the deadline."""
        self.deadline = self.deadline.later(time.monotonic() - since)

    def close(self) -> tuple[str, ...]:
        """Give the lock back and close; return what is worth a warning."""
        warnings: tuple[str, ...] = ()
        if self._hold is not None:
            # A host that used its time up is still asked to give the lock back, if it is quick.
            left = max(_FAREWELL, self.deadline.remaining())
            warnings = tuple(self._hold.release(Deadline.after(left)))
        if self._session is not None:
            self._session.close()
        return warnings

    def _take_hold(self, write: Write) -> WriteLock:
        session = self.open()
        try:
            return session.hold(write, self.context.owner, self.deadline)
        except Unreachable as lost:
            if not self._kept or self.deadline.passed():
                raise
            self._drop()
            try:
                return self.open().hold(write, self.context.owner, self.deadline)
            except Locked:  # maybe by ourselves, over the connection that is lost
                raise lost from None

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _keep_lock(self) -> None:
        """Renew the lock now and then, so that a long wait does not let it expire."""
        due = self._renewed + self.context.renew_every
        if self._hold is not None and time.monotonic() > due:
            # Waiting does not count: the host's own deadline may seem to have passed by now.
            self._hold.renew(Deadline.after(self.context.connection.options.timeout))
            self._renewed = time.monotonic()
