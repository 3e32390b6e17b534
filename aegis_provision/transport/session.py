"""An open session to one host, whatever is behind it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self

from aegis_provision.aegis.actual import Login
from aegis_provision.transport.protocol import Unreachable
from aegis_provision.transport.reading import (
    read_actual,
    read_login,
    read_previous,
    read_receipt,
    read_receipt_and_login,
)
from aegis_provision.transport.safe_write import take_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from aegis_provision.aegis.actual import Actual
    from aegis_provision.inventory.model import Target
    from aegis_provision.planning.model import Write
    from aegis_provision.planning.receipts import Found
    from aegis_provision.transport.command import CommandEnd
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.protocol import (
        AcceptedKey,
        Deadline,
        Hold,
        HostSession,
        Written,
    )
    from aegis_provision.transport.questions import Answer, NoAnswer, Question
    from aegis_provision.transport.safe_write import FileHold

ROOT = "root"
_ROOTS = Login(0, frozenset({0}))


class Ways(Protocol):
    """Commands on a host, and HTTP questions asked from where it is."""

    @property
    def login(self) -> str:
        """Return the name of the user as whom commands run."""
        ...

    def run(self, command: str, deadline: Deadline) -> CommandEnd:
        """Run ``command`` by /bin/sh. Raises :class:`Unreachable`."""
        ...

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask within ``timeout`` seconds. Raises :class:`Unreachable`."""
        ...


class FileSession:
    """A :class:`~aegis_provision.transport.protocol.HostSession` over a file system.

    ``ways`` are the ways into the host that are no files.
    ``user`` is as whom files are written, where that is known: root needs no asking. ``until``
    is told the deadline before each piece of work; ``closers`` run on closing, in order.
    """

    def __init__(
        self,
        target: Target,
        files: Filesystem,
        *,
        ways: Ways,
        user: str | None = None,
        accepted: tuple[AcceptedKey, ...] = (),
        until: Callable[[Deadline], None] = lambda _: None,
        closers: Sequence[Callable[[], object]] = (),
    ) -> None:
        """Take over an open connection."""
        self.accepted = accepted
        self._target = target
        self._files = files
        self._ways = ways
        self._user = user
        self._until = until
        self._closers = closers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, deadline: Deadline) -> Actual:
        """Read the target and what surrounds it."""
        self._until(deadline)
        return read_actual(self._files, self._target)

    def previous(self, path: str, deadline: Deadline) -> bytes | None:
        """Return the file that is kept beside the target at ``path``."""
        self._until(deadline)
        return read_previous(self._files, path)

    def receipt(self, path: str, deadline: Deadline) -> Found:
        """Return what lies where the receipt of the target at ``path`` would be."""
        self._until(deadline)
        return read_receipt(self._files, path)

    def login(self, deadline: Deadline) -> Login | None:
        """Return as whom files are written here."""
        if self._user == ROOT:
            return _ROOTS
        self._until(deadline)
        return read_login(self._files)

    def receipt_and_login(self, path: str, deadline: Deadline) -> tuple[Found, Login | None]:
        """Return what :meth:`receipt` and :meth:`login` do, asked for at one go."""
        if self._user == ROOT:
            return self.receipt(path, deadline), _ROOTS
        self._until(deadline)
        return read_receipt_and_login(self._files, path)

    def alive(self, deadline: Deadline) -> bool:
        """Tell whether the connection still answers."""
        self._until(deadline)
        try:
            self._files.stat("/")
        except Unreachable:
            return False
        except OSError:
            return True
        return True

    def hold(
        self, write: Write, owner: str, deadline: Deadline, *, again: Hold | None = None
    ) -> Hold:
        """Take the lock beside the target of ``write``."""
        self._until(deadline)
        held = again.hold.taken_over(self._files) if isinstance(again, _SessionHold) else None
        return _SessionHold(self, held or take_hold(self._files, write, owner), self._until)

    @property
    def login_name(self) -> str:
        """Return the name of the login, as whom commands run."""
        return self._ways.login

    def run(self, command: str, deadline: Deadline) -> CommandEnd:
        """Run ``command`` by /bin/sh, as the login."""
        return self._ways.run(command, deadline)

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask an HTTP question as if from the host."""
        return self._ways.ask(question, timeout)

    def close(self) -> None:
        """Close the connection."""
        for closer in self._closers:
            with suppress(Exception):  # nothing that goes wrong now matters any more
                closer()


class _SessionHold:
    """A :class:`~aegis_provision.transport.protocol.Hold` over a session."""

    def __init__(
        self, session: HostSession, hold: FileHold, until: Callable[[Deadline], None]
    ) -> None:
        self.hold = hold
        self._session = session
        self._until = until

    def is_on(self, session: HostSession) -> bool:
        """Tell whether the lock is held over ``session``."""
        return session is self._session

    def renew(self, deadline: Deadline) -> None:
        """Put off the moment at which the lock expires."""
        self._until(deadline)
        self.hold.renew()

    def write(self, write: Write, deadline: Deadline) -> Written:
        """Replace the target as ``write`` says, or take it away."""
        self._until(deadline)
        return self.hold.write(write)

    def release(self, deadline: Deadline) -> tuple[str, ...]:
        """Give the lock back."""
        self._until(deadline)
        return self.hold.release()
