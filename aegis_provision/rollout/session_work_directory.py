"""A directory on a host for one session of its own, made as the file's user."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from aegis_provision.errors import TransportError, Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.rollout.host_connection import HostConnection
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.temporary_directory import TemporaryDirectory

_TIMEOUT = 15.0
_ROOT = 0


@dataclass(slots=True)
class SessionDirectories:
    """Makes directories on the host of ``connection``, for the user with the uid ``user``.

    Root has a connection of its own for it: it may have to work as another user there, and could
    not be root again.
    """

    connection: HostConnection
    user: int | None
    _own: HostSession | None = None

    def make(self, parent: str) -> TemporaryDirectory:
        """Make one in ``parent``. Raises ``OSError`` and :class:`Unreachable`."""
        try:
            return self._session().make_directory(parent, self.user, Deadline.after(_TIMEOUT))
        finally:
            if self._own is not None:
                self._own.rest()  # for as long as the session runs

    def remove(self, path: str) -> bool:
        """Remove one; return whether it is gone. Raises nothing."""
        try:
            return self._session().remove_directory(path, Deadline.after(_TIMEOUT))
        except (TransportError, OSError):
            return False

    def close(self) -> None:
        """Close what was opened for it."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def _session(self) -> HostSession:
        deadline = Deadline.after(_TIMEOUT)
        if self._own is not None:
            self._own.wake()
            if self._own.alive(deadline):
                return self._own
        self.close()
        session = self.connection.reopen()
        login = session.login(deadline)
        if login is None or login.uid != _ROOT:
            return session
        try:
            self._own = self.connection.another()
        except Unreachable as problem:
            reason = f"root needs a further connection for it, and {problem.reason}"
            raise OSError(errno.ENOTCONN, reason) from None
        return self._own
