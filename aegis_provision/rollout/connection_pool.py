"""How hosts are connected to, and the connections that stay open between plan and write."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import field
from typing import TYPE_CHECKING, Self

from aegis_provision.rollout.events import ConnectRetried
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.events import Emit
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import Connect, HostSession
    from aegis_provision.transport.retry import Retry

_FRESH = 5.0


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to connect: to ``forks`` hosts at once, with ``deadline`` seconds for each at most.

    ``wanted_forks`` were asked for; this process's files may not be enough for them. ``kept_files``
    is how many files may stay open between a plan and the write that follows.
    ``workers`` is how many processes share the hosts; 1 stands for this process itself. With a
    ``scheduler``, an address, the workers of its Dask cluster do.

    ``shared`` is entered while hosts are worked on: the connections to their bastions stay open
    until the outermost block ends. ``secrets`` are the operator's tokens that must never be shown,
    even if no host of the run has them.
    """

    connect: Connect
    options: ConnectOptions
    forks: int
    deadline: float
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    shared: AbstractContextManager[object] = field(default_factory=nullcontext, repr=False)
    kept_files: int = 0
    wanted_forks: int = 0
    workers: int = 1
    scheduler: str | None = None

    def open(self, host: Host, deadline: Deadline, emit: Emit) -> HostSession:
        """Connect to ``host``, and emit it as an event if that is tried again.

        Raises :class:`Unreachable`.
        """

        def tell(retry: Retry) -> None:
            emit(ConnectRetried(host.name, retry.attempt, retry.reason, retry.wait))

        return self.connect(host.target, self.options, deadline, tell)


class ConnectionPool:
    """Connections that a plan leaves open for the write: one handshake per host and run.

    At most ``limit`` are kept, with ``files`` of this process's files between them, ``None`` for
    no other bound. Safe to use from several threads. Those left are closed on exit.
    """

    def __init__(self, limit: int, files: int | None = None) -> None:
        self._limit = limit
        self._files = limit if files is None else files
        self._sessions: dict[str, tuple[HostSession, float]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._sessions:
            self._sessions.popitem()[1][0].close()

    def offer(self, host: str, session: HostSession) -> bool:
        """Keep ``session`` if there is room; tell whether it was."""
        with self._lock:
            if len(self._sessions) >= self._limit or session.open_files > self._files:
                return False
            self._files -= session.open_files
            self._sessions[host] = session, time.monotonic()
        if session.rest():
            return True
        with self._lock:
            self._files += session.open_files
            del self._sessions[host]
        return False

    def take(self, host: str, deadline: Deadline) -> HostSession | None:
        """Return the connection to ``host`` if one was kept and still answers.

        One that was idle for long is tried first: the host may have closed it meanwhile. The
        caller closes it.
        """
        with self._lock:
            session, since = self._sessions.pop(host, (None, 0.0))
            if session is None:
                return None
            self._files += session.open_files
        session.wake()
        if time.monotonic() - since < _FRESH or session.alive(deadline):
            return session
        session.close()
        return None
