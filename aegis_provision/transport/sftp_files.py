"""File operations over SFTP."""

from __future__ import annotations

import errno
import os
import posixpath
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from paramiko.sftp import (
    CMD_CLOSE,
    CMD_EXTENDED,
    CMD_FSETSTAT,
    CMD_FSTAT,
    CMD_LSTAT,
    CMD_MKDIR,
    CMD_OPEN,
    CMD_REMOVE,
    CMD_RENAME,
    CMD_RMDIR,
    CMD_STAT,
    CMD_WRITE,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_READ,
    SFTP_FLAG_WRITE,
    int64,
)
from paramiko.sftp_attr import SFTPAttributes

from aegis_provision.transport.sftp_requests import (
    CALLS,
    Piece,
    Reply,
    close_unseen,
    done,
    facts,
    handle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from paramiko.message import Message
    from paramiko.sftp_client import SFTPClient

    from aegis_provision.transport.answers import Answer
    from aegis_provision.transport.filesystem import Facts
    from aegis_provision.transport.sftp_stream import SftpStream

T = TypeVar("T")

_CHUNK = 32 * 1024  # what every server takes, and answers, in one packet


class SftpFiles:
    """A :class:`~aegis_provision.transport.filesystem.Filesystem` on the far side of SFTP."""

    def __init__(self, client: SFTPClient, stream: SftpStream) -> None:
        """Work with a client that has said hello over ``stream``."""
        self._client = client
        self.stream = stream

    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path; a relative one begins at the login directory."""
        if path.startswith("/"):
            return path
        with CALLS:
            return posixpath.join(self._client.normalize("."), path)

    def lstat(self, path: str) -> Facts:
        """Return a file's facts, a link's own where it is one."""
        return self.ask_lstat(path).get()

    def ask_lstat(self, path: str) -> Reply[Facts]:
        """Ask for a file's facts, a link's own where it is one."""
        return Reply(self._client, facts, CMD_LSTAT, path.encode())

    def stat(self, path: str) -> Facts:
        """Return a file's facts, following links."""
        return self.ask_stat(path).get()

    def ask_stat(self, path: str) -> Reply[Facts]:
        """Ask for a file's facts, following links."""
        return Reply(self._client, facts, CMD_STAT, path.encode())

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        with CALLS:
            found: str | bytes | None = self._client.readlink(path)
            return found.decode(errors="replace") if isinstance(found, bytes) else found or ""

    def read(self, path: str, limit: int) -> bytes:
        """Return a file's content, at most ``limit`` bytes."""
        return self.ask_open(path).get().ask_content(limit).get()

    def read_whole(self, path: str, limit: int) -> tuple[Facts, bytes]:
        """Return one open file's facts and content, for which the host is asked at one go."""
        return self.ask_open(path).get().ask_whole(limit).get()

    def ask_open(self, path: str) -> Reply[SftpFound]:
        """Ask to open a file for reading."""

        def opened(kind: int, answer: Message) -> SftpFound:
            return SftpFound(self._client, handle(kind, answer))

        attributes = SFTPAttributes()
        return Reply(self._client, opened, CMD_OPEN, path.encode(), SFTP_FLAG_READ, attributes)

    def create(self, path: str) -> SftpFile:
        """Make a file that is not there yet."""
        return self.ask_create(path).get()

    def ask_create(self, path: str) -> Answer[SftpFile]:
        """Ask for a file that is not there yet."""

        def made(kind: int, answer: Message) -> SftpFile:
            return SftpFile(self._client, handle(kind, answer))

        # With a mode: the library's open() sends none, and the server would take its umask's.
        flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL
        words = CMD_OPEN, path.encode(), flags, _with_mode(0o600)
        return self._unless_there(path, Reply(self._client, made, *words))

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        words = CMD_MKDIR, path.encode(), _with_mode(mode)
        self._unless_there(path, self._ask(*words)).get()

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._ask(CMD_RMDIR, path.encode()).get()

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        self._set_unfollowed(path, _with_mode(mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        self._set_unfollowed(path, _with_owner(uid, gid))

    def replace(self, source: str, target: str) -> None:
        """Rename atomically, over what is there."""
        self.ask_replace(source, target).get()

    def ask_replace(self, source: str, target: str) -> Reply[None]:
        """Ask to rename atomically (OpenSSH's extension: the protocol goes over nothing)."""
        name = "posix-rename@openssh.com"
        return self._ask(CMD_EXTENDED, name, source.encode(), target.encode())

    def rename(self, source: str, target: str) -> None:
        """Rename unless something is there, as plain SFTP renames do."""
        words = CMD_RENAME, source.encode(), target.encode()
        self._unless_there(target, self._ask(*words)).get()

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.ask_remove(path).get()

    def ask_remove(self, path: str) -> Reply[None]:
        """Ask to remove a file."""
        return self._ask(CMD_REMOVE, path.encode())

    def _ask(self, *words: object) -> Reply[None]:
        return Reply(self._client, done, *words)

    def _set_unfollowed(self, path: str, attributes: SFTPAttributes) -> None:
        # OpenSSH's extension, since its version 8.0: the protocol's own way follows links.
        self._ask(CMD_EXTENDED, "lsetstat@openssh.com", path.encode(), attributes).get()

    def _unless_there(self, path: str, reply: Reply[T]) -> _UnlessThere[T]:
        return _UnlessThere(reply, lambda: self._exists(path))

    def _exists(self, path: str) -> bool:
        try:
            self.lstat(path)
        except OSError:
            return False
        return True


class _UnlessThere(Generic[T]):
    """An answer with the word "exists", which protocol version 3 has not: it says "failure"."""

    def __init__(self, reply: Reply[T], exists: Callable[[], bool]) -> None:
        self._reply = reply
        self._exists = exists

    def get(self) -> T:
        try:
            return self._reply.get()
        except OSError as problem:
            if problem.errno is None and self._exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            raise


class SftpFound:
    """A file on the far side that was there."""

    def __init__(self, client: SFTPClient, open_file: bytes) -> None:
        """Take over an open file by its handle."""
        self._client = client
        self._handle = open_file

    def ask_content(self, limit: int) -> _Content:
        """Ask for the file's content; it is closed once that was waited for."""
        return _Content(self._client, self._handle, limit)

    def ask_whole(self, limit: int) -> _Whole:
        """Ask for the file's facts and content; it is closed once they were waited for."""
        found = Reply(self._client, facts, CMD_FSTAT, self._handle)
        return _Whole(found, self.ask_content(limit))


class _Content:
    """A file's content, of which the first piece is asked for at once.

    A short answer is the end of a regular file (draft-ietf-secsh-filexfer-02, section 6.4), so that
    a small file takes one question and not two.
    """

    def __init__(self, client: SFTPClient, open_file: bytes, limit: int) -> None:
        self._client = client
        self._handle = open_file
        self._limit = limit
        self._first = self._ask(0)

    def _ask(self, offset: int) -> Piece:
        size = min(self._limit - offset, _CHUNK)
        return Piece(self._client, self._handle, offset, size)

    def get(self) -> bytes:
        try:
            return self._content()
        finally:
            close_unseen(self._client, self._handle)

    def _content(self) -> bytes:
        content = piece = self._first.get()
        while len(piece) == _CHUNK and len(content) < self._limit:
            piece = self._ask(len(content)).get()
            content += piece
        return content


class _Whole:
    def __init__(self, found: Reply[Facts], content: _Content) -> None:
        self._found = found
        self._content = content

    def get(self) -> tuple[Facts, bytes]:
        content = self._content.get()
        return self._found.get(), content


class SftpFile:
    """A file that was just made on the far side."""

    def __init__(self, client: SFTPClient, open_file: bytes) -> None:
        """Take over an open file by its handle."""
        self._client = client
        self._handle = open_file
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, unless it is closed."""
        if not self._closed:
            self.ask_close().get()

    def let_go(self) -> None:
        """Close the file without waiting for the answer."""
        if not self._closed:
            self._closed = True
            close_unseen(self._client, self._handle)

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written."""
        attributes = SFTPAttributes()
        attributes.st_atime = attributes.st_mtime = mtime
        self._ask(CMD_FSETSTAT, self._handle, attributes).get()

    def ask_write(self, data: bytes) -> _Every:
        """Ask to write all of ``data``, at the beginning of the file."""
        return _Every(
            [
                self._ask(CMD_WRITE, self._handle, int64(at), data[at : at + _CHUNK])
                for at in range(0, len(data), _CHUNK)
            ]
        )

    def ask_facts(self) -> Reply[Facts]:
        """Ask for the open file's facts."""
        return Reply(self._client, facts, CMD_FSTAT, self._handle)

    def ask_chown(self, uid: int, gid: int) -> Reply[None]:
        """Ask to change the open file's owner."""
        return self._ask(CMD_FSETSTAT, self._handle, _with_owner(uid, gid))

    def ask_chmod(self, mode: int) -> Reply[None]:
        """Ask to change the open file's permission bits."""
        return self._ask(CMD_FSETSTAT, self._handle, _with_mode(mode))

    def ask_sync(self) -> _IfOffered:
        """Ask for fsync (OpenSSH's extension); a server that has none is not asked again."""
        return _IfOffered(self._ask(CMD_EXTENDED, "fsync@openssh.com", self._handle))

    def ask_close(self) -> Reply[None]:
        """Ask to close the file."""
        self._closed = True
        return self._ask(CMD_CLOSE, self._handle)

    def _ask(self, *words: object) -> Reply[None]:
        return Reply(self._client, done, *words)


class _Every:
    def __init__(self, replies: Sequence[Reply[None]]) -> None:
        self._replies = replies

    def get(self) -> None:
        for reply in self._replies:
            reply.get()


class _IfOffered:
    def __init__(self, reply: Reply[None]) -> None:
        self._reply = reply

    def get(self) -> None:
        try:
            self._reply.get()
        except OSError as problem:
            if problem.errno != errno.EOPNOTSUPP:
                raise


def _with_mode(mode: int) -> SFTPAttributes:
    attributes = SFTPAttributes()
    attributes.st_mode = mode
    return attributes


def _with_owner(uid: int, gid: int) -> SFTPAttributes:
    attributes = SFTPAttributes()
    attributes.st_uid, attributes.st_gid = uid, gid
    return attributes
