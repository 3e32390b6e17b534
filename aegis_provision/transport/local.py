"""Sessions with this machine, for hosts with ``connection: local``: files, commands, requests."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.files.atomic import sync_directory
from aegis_provision.transport.become import (
    become_problem,
    owner_command,
    owner_problem,
    remote_command,
    servers_of,
    started,
)
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.filesystem import (
    Completed,
    FileStat,
    Filesystem,
    FileSystemSpace,
    WriteHandle,
)
from aegis_provision.transport.host_session import ROOT, HostSession, Login, NotAsOwner
from aegis_provision.transport.sftp.client import SftpStream
from aegis_provision.transport.sftp.files import SftpFiles
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.http_messages import (
        Connected,
        HttpFailure,
        HttpRequest,
        HttpResponse,
    )

_EXIT_TIMEOUT = 2.0
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def connect_local(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return a session on this machine. Raises :class:`Unreachable`.

    As another user it speaks SFTP with a server under sudo or doas, as it would on any host.
    """
    servers: list[_Server] = []

    def end() -> None:
        for server in servers:
            server.end()

    def as_owner(uid: int, gid: int, deadline: Deadline) -> Filesystem:
        mark = secrets.token_hex(8)
        command = owner_command(uid, gid, mark, servers_of(target), target.become_method)
        argv = ["/bin/sh", "-c", command]
        try:
            server = _serve(argv, options, deadline)
        except _NotServed as problem:
            raise NotAsOwner(owner_problem(uid, problem.stderr)) from None
        servers.append(server)
        if started(uid, mark) not in server.files.stream.noise:
            raise NotAsOwner(owner_problem(uid, ""))
        return server.files

    files: Filesystem = LocalFiles(options.home)
    user = ROOT if os.geteuid() == 0 else None
    if target.become_user is not None:
        user = target.become_user
        servers.append(_as_user(target, options, deadline))
        files = servers[0].files
    return HostSession(
        target,
        files,
        services=LocalServices(options),
        as_owner=as_owner,
        user=user,
        logged_in=Login(options.login_name),
        closers=[end],
    )


@dataclass(frozen=True, slots=True)
class LocalServices:
    """Commands and HTTP requests on this machine."""

    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of the user who runs the tool."""
        return self.options.login_name

    def run(self, command: str, deadline: Deadline, stdin: bytes = b"") -> CompletedCommand:
        """Run ``command`` as the user who runs the tool."""
        from aegis_provision.transport.commands import run_here

        return run_here(command, self.options.home, deadline, stdin)

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request`` within ``timeout`` seconds."""
        from aegis_provision.transport.http import connect_here, send
        from aegis_provision.transport.http_messages import HttpFailure

        deadline = Deadline.after(timeout)
        connection = connect_here(*request.address, timeout)
        if isinstance(connection, HttpFailure):
            return connection
        return send(connection, request, deadline.remaining())

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        """Connect to where ``request`` would go, and send no request."""
        from aegis_provision.transport.http import connect_here, handshake
        from aegis_provision.transport.http_messages import Connected, HttpFailure

        deadline = Deadline.after(timeout)
        connection = connect_here(*request.address, timeout)
        if isinstance(connection, HttpFailure):
            return connection
        failure = handshake(connection, request, deadline.remaining())
        return failure or Connected(timeout - deadline.remaining())


