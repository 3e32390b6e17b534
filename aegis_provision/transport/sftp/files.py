"""File operations over SFTP."""

from __future__ import annotations

import errno
import os
import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from aegis_provision.errors import Unreachable
from aegis_provision.transport.filesystem import (
    Completed,
    Filesystem,
    RenameNotAllowedError,
    RenameNotOfferedError,
    WriteHandle,
)
from aegis_provision.transport.sftp import packets
from aegis_provision.transport.sftp.client import Reply, SftpClient
from aegis_provision.transport.sftp.packets import string

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.filesystem import FileStat, FileSystemSpace, Future
    from aegis_provision.transport.sftp.client import SftpStream

T = TypeVar("T")

_SYNC = "fsync@openssh.com"
_CHUNK = 32 * 1024  # what every server takes, and answers, in one packet


class SftpFiles(Filesystem):
    """File operations on the far side of SFTP.

    The server may be ended and started again between two operations (see :meth:`ended`).
    """

    def __init__(self, stream: SftpStream) -> None:
        """Greet the server; what is submitted before :meth:`start` goes with the greeting."""
        self.running = SftpClient(stream)
        self._start: Callable[[Deadline], SftpFiles] | None = None
        self.stream = stream

    def start(self) -> None:
        """Wait for the greeting. Raises ``EOFError`` and ``OSError`` if no SFTP server answers."""
        self.running.start()

    @property
    def _client(self) -> SftpClient:
        if self._start is not None:
            again = self._start(self.stream.deadline)
            self.running, self.stream, self._start = again.running, again.stream, None
        return self.running

    @property
    def extensions(self) -> frozenset[str]:
        """Return the extensions that the server announces."""
        return self.running.extensions

    def set_deadline(self, deadline: Deadline) -> None:
        """Bound what comes from now on."""
        self.stream.deadline = deadline

    def ended(self, start: Callable[[Deadline], SftpFiles]) -> None:
        """Take note that the server has ended; ``start`` gives those of the next one.

        It is called for the next operation, and raises :class:`Unreachable`. Files that were open
        are lost: what is asked of them fails as over a lost connection.
        """
        self._start = start

    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path; a relative one begins at the login directory."""
        if path.startswith("/"):
            return path
        directory = Reply(self._client, packets.read_name, packets.REALPATH, string(b".")).get()
        try:
            return posixpath.join(directory.decode(), path)
        except UnicodeDecodeError:
            raise Unreachable("sftp", "the host names a path that is not UTF-8", "") from None

    def submit_real_path(self, path: str) -> Reply[str]:
        """Ask for an absolute path with all its links resolved."""

        def read(kind: int, body: bytes) -> str:
            return packets.read_name(kind, body).decode(errors="surrogateescape")

        return Reply(self._client, read, packets.REALPATH, string(path.encode()))

    def submit_lstat(self, path: str) -> Reply[FileStat]:
        """Ask for a file's stat, a link's own if it is one."""
        return Reply(self._client, packets.read_stat, packets.LSTAT, string(path.encode()))

    def submit_stat(self, path: str) -> Reply[FileStat]:
        """Ask for a file's stat, following links."""
        return Reply(self._client, packets.read_stat, packets.STAT, string(path.encode()))

    def submit_space(self, path: str) -> Reply[FileSystemSpace]:
        """Ask what is left on the file system of ``path`` (OpenSSH's extension)."""
        parts = string(b"statvfs@openssh.com") + string(path.encode())
        return Reply(self._client, packets.read_space, packets.EXTENDED, parts)

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        reply = Reply(self._client, packets.read_name, packets.READLINK, string(path.encode()))
        return reply.get().decode(errors="replace")

    def submit_open(self, path: str) -> Reply[SftpReadHandle]:
        """Ask to open a file for reading."""

        def opened(kind: int, body: bytes) -> SftpReadHandle:
            return SftpReadHandle(self._client, packets.read_handle(kind, body))

        parts = string(path.encode()), packets.uint32(packets.FOR_READING), packets.NO_ATTRIBUTES
        return Reply(self._client, opened, packets.OPEN, b"".join(parts))

    def submit_create(self, path: str) -> Future[SftpWriteHandle]:
        """Ask for a new file."""

        def made(kind: int, body: bytes) -> SftpWriteHandle:
            return SftpWriteHandle(self._client, packets.read_handle(kind, body))

        # With a mode: without one the server would take its umask's.
        parts = string(path.encode()), packets.uint32(packets.TO_MAKE), packets.with_mode(0o600)
        return self._create_reply(path, Reply(self._client, made, packets.OPEN, b"".join(parts)))

    def submit_mkdir(self, path: str, mode: int) -> Reply[None]:
        """Ask for a directory. If something is there the error is any ``OSError``."""
        return self._send(packets.MKDIR, string(path.encode()) + packets.with_mode(mode))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._send(packets.RMDIR, string(path.encode())).get()

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        self._set_unfollowed(path, packets.with_mode(mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        self._set_unfollowed(path, packets.with_owner(uid, gid))

    def submit_replace(self, source: str, target: str) -> Future[None]:
        """Ask to rename atomically (OpenSSH's extension: the protocol replaces nothing)."""
        parts = b"posix-rename@openssh.com", source.encode(), target.encode()
        reply = self._send(packets.EXTENDED, b"".join(map(string, parts)))
        return _HandledReply(reply, _explain_rename)

    def submit_rename(self, source: str, target: str) -> Future[None]:
        """Ask to rename unless something is there, as plain SFTP renames do."""
        reply = self._send(packets.RENAME, string(source.encode()) + string(target.encode()))
        return self._create_reply(target, reply)

    def submit_remove(self, path: str) -> Reply[None]:
        """Ask to remove a file."""
        return self._send(packets.REMOVE, string(path.encode()))

    def _send(self, kind: int, body: bytes) -> Reply[None]:
        return Reply(self._client, packets.read_done, kind, body)

    def _set_unfollowed(self, path: str, attributes: bytes) -> None:
        # OpenSSH's extension, since its version 8.0: the protocol's own way follows links.
        parts = string(b"lsetstat@openssh.com"), string(path.encode()), attributes
        self._send(packets.EXTENDED, b"".join(parts)).get()

    def _create_reply(self, path: str, reply: Reply[T]) -> Future[T]:
        """Tell "exists" apart, which protocol version 3 can't: it says "failure"."""

        def explain(problem: OSError) -> NoReturn:
            if problem.errno is None:
                with suppress(OSError):
                    self.lstat(path)
                    problem = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            raise problem from None

        return _HandledReply(reply, explain)


class _HandledReply(Generic[T]):
    """A reply whose ``OSError`` is handled: replaced by a result, or by another error."""

    def __init__(self, reply: Reply[T], handle: Callable[[OSError], T]) -> None:
        self._reply = reply
        self._handle = handle

    def get(self) -> T:
        try:
            return self._reply.get()
        except OSError as problem:
            return self._handle(problem)


def _ignore_unsupported(problem: OSError) -> None:
    if problem.errno != errno.EOPNOTSUPP:
        raise problem


def _explain_rename(problem: OSError) -> NoReturn:
    if isinstance(problem, PermissionError):
        raise RenameNotAllowedError(problem.errno, problem.strerror) from None
    if problem.errno == errno.EOPNOTSUPP:
        raise RenameNotOfferedError(problem.errno, problem.strerror) from None
    raise problem


class SftpReadHandle:
    """A file on the far side, open for reading."""

    def __init__(self, client: SftpClient, open_file: bytes) -> None:
        """Take over an open file by its handle."""
        self._client = client
        self._handle = open_file

    def submit_whole(self, limit: int) -> _WholeReply:
        """Ask for the file's stat and content; ``get()`` closes the file."""
        stat_reply = Reply(self._client, packets.read_stat, packets.FSTAT, string(self._handle))
        return _WholeReply(stat_reply, self._client, self._handle, limit)


class _WholeReply:
    """A file's stat and its content, of which the first piece is asked for at once.

    A short piece is the last one of a regular file (draft-ietf-secsh-filexfer-02, section 6.4), so
    a small file takes one request and not two. Where the file's size says that more is to come, a
    server sends shorter pieces than it should, and is asked on.
    """

    def __init__(
        self, stat: Reply[FileStat], client: SftpClient, open_file: bytes, limit: int
    ) -> None:
        self._stat = stat
        self._client = client
        self._handle = open_file
        self._limit = limit
        self._first = self._send(0)

    def _send(self, offset: int) -> Reply[bytes]:
        size = min(self._limit - offset, _CHUNK)
        parts = string(self._handle) + packets.uint64(offset) + packets.uint32(size)
        return Reply(self._client, _read_piece, packets.READ, parts)

    def get(self) -> tuple[FileStat, bytes]:
        try:
            content = piece = self._first.get()
            found = self._stat.get()
            while piece and len(content) < self._limit:
                if len(piece) < _CHUNK and len(content) >= found.size:
                    break
                piece = self._send(len(content)).get()
                content += piece
        finally:
            self._client.send(packets.CLOSE, string(self._handle))
        return found, content


class SftpWriteHandle(WriteHandle):
    """A new file on the far side, open for writing."""

    def __init__(self, client: SftpClient, open_file: bytes) -> None:
        """Take over an open file by its handle."""
        self._client = client
        self._handle = open_file
        self._closed = False

    def close(self) -> None:
        """Close the file, unless it is closed."""
        if not self._closed:
            self.submit_close().get()

    def close_nowait(self) -> None:
        """Close the file without waiting for the reply."""
        if not self._closed:
            self._closed = True
            self._client.send(packets.CLOSE, string(self._handle))

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written."""
        self._send(packets.FSETSTAT, packets.with_time(mtime)).get()

    def submit_write(self, data: bytes) -> _AllReplies:
        """Ask to write all of ``data``, at the beginning of the file."""
        return _AllReplies(
            [
                self._send(packets.WRITE, packets.uint64(at) + string(data[at : at + _CHUNK]))
                for at in range(0, len(data), _CHUNK)
            ]
        )

    def submit_stat(self) -> Reply[FileStat]:
        """Ask for the open file's stat."""
        return Reply(self._client, packets.read_stat, packets.FSTAT, string(self._handle))

    def submit_chown(self, uid: int, gid: int) -> Reply[None]:
        """Ask to change the open file's owner."""
        return self._send(packets.FSETSTAT, packets.with_owner(uid, gid))

    def submit_chmod(self, mode: int) -> Reply[None]:
        """Ask to change the open file's permission bits."""
        return self._send(packets.FSETSTAT, packets.with_mode(mode))

    def submit_sync(self) -> Future[None]:
        """Ask for fsync (OpenSSH's extension); a server without it is no failure.

        It is not asked where it is not announced: what sshd denies (sftp-server -P) it does not
        announce either, and answers that there is no permission.
        """
        if _SYNC not in self._client.extensions:
            return Completed(lambda: None)
        parts = string(_SYNC.encode()) + string(self._handle)
        reply = Reply(self._client, packets.read_done, packets.EXTENDED, parts)
        return _HandledReply(reply, _ignore_unsupported)

    def submit_close(self) -> Reply[None]:
        """Ask to close the file."""
        self._closed = True
        return self._send(packets.CLOSE)

    def _send(self, kind: int, rest: bytes = b"") -> Reply[None]:
        """Ask for an operation on the open file."""
        return Reply(self._client, packets.read_done, kind, string(self._handle) + rest)


class _AllReplies:
    def __init__(self, replies: Sequence[Reply[None]]) -> None:
        self._replies = replies

    def get(self) -> None:
        for reply in self._replies:
            reply.get()


def _read_piece(kind: int, body: bytes) -> bytes:
    try:
        return packets.read_data(kind, body)
    except EOFError:
        return b""
