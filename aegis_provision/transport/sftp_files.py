"""File operations over SFTP."""

from __future__ import annotations

import errno
import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import paramiko
from paramiko.sftp import (
    CMD_EXTENDED,
    CMD_HANDLE,
    CMD_OPEN,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_WRITE,
    SFTPError,
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

_LOST = (EOFError, ConnectionError, TimeoutError, paramiko.SSHException, SFTPError)


@contextmanager
def _calls() -> Iterator[None]:
    """Let what is wrong with a file through, and name what is wrong with the connection."""
    try:
        yield
    except Unreachable:
        raise
    except TimeoutError:
        raise Unreachable("sftp", "the host did not answer in time", "raise --timeout") from None
    except _LOST as problem:
        raise Unreachable(
            "sftp", f"the connection was lost ({type(problem).__name__})", "try again"
        ) from None
    except OSError as problem:
        if problem.errno is None and str(problem) == "Socket is closed":
            raise Unreachable("sftp", "the connection was closed", "try again") from None
        raise


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
        with _calls():
            return posixpath.join(self._client.normalize("."), path)

    def lstat(self, path: str) -> Facts:
        """Return a file's facts, a link's own where it is one."""
        with _calls():
            return _facts(self._client.lstat(path))

    def stat(self, path: str) -> Facts:
        """Return a file's facts, following links."""
        with _calls():
            return _facts(self._client.stat(path))

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        with _calls():
            return self._client.readlink(path) or ""

    def read(self, path: str, limit: int) -> bytes:
        """Return a file's content, at most ``limit`` bytes."""
        with _calls(), self._client.open(path, "rb") as stream:
            return stream.read(limit)

    def create(self, path: str) -> SftpFile:
        """Make a file that is not there yet."""
        with _calls():
            try:
                return SftpFile(self._client, self._open_new(path))
            except OSError as problem:
                # An old protocol version has no word for "exists": it says "failure".
                if problem.errno is None and self._exists(path):
                    raise FileExistsError(errno.EEXIST, "File exists") from None
                raise

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        with _calls():
            try:
                self._client.mkdir(path, mode)
            except OSError as problem:
                if problem.errno is None and self._exists(path):
                    raise FileExistsError(errno.EEXIST, "File exists") from None
                raise

    def chmod(self, path: str, mode: int) -> None:
        """Change permission bits."""
        with _calls():
            self._client.chmod(path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner."""
        with _calls():
            self._client.chown(path, uid, gid)

    def replace(self, source: str, target: str) -> None:
        """Rename atomically, over what is there."""
        with _calls():
            self._client.posix_rename(source, target)

    def put_back(self, source: str, target: str) -> None:
        """Rename unless something is there, as plain SFTP renames do."""
        with _calls():
            self._client.rename(source, target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with _calls():
            self._client.remove(path)

    def _open_new(self, path: str) -> SFTPFile:
        # The library's open() sends no mode, and the server would take its umask's.
        attributes = SFTPAttributes()
        attributes.st_mode = 0o600
        flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL
        kind, answer = _request(self._client, CMD_OPEN, path.encode(), flags, attributes)
        if kind != CMD_HANDLE:
            raise Unreachable("sftp", "the server answered out of turn", "try again")
        return SFTPFile(self._client, answer.get_binary(), "wb", -1)

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
        with _calls():
            self._file.close()

    def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        with _calls():
            self._file.write(data)
            self._file.flush()

    def facts(self) -> Facts:
        """Return the open file's facts."""
        with _calls():
            return _facts(self._file.stat())

    def chown(self, uid: int, gid: int) -> None:
        """Change the open file's owner."""
        with _calls():
            self._file.chown(uid, gid)

    def chmod(self, mode: int) -> None:
        """Change the open file's permission bits."""
        with _calls():
            self._file.chmod(mode)

    def sync(self) -> None:
        """Ask for fsync (OpenSSH's extension); a server that has none is not asked again."""
        with _calls():
            try:
                _request(self._client, CMD_EXTENDED, "fsync@openssh.com", self._file.handle)
            except OSError as problem:
                if "unsupported" not in str(problem).lower():
                    raise


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
