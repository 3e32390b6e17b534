"""File operations over SFTP."""

from __future__ import annotations

import errno
import os
import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_FSTAT,
    CMD_HANDLE,
    CMD_OPEN,
    CMD_READ,
    CMD_STATUS,
    SFTP_EOF,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_READ,
    SFTP_FLAG_WRITE,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
    SFTPError,
    int64,
)
from paramiko.sftp_attr import SFTPAttributes
from paramiko.sftp_file import SFTPFile

from aegis_provision.transport.filesystem import Facts
from aegis_provision.transport.protocol import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from paramiko.message import Message
    from paramiko.sftp_client import SFTPClient

    from aegis_provision.transport.sftp_stream import SftpStream

_CHUNK = 32 * 1024  # what every server answers in one packet
_LOST = (EOFError, ConnectionError, TimeoutError, paramiko.SSHException, SFTPError)
_ERRNO = {
    SFTP_NO_SUCH_FILE: errno.ENOENT,
    SFTP_PERMISSION_DENIED: errno.EACCES,
    SFTP_OP_UNSUPPORTED: errno.EOPNOTSUPP,
}


class _Calls:
    """Lets what is wrong with a file through, and names what is wrong with the connection.

    It is entered for every request; a generator would cost more than a small request itself.
    """

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            lost = _lost(error)
            if lost is not None:
                raise lost from None


def _lost(error: Exception) -> Unreachable | None:
    """Return what to raise for an exception that is about the connection, not about a file."""
    match error:
        case TimeoutError():
            return Unreachable("sftp", "the host did not answer in time", "raise --timeout")
        case UnicodeDecodeError():
            return Unreachable("sftp", "the host names a path that is not UTF-8", "")
        case OSError(errno=None) if str(error) == "Socket is closed":
            return Unreachable("sftp", "the connection was closed", "try again")
        case _ if isinstance(error, _LOST):
            kind = type(error).__name__
            return Unreachable("sftp", f"the connection was lost ({kind})", "try again")
    return None


_CALLS = _Calls()


