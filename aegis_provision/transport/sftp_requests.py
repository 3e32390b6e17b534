"""Requests over SFTP: sent one after the other, answered by number, told in our own errors."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Generic, TypeVar

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_DATA,
    CMD_HANDLE,
    CMD_READ,
    CMD_STATUS,
    SFTP_EOF,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
    SFTPError,
    int64,
)
from paramiko.sftp_attr import SFTPAttributes

from aegis_provision.transport.filesystem import Facts
from aegis_provision.transport.protocol import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from paramiko.message import Message
    from paramiko.sftp_client import SFTPClient

T = TypeVar("T")

_LOST = (EOFError, ConnectionError, TimeoutError, paramiko.SSHException, SFTPError)
_ERRNO = {
    SFTP_NO_SUCH_FILE: errno.ENOENT,
    SFTP_PERMISSION_DENIED: errno.EACCES,
    SFTP_OP_UNSUPPORTED: errno.EOPNOTSUPP,
}


class Calls:
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


CALLS = Calls()


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


class Reply(Generic[T]):
    """The answer to a request that others may follow before it is waited for.

    The library hands it over here, in whichever order the answers come. An ``OSError`` is about the
    file; what is about the connection is :class:`~.protocol.Unreachable`.
    """

    def __init__(
        self, client: SFTPClient, read: Callable[[int, Message], T], *words: object
    ) -> None:
        """Send a request; ``read`` makes a value of the answer's kind and the answer."""
        self._client = client
        self._read = read
        self._answer: tuple[int, Message] | None = None
        with CALLS:
            client._async_request(self, *words)  # type: ignore[attr-defined]  # noqa: SLF001

    def _async_response(self, kind: int, answer: Message, _number: int) -> None:
        self._answer = kind, answer

    def get(self) -> T:
        """Return what was answered, once it is there."""
        with CALLS:
            while self._answer is None:
                self._client._read_response()  # type: ignore[attr-defined]  # noqa: SLF001
            kind, answer = self._answer
            answer.rewind()
            answer.get_int()  # the request's number
            return self._value(kind, answer)

    def _value(self, kind: int, answer: Message) -> T:
        if kind == CMD_STATUS:
            self._client._convert_status(answer)  # type: ignore[attr-defined]  # noqa: SLF001
        return self._read(kind, answer)


class Piece(Reply[bytes]):
    """A piece of a file's content, empty at its end."""

    def __init__(self, client: SFTPClient, open_file: bytes, offset: int, size: int) -> None:
        """Ask for ``size`` bytes from ``offset`` on of a file, by its handle."""
        super().__init__(client, _content, CMD_READ, open_file, int64(offset), size)

    def _value(self, kind: int, answer: Message) -> bytes:
        try:
            return super()._value(kind, answer)
        except EOFError:
            return b""


def done(kind: int, _answer: Message) -> None:
    """Read the answer to a request that is merely done. Raises :class:`Unreachable`."""
    _expect(kind, CMD_STATUS)


def facts(kind: int, answer: Message) -> Facts:
    """Read a file's facts. Raises :class:`Unreachable`."""
    _expect(kind, CMD_ATTRS)
    found = SFTPAttributes._from_msg(answer)  # type: ignore[attr-defined]  # noqa: SLF001
    return Facts(
        mode=found.st_mode or 0,
        uid=found.st_uid or 0,
        gid=found.st_gid or 0,
        size=found.st_size or 0,
        mtime=int(found.st_mtime or 0),
    )


def handle(kind: int, answer: Message) -> bytes:
    """Read an open file's handle. Raises :class:`Unreachable`."""
    _expect(kind, CMD_HANDLE)
    return answer.get_binary()


def close_unseen(client: SFTPClient, open_file: bytes) -> None:
    """Close a file by its handle without waiting to hear how that went."""
    with CALLS:
        client._async_request(type(None), CMD_CLOSE, open_file)  # type: ignore[attr-defined]  # noqa: SLF001


def _content(kind: int, answer: Message) -> bytes:
    _expect(kind, CMD_DATA)
    return answer.get_binary()


def _expect(kind: int, wanted: int) -> None:
    if kind != wanted:
        raise Unreachable("sftp", "the server answered out of turn", "try again")
