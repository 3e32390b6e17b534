"""What the rest of the program knows of a transport."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from aegis_provision.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from aegis_provision.aegis.remote_state import RemoteState, RemoteUser
    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.plan import Write
    from aegis_provision.planning.receipts import FoundReceipt
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse


_CLOCK_GRAIN = 0.01


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment (``time.monotonic`` seconds) by which a host's whole work must be over."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left, never less than zero."""
        return max(0.0, self.at - time.monotonic())

    def later(self, seconds: float) -> Self:
        """Return the deadline put off by ``seconds`` that did not count."""
        return type(self)(self.at + seconds)

    def passed(self) -> bool:
        """Tell whether it is over, or so near that nothing more would be done in time."""
        return self.remaining() < _CLOCK_GRAIN


def out_of_time(step: str) -> Unreachable:
    """Return what to raise at ``step`` once a host's deadline has passed."""
    return Unreachable(step, "the host's deadline passed", "raise --deadline")


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
    """A host key taken on trust: ``name`` as known_hosts writes it, and its fingerprint."""

    name: str
    key_type: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A write that was read back and found right. ``warnings`` are worth showing."""

    path: str
    warnings: tuple[str, ...] = field(default=())


class WriteLock(Protocol):
    """The lock beside a target, while it is ours."""

    def is_on(self, session: HostSession) -> bool:
        """Tell whether the lock is held over ``session``."""
        ...

    def renew(self, deadline: Deadline) -> None:
        """Put off the moment at which the lock expires; never raises."""
        ...

    def write(self, write: Write, deadline: Deadline) -> WriteResult:
        """Replace the target as ``write`` says, or take it away, safely.

        Raises :class:`WriteRefused`, :class:`WriteFailed` or :class:`Unreachable`.
        """
        ...

    def release(self, deadline: Deadline) -> tuple[str, ...]:
        """Give the lock back; returns warnings and never raises."""
        ...


class HostSession(Protocol):
    """An open connection to one host. Not shared between threads at the same time."""

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
        """Return the file that is kept beside the target at ``path``, ``None`` where none is.

        Raises :class:`Unreachable`.
        """
        ...

    def receipt(self, path: str, deadline: Deadline) -> FoundReceipt:
        """Return what lies where the receipt of the target at ``path`` would be, unjudged.

        Raises :class:`Unreachable`.
        """
        ...

    def login(self, deadline: Deadline) -> RemoteUser | None:
        """Return as whom files are written here, ``None`` where the host does not tell.

        Raises :class:`Unreachable`.
        """
        ...

    def receipt_and_login(
        self, path: str, deadline: Deadline
    ) -> tuple[FoundReceipt, RemoteUser | None]:
        """Return what :meth:`receipt` and :meth:`login` do, asked for at one go.

        Raises :class:`Unreachable`.
        """
        ...

    def alive(self, deadline: Deadline) -> bool:
        """Tell whether the connection still answers; never raises."""
        ...

    def hold(
        self, write: Write, owner: str, deadline: Deadline, *, again: WriteLock | None = None
    ) -> WriteLock:
        """Take the lock beside the target of ``write``; ``owner`` is who it names.

        With ``again`` the lock that was taken over a connection now lost counts as ours. Raises
        :class:`WriteRefused` or :class:`Unreachable`.
        """
        ...

    @property
    def login_name(self) -> str:
        """Return the name of the login, as whom commands run."""
        ...

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` by /bin/sh, as the login. Raises :class:`Unreachable`."""
        ...

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask an HTTP question as if from the host. Raises :class:`Unreachable`."""
        ...

    def close(self) -> None:
        """Close the connection; never raises, never blocks for long."""
        ...


class Connect(Protocol):
    """Opens a session to one host. Raises :class:`Unreachable`."""

    def __call__(self, target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
        """Connect to ``target`` before ``deadline`` and log in."""
        ...