class SftpClient(paramiko.SFTPClient):
    """The library's client, made to go by a status' number and never by the host's words.

    They may be in any language and encoding, and a hostile host may put anything into them. An
    ``OSError`` without a number is the protocol's plain "failure".
    """

    def _convert_status(self, msg: Message) -> None:
        code = msg.get_int()
        if code == SFTP_OK:
            return
        if code == SFTP_EOF:
            raise EOFError
        number = _ERRNO.get(code)
        if number is None:
            raise OSError("failure")
        raise OSError(number, os.strerror(number))


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
        with _CALLS:
            return posixpath.join(self._client.normalize("."), path)

    def lstat(self, path: str) -> Facts:
        """Return a file's facts, a link's own where it is one."""
        with _CALLS:
            return _facts(self._client.lstat(path))

    def stat(self, path: str) -> Facts:
        """Return a file's facts, following links."""
        with _CALLS:
            return _facts(self._client.stat(path))

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        with _CALLS:
            found: str | bytes | None = self._client.readlink(path)
            return found.decode(errors="replace") if isinstance(found, bytes) else found or ""

    def read(self, path: str, limit: int) -> bytes:
        """Return a file's content, at most ``limit`` bytes.

        A short answer is the end of a regular file (draft-ietf-secsh-filexfer-02, section 6.4),
        so that a small file takes one question and not two.
        """
        with _CALLS:
            handle = self._open(path, SFTP_FLAG_READ)
            try:
                return self._read_open(handle, limit)
            finally:
                _close_unseen(self._client, handle)

    def read_whole(self, path: str, limit: int) -> tuple[Facts, bytes]:
        """Return one open file's facts and content, for which the host is asked at one go."""
        with _CALLS:
            handle = self._open(path, SFTP_FLAG_READ)
            try:
                facts = _Later(self._client, CMD_FSTAT, handle)
                content = self._read_open(handle, limit)
                kind, answer = facts.wait()
                if kind != CMD_ATTRS:
                    raise Unreachable("sftp", "the server answered out of turn", "try again")
                return _facts(SFTPAttributes._from_msg(answer)), content  # type: ignore[attr-defined]  # noqa: SLF001
            finally:
                _close_unseen(self._client, handle)

    def create(self, path: str) -> SftpFile:
        """Make a file that is not there yet."""
        with _CALLS:
            with self._exists_for_failure(path):
                handle = self._open_new(path)
            return SftpFile(self._client, SFTPFile(self._client, handle, "wb", -1))

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        with _CALLS, self._exists_for_failure(path):
            self._client.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        with _CALLS:
            self._client.rmdir(path)

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        attributes = SFTPAttributes()
        attributes.st_mode = mode
        self._set_unfollowed(path, attributes)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        attributes = SFTPAttributes()
        attributes.st_uid, attributes.st_gid = uid, gid
        self._set_unfollowed(path, attributes)

    def replace(self, source: str, target: str) -> None:
        """Rename atomically, over what is there."""
        with _CALLS:
            self._client.posix_rename(source, target)

    def rename(self, source: str, target: str) -> None:
        """Rename unless something is there, as plain SFTP renames do."""
        with _CALLS, self._exists_for_failure(target):
            self._client.rename(source, target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with _CALLS:
            self._client.remove(path)

    def _open_new(self, path: str) -> bytes:
        # The library's open() sends no mode, and the server would take its umask's.
        return self._open(path, SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL, 0o600)

    def _open(self, path: str, flags: int, mode: int | None = None) -> bytes:
        attributes = SFTPAttributes()
        attributes.st_mode = mode
        kind, answer = _request(self._client, CMD_OPEN, path.encode(), flags, attributes)
        if kind != CMD_HANDLE:
            raise Unreachable("sftp", "the server answered out of turn", "try again")
        return answer.get_binary()

    def _read_open(self, handle: bytes, limit: int) -> bytes:
        content = b""
        while len(content) < limit:
            size = min(limit - len(content), _CHUNK)
            try:
                kind, answer = _request(self._client, CMD_READ, handle, int64(len(content)), size)
            except EOFError:
                break
            if kind != CMD_DATA:
                raise Unreachable("sftp", "the server answered out of turn", "try again")
            chunk = answer.get_binary()
            content += chunk
            if len(chunk) < size:
                break
        return content

    def _set_unfollowed(self, path: str, attributes: SFTPAttributes) -> None:
        # OpenSSH's extension, since its version 8.0: the protocol's own way follows links.
        with _CALLS:
            _request(self._client, CMD_EXTENDED, "lsetstat@openssh.com", path, attributes)

    @contextmanager
    def _exists_for_failure(self, path: str) -> Iterator[None]:
        """Find the word "exists", which protocol version 3 has not: it says "failure"."""
        try:
            yield
        except OSError as problem:
            if problem.errno is None and self._exists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            raise

    def _exists(self, path: str) -> bool:
        try:
            self._client.lstat(path)
        except OSError:
            return False
        return True


class SftpFile:
    """A file that was just made on the far side."""

    def __init__(self, client: SFTPClient, file: SFTPFile) -> None:
        """Take over an open file."""
        self._client = client
        self._file = file

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
        """Close the file."""
        with _CALLS:
            self._file.close()

    def let_go(self) -> None:
        """Close the file without waiting for the answer."""
        # First: what fails here would be tried again, and fail again, when nobody listens.
        self._file._closed = True  # type: ignore[attr-defined]  # noqa: SLF001
        with _CALLS:
            _close_unseen(self._client, self._file.handle)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        with _CALLS:
            self._file.write(data)
            self._file.flush()

    def facts(self) -> Facts:
        """Return the open file's facts."""
        with _CALLS:
            return _facts(self._file.stat())

    def chown(self, uid: int, gid: int) -> None:
        """Change the open file's owner."""
        with _CALLS:
            self._file.chown(uid, gid)

    def chmod(self, mode: int) -> None:
        """Change the open file's permission bits."""
        with _CALLS:
            self._file.chmod(mode)

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written."""
        with _CALLS:
            self._file.utime((mtime, mtime))

    def sync(self) -> None:
        """Ask for fsync (OpenSSH's extension); a server that has none is not asked again."""
        with _CALLS:
            try:
                _request(self._client, CMD_EXTENDED, "fsync@openssh.com", self._file.handle)
            except OSError as problem:
                if problem.errno != errno.EOPNOTSUPP:
                    raise


def _close_unseen(client: SFTPClient, handle: bytes) -> None:
    """Close a file that was only read, without waiting to hear that it went well."""
    client._async_request(type(None), CMD_CLOSE, handle)  # type: ignore[attr-defined]  # noqa: SLF001


class _Later:
    """The answer to a question that others follow before it is waited for.

    The library hands it over here, in whichever order the answers come.
    """

    def __init__(self, client: SFTPClient, *words: object) -> None:
        self._client = client
        self._answer: tuple[int, Message] | None = None
        client._async_request(self, *words)  # type: ignore[attr-defined]  # noqa: SLF001

    def _async_response(self, kind: int, answer: Message, _number: int) -> None:
        self._answer = kind, answer

    def wait(self) -> tuple[int, Message]:
        """Return the answer as :func:`_request` would, once it is there."""
        while self._answer is None:
            self._client._read_response()  # type: ignore[attr-defined]  # noqa: SLF001
        kind, message = self._answer
        if kind == CMD_STATUS:
            self._client._convert_status(message)  # type: ignore[attr-defined]  # noqa: SLF001
        return kind, message


def _request(client: SFTPClient, *words: object) -> tuple[int, Message]:
    """Send a request that the library has no call for, and return its answer."""
    answer: tuple[int, Message] = client._request(*words)  # type: ignore[attr-defined]  # noqa: SLF001
    return answer


def _facts(attributes: SFTPAttributes) -> Facts:
    return Facts(
        mode=attributes.st_mode or 0,
        uid=attributes.st_uid or 0,
        gid=attributes.st_gid or 0,
        size=attributes.st_size or 0,
        mtime=int(attributes.st_mtime or 0),
    )
