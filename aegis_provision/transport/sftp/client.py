"""Requests over SFTP: sent one after the other, answered by number, told in our own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.sftp import packets

if TYPE_CHECKING:
    from aegis_provision.transport.sftp.stream import SftpStream

T = TypeVar("T")

_STEP = "sftp"
_AGAIN = "try again"


class _Waiting(Protocol):
    def take(self, kind: int, body: bytes) -> None: ...


class SftpClient:
    """The client's side of SFTP over a stream: requests out, answers to whom they are for."""

    def __init__(self, stream: SftpStream) -> None:
        """Say hello. Raises ``EOFError`` and ``OSError`` where nobody speaks SFTP there."""
        self._stream = stream
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        stream.send(packets.greeting())
        stream.packet()

    def ask(self, kind: int, body: bytes, waiting: _Waiting | None = None) -> None:
        """Send a request whose answer is for ``waiting``. Raises :class:`Unreachable`."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        if waiting is not None:
            self._waiting[self._number] = waiting
        try:
            self._stream.send(packets.request(kind, self._number, body))
        except (OSError, EOFError, paramiko.SSHException) as problem:
            raise _lost(problem) from None

    def take_answer(self) -> None:
        """Wait for one answer and hand it over. Raises :class:`Unreachable`."""
        try:
            kind, number, body = packets.taken_apart(self._stream.packet())
        except packets.ProtocolError:
            raise out_of_turn() from None
        except (OSError, EOFError, paramiko.SSHException) as problem:
            raise _lost(problem) from None
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.take(kind, body)


class Reply(Generic[T]):
    """The answer to a request that others may follow before it is waited for.

    An ``OSError`` is about the file; what is about the connection is
    :class:`Unreachable`.
    """

    def __init__(self, client: SftpClient, read: packets.Reader[T], kind: int, body: bytes) -> None:
        """Send a request; ``read`` makes a value of the answer's kind and body."""
        self._client = client
        self._read = read
        self._answer: tuple[int, bytes] | None = None
        client.ask(kind, body, self)

    def take(self, kind: int, body: bytes) -> None:
        """Take the answer, in whichever order answers come."""
        self._answer = kind, body

    def get(self) -> T:
        """Return what was answered, once it is there."""
        while self._answer is None:
            self._client.take_answer()
        try:
            return self._read(*self._answer)
        except packets.ProtocolError:
            raise out_of_turn() from None
        except packets.NoAttributesError:
            raise Unreachable(
                _STEP,
                "the host's SFTP server does not tell a file's owner and mode",
                "use OpenSSH's SFTP server there",
            ) from None
        except EOFError:
            raise OSError("failure") from None


def out_of_turn() -> Unreachable:
    """Return what to raise where a server says what nobody asked."""
    return Unreachable(_STEP, "the server answered out of turn", _AGAIN)


def _lost(problem: Exception) -> Unreachable:
    """Return what to raise for what went wrong with the connection."""
    match problem:
        case TimeoutError():
            return Unreachable(_STEP, "the host did not answer in time", "raise --timeout")
        case OSError(errno=None) if str(problem) == "Socket is closed":
            return Unreachable(_STEP, "the connection was closed", _AGAIN)
        case _:
            kind = type(problem).__name__
            return Unreachable(_STEP, f"the connection was lost ({kind})", _AGAIN)
