"""An open session to one host, whatever is behind it."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from aegis_provision.aegis.remote_state import ReadProblem, RemoteState, RemoteUser
from aegis_provision.errors import Unreachable, WriteRefused
from aegis_provision.planning.host_plan import UNSAFE_DIRECTORY
from aegis_provision.transport.data_dir import ByPath
from aegis_provision.transport.path_owners import AskedOwners
from aegis_provision.transport.remote_read import (
    AskedActual,
    absolute_path,
    read_login,
    read_previous,
    read_receipt,
    read_receipt_and_login,
)
from aegis_provision.transport.write_lock import lock_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.plan import Write
    from aegis_provision.planning.receipts import FoundReceipt
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.path_owners import PathOwners
    from aegis_provision.transport.protocol import (
        AcceptedKey,
        Deadline,
        HostSession,
        WriteLock,
        WriteResult,
    )
    from aegis_provision.transport.write_lock import FileLock

ROOT = "root"
_NO_ONE_USER = "there is no one user as whom to work there"
_ROOTS = RemoteUser(0, frozenset({0}))


class RemoteServices(Protocol):
    """Commands on a host, and HTTP questions asked from where it is."""

    @property
    def login(self) -> str:
        """Return the name of the user as whom commands run."""
        ...

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` by /bin/sh. Raises :class:`Unreachable`."""
        ...

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask within ``timeout`` seconds. Raises :class:`Unreachable`."""
        ...


class NotAsOwner(Exception):
    """The SFTP server could not be run as a directory's owner; the text says why."""


class AsOwner(Protocol):
    """Runs the SFTP server as a user of the host's."""

    def __call__(self, uid: int, gid: int, deadline: Deadline) -> Filesystem:
        """Return that user's files; ``gid`` is the group of a user whom the host does not know.

        Raises :class:`NotAsOwner` and :class:`Unreachable`.
        """
        ...


