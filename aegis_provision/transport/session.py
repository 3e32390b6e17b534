"""An open session to one host, whatever is behind it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from aegis_provision.aegis.actual import Login
from aegis_provision.transport.protocol import Unreachable
from aegis_provision.transport.reading import read_actual, read_login
from aegis_provision.transport.safe_write import safe_write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from aegis_provision.aegis.actual import Actual
    from aegis_provision.inventory.model import Target
    from aegis_provision.planning.model import Write
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.protocol import AcceptedKey, Deadline, Written

ROOT = "root"


class FileSession:
    """A :class:`~aegis_provision.transport.protocol.HostSession` over a file system.

    ``user`` is as whom files are written, where that is known: root needs no asking. ``until``
    is told the deadline before each piece of work; ``closers`` run on closing, in order.
    """

    def __init__(
        self,
        target: Target,
        files: Filesystem,
        *,
        user: str | None = None,
        accepted: tuple[AcceptedKey, ...] = (),
        until: Callable[[Deadline], None] = lambda _: None,
        closers: Sequence[Callable[[], object]] = (),
    ) -> None:
        """Take over an open connection."""
        self.accepted = accepted
        self._target = target
        self._files = files
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

    def login(self, deadline: Deadline) -> Login | None:
        """Return as whom files are written here."""
        if self._user == ROOT:
            return Login(0, frozenset({0}))
        self._until(deadline)
        return read_login(self._files)

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

    def write(self, write: Write, owner: str, deadline: Deadline) -> Written:
        """Replace the target as ``write`` says."""
        self._until(deadline)
        return safe_write(self._files, write, owner)

    def close(self) -> None:
        """Close the connection."""
        for closer in self._closers:
            with suppress(Exception):  # nothing that goes wrong now matters any more
                closer()