@dataclass(frozen=True, slots=True)
class _Server:
    """An SFTP server that runs here, at the other end of ``connection``."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    files: SftpFiles

    def end(self) -> None:
        """Close the connection, and wait for the server."""
        self.connection.close()
        _end(self.process)


class _NotServed(Exception):
    """No SFTP server answered. ``stderr`` is what came on its standard error."""

    def __init__(self, stderr: str) -> None:
        super().__init__()
        self.stderr = stderr


def _as_user(target: Target, options: ConnectOptions, deadline: Deadline) -> _Server:
    argv = ["/bin/sh", "-c", remote_command(target, "local")]
    try:
        return _serve(argv, options, deadline)
    except _NotServed as problem:
        raise become_problem(target, options.login_name, problem.stderr) from None


def _serve(argv: list[str], options: ConnectOptions, deadline: Deadline) -> _Server:
    """Return the SFTP server that the command ``argv`` runs.

    Raises :class:`_NotServed`, and ``FileNotFoundError`` where there is no such command.
    """
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            argv,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,  # Ctrl-C stops us, and a write under way is still finished
        )
    except FileNotFoundError:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        with map_errors("sftp"):
            files = SftpFiles(SftpStream(ours, options.timeout, deadline))
            files.start()
    except Unreachable:
        ours.close()
        raise _NotServed(_end(process)) from None
    return _Server(process, ours, files)


def _end(process: subprocess.Popen[bytes]) -> str:
    """Wait for a server whose input is closed, and return its standard error."""
    try:
        _, stderr = process.communicate(timeout=_EXIT_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        _, stderr = process.communicate()
    return stderr.decode(errors="replace")


class LocalFiles(Filesystem):
    """File operations on this machine."""

    def __init__(self, home: Path) -> None:
        """Resolve relative paths from ``home``, as a login would."""
        self._home = home

    @property
    def extensions(self) -> None:
        """Return nothing: there is no SFTP."""
        return

    def set_deadline(self, deadline: Deadline) -> None:
        """Do nothing: files of this machine are not waited for."""

    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path."""
        return str(self._home.absolute() / path)

    def submit_real_path(self, path: str) -> Completed[str]:
        """Resolve all links of an absolute path."""
        return Completed(lambda: os.path.realpath(path))

    def submit_lstat(self, path: str) -> Completed[FileStat]:
        """Stat a file, a link itself if it is one."""
        return Completed(lambda: _stat_of(Path(path).lstat()))

    def submit_stat(self, path: str) -> Completed[FileStat]:
        """Stat a file, following links."""
        return Completed(lambda: _stat_of(Path(path).stat()))

    def submit_space(self, path: str) -> Completed[FileSystemSpace]:
        """Ask what is left on the file system of ``path``."""
        return Completed(lambda: _space_of(os.statvfs(path)))

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        return str(Path(path).readlink())

    def submit_open(self, path: str) -> Completed[LocalReadHandle]:
        """Open a file for reading; never waits for a writer of a pipe."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        return Completed(lambda: LocalReadHandle(os.open(path, flags)))

    def submit_create(self, path: str) -> Completed[LocalWriteHandle]:
        """Make a new file, for its owner alone."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return Completed(lambda: LocalWriteHandle(os.open(path, flags, 0o600)))

    def submit_mkdir(self, path: str, mode: int) -> Completed[None]:
        """Make a directory."""
        return Completed(lambda: Path(path).mkdir(mode))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        Path(path).rmdir()

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        with _directory(path) as descriptor:
            os.fchmod(descriptor, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        with _directory(path) as descriptor:
            os.fchown(descriptor, uid, gid)

    def submit_replace(self, source: str, target: str) -> Completed[None]:
        """Rename atomically, over what is there."""

        def rename() -> None:
            Path(source).replace(target)
            sync_directory(Path(target).parent)

        return Completed(rename)

    def submit_rename(self, source: str, target: str) -> Completed[None]:
        """Rename unless something is there."""

        def rename() -> None:
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError as problem:
                if problem.errno not in _NO_LINKS or os.path.lexists(target):
                    raise
                Path(source).rename(target)  # as OpenSSH does where a file system has no links
            else:
                Path(source).unlink()
            sync_directory(Path(target).parent)

        return Completed(rename)

    def submit_remove(self, path: str) -> Completed[None]:
        """Remove a file."""
        return Completed(lambda: Path(path).unlink())


class LocalReadHandle:
    """A file that is open for reading."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        self._descriptor = descriptor

    def submit_whole(self, limit: int) -> Completed[tuple[FileStat, bytes]]:
        """Read the file and close it."""

        def read() -> tuple[FileStat, bytes]:
            with os.fdopen(self._descriptor, "rb") as stream:
                return _stat_of(os.fstat(stream.fileno())), stream.read(limit)

        return Completed(read)


class LocalWriteHandle(WriteHandle):
    """A new file that is open for writing."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Close the file, unless it is closed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def close_nowait(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self.close()

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written."""
        os.utime(self._open(), (mtime, mtime))

    def submit_write(self, data: bytes) -> Completed[None]:
        """Write all of ``data``."""

        def write() -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(self._open(), view) :]

        return Completed(write)

    def submit_stat(self) -> Completed[FileStat]:
        """Return the open file's stat."""
        return Completed(lambda: _stat_of(os.fstat(self._open())))

    def submit_chown(self, uid: int, gid: int) -> Completed[None]:
        """Change the open file's owner."""
        return Completed(lambda: os.fchown(self._open(), uid, gid))

    def submit_chmod(self, mode: int) -> Completed[None]:
        """Change the open file's permission bits."""
        return Completed(lambda: os.fchmod(self._open(), mode))

    def submit_sync(self) -> Completed[None]:
        """Bring the content to the disk."""
        return Completed(lambda: os.fsync(self._open()))

    def submit_close(self) -> Completed[None]:
        """Close the file."""
        return Completed(self.close)

    def _open(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor


@contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _space_of(found: os.statvfs_result) -> FileSystemSpace:
    return FileSystemSpace(
        free=found.f_bfree * found.f_frsize,
        available=found.f_bavail * found.f_frsize,
        files=found.f_favail if found.f_files else None,
        free_files=found.f_ffree if found.f_files else None,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def _stat_of(found: os.stat_result) -> FileStat:
    return FileStat(found.st_mode, found.st_uid, found.st_gid, found.st_size, int(found.st_mtime))