class FileSession:
    """A :class:`~aegis_provision.transport.protocol.HostSession` over a file system.

    ``ways`` are the ways into the host that are no files.
    ``user`` is as whom files are read and written, where that is known: root needs no asking. Root
    works by path only where no one else can change what a path leads to, unless the target says
    otherwise; elsewhere the files are those that ``as_owner`` returns. ``until``
    is told the deadline before each piece of work; ``closers`` run on closing, in order.
    """

    def __init__(
        self,
        target: Target,
        files: Filesystem,
        *,
        ways: RemoteServices,
        as_owner: AsOwner,
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
        self._as_owner = as_owner
        self._login = _ROOTS if user == ROOT else None
        self._settled = target.trust_directory
        self._refusal: WriteRefused | None = None
        self._for_root = False
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

    def read(self, deadline: Deadline) -> RemoteState:
        """Read the target and what surrounds it."""
        self._until(deadline)
        path = absolute_path(self._files, self._target)
        asked = self._ask_owners(path)
        read = AskedActual(self._files, path, self._target.read_via)
        try:
            if self._settle(asked, deadline):
                read = AskedActual(self._files, path, self._target.read_via)
        except WriteRefused as refusal:
            return RemoteState(path, problem=ReadProblem.UNSAFE_DIRECTORY, detail=refusal.reason)
        return replace(read.get(), for_root=self._for_root)

    def previous(self, path: str, deadline: Deadline) -> bytes | None:
        """Return the file that is kept beside the target at ``path``."""
        self._until(deadline)
        try:
            self._settle(self._ask_owners(path), deadline)
        except WriteRefused:
            return None
        return read_previous(self._files, path)

    def receipt(self, path: str, deadline: Deadline) -> FoundReceipt:
        """Return what lies where the receipt of the target at ``path`` would be."""
        self._until(deadline)
        try:
            self._settle(self._ask_owners(path), deadline)
        except WriteRefused:
            return ReadProblem.UNSAFE_DIRECTORY
        return read_receipt(self._files, path)

    def login(self, deadline: Deadline) -> RemoteUser | None:
        """Return as whom files are written here."""
        if self._login is None:
            self._until(deadline)
            self._login = read_login(self._files)
        return self._login

    def receipt_and_login(
        self, path: str, deadline: Deadline
    ) -> tuple[FoundReceipt, RemoteUser | None]:
        """Return what :meth:`receipt` and :meth:`login` do, asked for at one go."""
        if self._login is not None:
            return self.receipt(path, deadline), self._login
        self._until(deadline)
        found, self._login = read_receipt_and_login(self._files, path)
        return found, self._login

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
        self, write: Write, owner: str, deadline: Deadline, *, again: WriteLock | None = None
    ) -> WriteLock:
        """Take the lock beside the target of ``write``."""
        self.login(deadline)  # root may log in under another name
        self._until(deadline)
        if self._settle(self._ask_owners(write.path), deadline):
            self.login(deadline)
        if self._for_root and self._is_root:
            raise _unsafe("the SFTP server runs as root, though it was started as another user")
        held = again.hold.rebind(self._files) if isinstance(again, _SessionLock) else None
        hold = held or lock_target(self._files, write, owner, self._by_path())
        return _SessionLock(self, hold, self._until)

    @property
    def login_name(self) -> str:
        """Return the name of the login, as whom commands run."""
        return self._ways.login

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` by /bin/sh, as the login."""
        return self._ways.run(command, deadline)

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask an HTTP question as if from the host."""
        return self._ways.ask(question, timeout)

    @property
    def _is_root(self) -> bool:
        return self._login is not None and self._login.uid == _ROOTS.uid

    def _by_path(self) -> ByPath:
        if not self._is_root:
            return ByPath.IF_OWN
        return ByPath.NEVER if self._target.trust_directory else ByPath.AS_ROOT

    def _ask_owners(self, path: str) -> AskedOwners | None:
        """Ask who can change the way to ``path``, where that matters and is not known yet."""
        if self._settled or self._refusal is not None or not self._is_root:
            return None
        return AskedOwners(self._files, posixpath.dirname(path))

    def _settle(self, asked: AskedOwners | None, deadline: Deadline) -> bool:
        """See to it that root does not work where another user can change the way.

        ``asked`` says who can. Returns whether the files are other ones now, the directory's
        owner's. Raises :class:`WriteRefused` where there is none for that.
        """
        if self._refusal is not None:
            raise self._refusal
        if asked is None:
            return False
        owners = asked.get()
        if owners.only_root:
            self._settled = True
            return False
        try:
            self._files = self._files_of(owners, deadline)
        except NotAsOwner as problem:
            self._refusal = _unsafe(f"{owners.words}, and {problem}")
            raise self._refusal from None
        self._login = None
        self._settled = self._for_root = True
        return True

    def _files_of(self, owners: PathOwners, deadline: Deadline) -> Filesystem:
        if owners.only_user is None:
            raise NotAsOwner(_NO_ONE_USER)
        return self._as_owner(owners.only_user, owners.gid, deadline)

    def close(self) -> None:
        """Close the connection."""
        for closer in self._closers:
            with suppress(Exception):  # nothing that goes wrong now matters any more
                closer()


def _unsafe(words: str) -> WriteRefused:
    return WriteRefused("prepare", words, UNSAFE_DIRECTORY[1])


class _SessionLock:
    """A :class:`~aegis_provision.transport.protocol.WriteLock` over a session."""

    def __init__(
        self, session: HostSession, hold: FileLock, until: Callable[[Deadline], None]
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

    def write(self, write: Write, deadline: Deadline) -> WriteResult:
        """Replace the target as ``write`` says, or take it away."""
        self._until(deadline)
        return self.hold.write(write)

    def release(self, deadline: Deadline) -> tuple[str, ...]:
        """Give the lock back."""
        self._until(deadline)
        return self.hold.release()
