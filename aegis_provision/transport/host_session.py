"""An open session with one host: how it reads, locks, and keeps root off foreign paths."""

from __future__ import annotations

import errno
import posixpath
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from aegis_provision.aegis.remote_state import ReadProblem, RemoteState, RemoteUser
from aegis_provision.errors import Unreachable, WriteRefused
from aegis_provision.planning.host_plan import NO_RENAME, RENAME_EXTENSION, UNSAFE_DIRECTORY
from aegis_provision.transport.data_dir import ByPath, seen_right
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.file_attributes import attributes_command, parse_attributes
from aegis_provision.transport.lock import read_lock, take_lock
from aegis_provision.transport.path_owners import OwnersQuery
from aegis_provision.transport.remote_read import (
    StateQuery,
    absolute_path,
    read_login,
    read_previous,
    read_searched,
)
from aegis_provision.transport.temporary_directory import (
    is_gone,
    make_temporary_directory,
    remove_temporary_directory,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.aegis.file_in_use import SearchedFile
    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.filesystem import (
        FileStat,
        Filesystem,
        FileSystemSpace,
        Future,
    )
    from aegis_provision.transport.http_messages import (
        Connected,
        HttpFailure,
        HttpRequest,
        HttpResponse,
    )
    from aegis_provision.transport.lock import FoundLock, LockOwner, WriteLock
    from aegis_provision.transport.path_owners import PathOwners
    from aegis_provision.transport.retry import OnRetry
    from aegis_provision.transport.temporary_directory import TemporaryDirectory

Connect: TypeAlias = "Callable[[Target, ConnectOptions, Deadline, OnRetry], HostSession]"
"""Connects to a target before a deadline and logs in, and tells what it tries again.

Raises :class:`Unreachable`.
"""

ROOT = "root"
_ATTRIBUTES_WITHIN = 5.0
_NO_ONE_USER = "there is no one user as whom to work there"
_ROOTS = RemoteUser(0, frozenset({0}))


class RemoteServices(Protocol):
    """Commands on a host, and HTTP requests from its point of view."""

    @property
    def login(self) -> str:
        """Return the name of the user as whom commands run."""
        ...

    def run(self, command: str, deadline: Deadline, stdin: bytes = b"") -> CompletedCommand:
        """Run ``command`` by /bin/sh, with ``stdin`` to read. Raises :class:`Unreachable`."""
        ...

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request`` within ``timeout`` seconds. Raises :class:`Unreachable`."""
        ...

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        """Connect to where ``request`` would go, TLS included, and send no request.

        Raises :class:`Unreachable`.
        """
        ...


class Idle(Protocol):
    """What sees to a connection that waits to be used again."""

    def rest(self) -> None:
        """Begin to see to it. Raises ``OSError`` and ``RuntimeError`` where that can't be."""
        ...

    def wake(self) -> None:
        """See to it no more."""
        ...


class NotAsOwner(Exception):
    """The SFTP server could not run as a directory's owner; the text says why."""


@dataclass(frozen=True, slots=True)
class Login:
    """How a session came about: as which user, with which key, through which bastions.

    ``key`` is empty on this machine.
    """

    user: str = ""
    key: str = ""
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Questions:
    """What is asked first of a target: who can change where it leads, and what is there."""

    path: str
    owners: OwnersQuery | None
    state: StateQuery


class HostSession:
    """An open connection to one host; only one thread may use it at a time.

    ``services`` run commands and HTTP requests. ``user`` is the user who reads and writes files,
    if that is known: for root the host is not asked. Root works by path only if no one else can
    change what the path leads to, unless the target says otherwise; else the files are those of the
    directory's owner: ``as_owner(uid, gid, deadline)`` returns them, with ``gid`` for a user whom
    the host does not know, or raises :class:`NotAsOwner`. ``closers`` run on closing, in
    order. ``idle`` sees to the connection while it is not used, and ``open_files`` is how many of
    this process's files it takes.

    Every method but ``alive`` and ``close`` raises :class:`Unreachable` if the connection is lost.
    """

    def __init__(
        self,
        target: Target,
        files: Filesystem,
        *,
        services: RemoteServices,
        as_owner: Callable[[int, int, Deadline], Filesystem],
        user: str | None = None,
        logged_in: Login = Login(),  # noqa: B008 - a value
        accepted: tuple[AcceptedKey, ...] = (),
        closers: Sequence[Callable[[], object]] = (),
        idle: Idle | None = None,
        open_files: int = 0,
    ) -> None:
        """Take over an open connection."""
        self.accepted = accepted
        self.open_files = open_files
        self._idle = idle
        self.logged_in = logged_in
        self._target = target
        self._files = files
        self._services = services
        self._as_owner = as_owner
        self._login = _ROOTS if user == ROOT else None
        self._login_asked = user == ROOT
        self._trusted = target.trust_directory
        self._refusal: WriteRefused | None = None
        self._for_root = False
        self._ahead: _Questions | None = None
        self._data_dirs: dict[str, Future[FileStat]] = {}
        self._closers = closers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_ahead(self) -> None:
        """Ask what :meth:`read` begins with, and wait for nothing."""
        path = self._target.config_path
        if posixpath.isabs(path):
            self._ahead = self._ask(path)

    def read(self, deadline: Deadline, path: str | None = None) -> RemoteState:
        """Read the target and what surrounds it; ``path`` is another one than the inventory's."""
        self._files.set_deadline(deadline)
        if path is None:
            path = absolute_path(self._files, self._target)
        asked, self._ahead = self._ahead, None
        if asked is None or asked.path != path:
            asked = self._ask(path)
        owners, state = asked.owners, asked.state
        try:
            if self._keep_root_out(owners, deadline):
                state = self._ask_state(path)
        except WriteRefused as refusal:
            return RemoteState(path, problem=ReadProblem.UNSAFE_DIRECTORY, detail=refusal.reason)
        found = state.get()
        self._data_dirs[path] = state.data_dir
        if not self._login_asked:
            self._login, self._login_asked = found.login, True
        return replace(
            found, login=self._login, for_root=self._for_root, can_rename=self._can_rename
        )

    def _ask(self, path: str) -> _Questions:
        return _Questions(path, self._submit_owners(path), self._ask_state(path))

    def _ask_state(self, path: str) -> StateQuery:
        via = self._target.read_via
        return StateQuery(self._files, path, via, ask_login=not self._login_asked)

    def previous(self, path: str, deadline: Deadline) -> bytes | None:
        """Return the file that is kept beside the target at ``path``, ``None`` if there is none."""
        self._files.set_deadline(deadline)
        try:
            self._keep_root_out(self._submit_owners(path), deadline)
        except WriteRefused:
            return None
        return read_previous(self._files, path)

    def login(self, deadline: Deadline) -> RemoteUser | None:
        """Return the user who writes files here, ``None`` if the host does not tell."""
        if not self._login_asked:
            self._files.set_deadline(deadline)
            self._login, self._login_asked = read_login(self._files), True
        return self._login

    def searched(self, paths: Sequence[str], deadline: Deadline) -> tuple[SearchedFile, ...]:
        """Return what lies at the absolute ``paths`` that Aegis looks at.

        Raises :class:`Unreachable`.
        """
        self._files.set_deadline(deadline)
        closed = self._closed_directories(paths, deadline)
        return read_searched(self._files, paths, closed)

    def _closed_directories(self, paths: Sequence[str], deadline: Deadline) -> frozenset[str]:
        """Return the directories of ``paths`` in which no file may be opened.

        They are those that users other than root can change. Where one such user has all of them,
        and the target's directory is not known yet, the files are that user's from now on.
        """
        if not self._is_root or self._target.trust_directory:
            return frozenset()
        directories = dict.fromkeys(posixpath.dirname(path) for path in paths)
        queries = {directory: OwnersQuery(self._files, directory) for directory in directories}
        owners = {directory: query.get() for directory, query in queries.items()}
        others = {directory: found for directory, found in owners.items() if not found.only_root}
        users = {found.only_user for found in others.values()}
        if not self._trusted and len(users) == 1:
            with suppress(NotAsOwner):
                self._work_as(next(iter(others.values())), deadline)
                return frozenset()
        return frozenset(others)

    def rest(self) -> bool:
        """Let the connection wait to be used again; tell whether it can. Never raises."""
        try:
            if self._idle is not None:
                self._idle.rest()
        except (OSError, RuntimeError):
            return False
        return True

    def wake(self) -> None:
        """Take a connection that rests into use again."""
        if self._idle is not None:
            self._idle.wake()

    def alive(self, deadline: Deadline) -> bool:
        """Tell whether the connection still answers; never raises."""
        self._files.set_deadline(deadline)
        try:
            self._files.stat("/")
        except Unreachable:
            return False
        except OSError:
            return True
        return True

    @property
    def extensions(self) -> frozenset[str] | None:
        """Return the extensions of SFTP that the host announces, ``None`` on this machine."""
        return self._files.extensions

    def space(self, path: str, deadline: Deadline) -> FileSystemSpace | None:
        """Return what is left where ``path`` lies, ``None`` if the host does not tell."""
        self._files.set_deadline(deadline)
        try:
            return self._files.submit_space(posixpath.dirname(path)).get()
        except OSError:
            return None

    def attributes(self, paths: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
        """Return what lsattr(1) says of the absolute ``paths``, nothing where it can't be asked.

        The login asks, within a few seconds. Raises :class:`Unreachable`.
        """
        limit = Deadline.after(min(_ATTRIBUTES_WITHIN, deadline.remaining()))
        try:
            end = self._services.run(attributes_command(paths), limit)
        except Unreachable:
            if not self.alive(deadline):
                raise
            return {}
        return parse_attributes(end.output, paths)

    def _read_attributes(self, paths: Sequence[str]) -> Mapping[str, str]:
        return self.attributes(paths, Deadline.after(_ATTRIBUTES_WITHIN))

    def found_lock(self, path: str, deadline: Deadline) -> FoundLock | ReadProblem | None:
        """Return the lock beside the target at ``path``, ``None`` if there is none.

        A :class:`ReadProblem` says that it can't be told.
        """
        self._files.set_deadline(deadline)
        try:
            self._keep_root_out(self._submit_owners(path), deadline)
            return read_lock(self._files, path)
        except WriteRefused:
            return ReadProblem.UNSAFE_DIRECTORY
        except OSError:
            return ReadProblem.PERMISSION_DENIED

    def lock(
        self,
        write: Write,
        owner: LockOwner,
        deadline: Deadline,
        *,
        previous: WriteLock | None = None,
    ) -> WriteLock:
        """Take the lock beside the target of ``write``; the lock's file names ``owner``.

        ``previous`` is a lock that was taken over a connection now lost: it counts as ours. Raises
        :class:`WriteRefused`.
        """
        self.login(deadline)  # root may log in under another name
        self._files.set_deadline(deadline)
        if self._keep_root_out(self._submit_owners(write.path), deadline):
            self.login(deadline)
        if self._for_root and self._is_root:
            raise _unsafe("the SFTP server runs as root, though it was started as another user")
        if not self._can_rename:
            raise WriteRefused("prepare", *NO_RENAME)
        rebound = previous.rebind(self._files) if previous else None
        seen, by_path = self._data_dirs.get(write.path), self._by_path()
        return rebound or take_lock(
            self._files,
            write,
            owner,
            by_path,
            self._read_attributes,
            at_once=seen is not None and seen_right(seen, write.uid, by_path),
        )

    def make_directory(
        self, parent: str, user: int | None, deadline: Deadline
    ) -> TemporaryDirectory:
        """Make a directory in the absolute path ``parent``, for the user with the uid ``user``.

        ``None`` is a user who is not known. Where others could exchange what root makes there, root
        works as the one user who has ``parent``, from then on. Raises ``OSError``.
        """
        self._leave_root(parent, deadline)
        return make_temporary_directory(self._files, parent, user)

    def remove_directory(self, path: str, deadline: Deadline) -> bool:
        """Remove a directory that :meth:`make_directory` made; return whether it is gone."""
        try:
            self._leave_root(path, deadline)
        except PermissionError:
            return is_gone(self._files, path)
        return remove_temporary_directory(self._files, path)

    def _leave_root(self, directory: str, deadline: Deadline) -> None:
        """Let root be the one user who has ``directory``, if others can exchange what is in it.

        Raises ``PermissionError`` if there is no such user.
        """
        self.login(deadline)
        self._files.set_deadline(deadline)
        if not self._is_root:
            return
        owners = OwnersQuery(self._files, directory).get()
        if owners.only_root or self._is_sticky(directory, owners):
            return
        try:
            self._work_as(owners, deadline)
        except NotAsOwner as problem:
            raise PermissionError(errno.EACCES, f"{owners.description}, and {problem}") from None

    def _is_sticky(self, directory: str, owners: PathOwners) -> bool:
        """Tell whether others may do no more than make entries of their own in ``directory``.

        In a sticky directory only its owner, root here, moves an entry of root's, see inode(7).
        """
        try:
            if owners.uids or owners.open_at != self._files.submit_real_path(directory).get():
                return False
            return bool(self._files.stat(directory).mode & stat.S_ISVTX)
        except OSError:
            return False

    @property
    def login_name(self) -> str:
        """Return the name of the login, which runs the commands."""
        return self._services.login

    def run(self, command: str, deadline: Deadline, stdin: bytes = b"") -> CompletedCommand:
        """Run ``command`` by /bin/sh, as the login; ``stdin`` is what it can read.

        What is long goes there: dropbear ends the connection over a command of more than 9000
        bytes.
        """
        return self._on_host().run(command, deadline, stdin)

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send an HTTP request from the host's point of view."""
        return self._on_host().request(request, timeout)

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        """Connect from the host to where ``request`` would go, TLS included; send no request."""
        return self._on_host().try_connection(request, timeout)

    def _on_host(self) -> RemoteServices:
        """Return what runs commands, which may end the SFTP server and what it was asked ahead."""
        self._ahead = None
        return self._services

    @property
    def _can_rename(self) -> bool:
        """Tell whether a file can be replaced here; a server says in its greeting what it can."""
        extensions = self._files.extensions
        return extensions is None or RENAME_EXTENSION in extensions

    @property
    def _is_root(self) -> bool:
        return self._login is not None and self._login.uid == _ROOTS.uid

    def _by_path(self) -> ByPath:
        if not self._is_root:
            return ByPath.IF_OWN
        return ByPath.NEVER if self._target.trust_directory else ByPath.AS_ROOT

    def _submit_owners(self, path: str) -> OwnersQuery | None:
        """Ask who can change what ``path`` leads to, if that matters and is not known yet."""
        if self._trusted or self._refusal is not None or not self._is_root:
            return None
        return OwnersQuery(self._files, posixpath.dirname(path))

    def _keep_root_out(self, query: OwnersQuery | None, deadline: Deadline) -> bool:
        """Make sure that root does not work where another user can change what a path leads to.

        ``query`` says who can. Returns whether the files are now another user's, the directory's
        owner's. Raises :class:`WriteRefused` if there is no one user to work as.
        """
        if self._refusal is not None:
            raise self._refusal
        if query is None:
            return False
        owners = query.get()
        if owners.only_root:
            self._trusted = True
            return False
        try:
            self._work_as(owners, deadline)
        except NotAsOwner as problem:
            self._refusal = _unsafe(f"{owners.description}, and {problem}")
            raise self._refusal from None
        return True

    def _work_as(self, owners: PathOwners, deadline: Deadline) -> None:
        """Let the files be those of the one user in ``owners``. Raises :class:`NotAsOwner`."""
        if owners.only_user is None:
            raise NotAsOwner(_NO_ONE_USER)
        self._files = self._as_owner(owners.only_user, owners.gid, deadline)
        self._login, self._login_asked = None, False
        self._trusted = self._for_root = True

    def close(self) -> None:
        """Close the connection, also one that rests; never raises, never blocks for long."""
        self.wake()
        for closer in self._closers:
            with suppress(Exception):  # it is closed either way
                closer()


def _unsafe(words: str) -> WriteRefused:
    return WriteRefused("prepare", words, UNSAFE_DIRECTORY[1])
