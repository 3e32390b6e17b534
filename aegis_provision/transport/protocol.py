"""The interface of a transport: how the rest of the program connects to a host and uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from aegis_provision.aegis.remote_state import RemoteState, RemoteUser
    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.plan import Write
    from aegis_provision.planning.receipts import FoundReceipt
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.lock import WriteLock


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect, for every host alike.

    ``timeout`` bounds one step on a host (seconds). ``ssh_config`` is ``None`` for "none at all";
    ``known_hosts`` are the files to trust, the first of which ``accept_new`` adds keys to.
    ``agent_socket`` is the path of the operator's ssh agent, ``home`` their home directory,
    ``login_name`` the user name to fall back on, ``home_variable`` the environment's own HOME, or
    ``None`` where it has none.
    """

    timeout: float
    ssh_config: Path | None
    known_hosts: Sequence[Path]
    accept_new: bool
    agent_socket: str | None
    home: Path
    login_name: str
    home_variable: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptedKey:
    """A host key accepted on trust: ``name`` as known_hosts writes it, and its fingerprint."""

    name: str
    key_type: str
    fingerprint: str


class HostSession(Protocol):
    """An open connection to one host; only one thread may use it at a time."""

    accepted: tuple[AcceptedKey, ...]

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def read(self, deadline: Deadline) -> RemoteState:
        """Read the target and what surrounds it. Raises :class:`Unreachable`."""
        ...

    def previous(self, path: str, deadline: Deadline) -> bytes | None:
        """Return the file that is kept beside the target at ``path``, ``None`` if there is none.

        Raises :class:`Unreachable`.
        """
        ...

    def receipt(self, path: str, deadline: Deadline) -> FoundReceipt:
        """Return what lies at the place of the receipt of the target at ``path``, unchecked.

        Raises :class:`Unreachable`.
        """
        ...

    def login(self, deadline: Deadline) -> RemoteUser | None:
        """Return the user who writes files here, ``None`` if the host does not tell.

        Raises :class:`Unreachable`.
        """
        ...

    def receipt_and_login(
        self, path: str, deadline: Deadline
    ) -> tuple[FoundReceipt, RemoteUser | None]:
        """Return what :meth:`receipt` and :meth:`login` do, in one round of requests.

        Raises :class:`Unreachable`.
        """
        ...

    def alive(self, deadline: Deadline) -> bool:
        """Tell whether the connection still answers; never raises."""
        ...

    def lock(
        self, write: Write, owner: str, deadline: Deadline, *, previous: WriteLock | None = None
    ) -> WriteLock:
        """Take the lock beside the target of ``write``; the lock's file names ``owner``.

        ``previous`` is a lock that was taken over a connection now lost: it counts as ours. Raises
        :class:`WriteRefused` or :class:`Unreachable`.
        """
        ...

    @property
    def login_name(self) -> str:
        """Return the name of the login, which runs the commands."""
        ...

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` by /bin/sh, as the login. Raises :class:`Unreachable`."""
        ...

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send an HTTP request from the host's point of view. Raises :class:`Unreachable`."""
        ...

    def close(self) -> None:
        """Close the connection; never raises, never blocks for long."""
        ...


class Connect(Protocol):
    """Opens a session to one host. Raises :class:`Unreachable`."""

    def __call__(self, target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
        """Connect to ``target`` before ``deadline`` and log in."""
        ...
