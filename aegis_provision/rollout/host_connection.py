"""The connection to a host while it is worked on: the lock held over it, and the time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, Unreachable
from aegis_provision.rollout.events import KeysAccepted
from aegis_provision.transport.deadline import Deadline
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.rollout.host_job import HostJob, RunContext
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.lock import WriteLock

_RELEASE_TIMEOUT = 3.0
_LONG_PAUSE = 5.0


@dataclass(slots=True)
class HostConnection:
    """The one connection to the host of ``job``: opened when needed, and again if it is lost.

    ``deadline`` is when the work on the host has to be done.
    """

    job: HostJob
    context: RunContext
    deadline: Deadline
    _session: HostSession | None = None
    _pooled: bool = False
    _lock: WriteLock | None = None
    _locked_over: HostSession | None = None
    _renewed: float = 0.0

    def open(self, *, tested: bool = False) -> HostSession:
        """Return the open connection: the one from the pool, or a new one.

        With ``tested`` one from the pool must answer first, so that no request is lost over a
        connection that died. Raises :class:`Unreachable`.
        """
        if self._session is None:
            settings, host = self.context.connection, self.job.host
            pooled = self.context.pool.take(host.name, self.deadline)
            self._session = pooled or settings.open(host, self.deadline, self.context.emit)
            self._pooled = pooled is not None
            if not self._pooled and self._session.accepted:
                self.context.emit(KeysAccepted(host.name, self._session.accepted))
        if tested and self._pooled:
            return self.reopen()
        return self._session

    def reopen(self) -> HostSession:
        """Return a connection that answers, a new one if need be. Raises :class:`Unreachable`."""
        if self._session is not None and not self._session.alive(self.deadline):
            self._drop()
        return self.open()

    def another(self) -> HostSession:
        """Return a further connection, which the caller closes. Raises :class:`Unreachable`."""
        settings = self.context.connection
        return settings.open(self.job.host, self.deadline, self.context.emit)

    def lock(self, write: Write) -> WriteLock:
        """Take the lock, over a new connection if the one from the pool died meanwhile.

        Raises what :meth:`~.host_session.HostSession.lock` does.
        """
        owner = self.context.owner
        try:
            self._lock = self.open().lock(write, owner, self.deadline)
        except Unreachable as lost:
            if not self._pooled or self.deadline.expired():
                raise
            self._drop()
            try:
                self._lock = self.open().lock(write, owner, self.deadline)
            except Locked:  # maybe by ourselves, over the connection that is lost
                raise lost from None
        self._locked_over, self._renewed = self._session, time.monotonic()
        return self._lock

    def relock(self, write: Write) -> WriteLock:
        """Return the lock that is held, taken again if its connection was lost.

        Raises what :meth:`~.host_session.HostSession.lock` does.
        """
        session = self.reopen()
        if self._lock is None or self._locked_over is not session:
            owner = self.context.owner
            self._lock = session.lock(write, owner, self.deadline, previous=self._lock)
            self._locked_over = session
        return self._lock

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send a request from the host's point of view. Raises :class:`TransportError`.

        The lock is renewed now and then, so that it does not expire during a long wait.
        """
        due = self._renewed + self.context.renew_every
        if self._lock is not None and time.monotonic() > due:
            # Waiting does not count: the host's own deadline may seem to have expired by now.
            self._lock.renew(Deadline.after(self.context.connection.options.timeout))
            self._renewed = time.monotonic()
        return self.open().request(request, timeout)

    def pause(self, seconds: float) -> None:
        """Wait; the connection rests meanwhile if that is long, so that the host keeps it."""
        session = self._session if seconds > _LONG_PAUSE else None
        if session is not None:
            session.rest()
        time.sleep(seconds)
        if session is not None:
            session.wake()

    def extend_deadline(self, since: float) -> None:
        """Let the time since ``since`` (``time.monotonic``) not count against the deadline."""
        self.deadline = self.deadline.extended(time.monotonic() - since)

    def close(self) -> tuple[str, ...]:
        """Give the lock back and close; return warnings."""
        warnings: tuple[str, ...] = ()
        if self._lock is not None:
            # The lock is given back even if the host's time is used up, if that is quick.
            left = max(_RELEASE_TIMEOUT, self.deadline.remaining())
            warnings = self._lock.release(Deadline.after(left))
        if self._session is not None:
            self._session.close()
        return warnings

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
