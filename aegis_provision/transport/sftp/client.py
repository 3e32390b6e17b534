"""SFTP requests and their replies, matched by number; what fails is told in our own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

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
    """The client's side of SFTP over a stream: sends requests, hands each reply to its request."""

    def __init__(self, stream: SftpStream) -> None:
        """Exchange versions. Raises ``EOFError`` and ``OSError`` if no SFTP server answers."""
        self._stream = stream
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        stream.send(packets.init())
        stream.packet()

    def send(self, kind: int, body: bytes, waiting: _Waiting | None = None) -> None:
        """Send a request whose reply ``waiting`` takes. Raises :class:`Unreachable`."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        if waiting is not None:
            self._waiting[self._number] = waiting
        try:
            self._stream.send(packets.request(kind, self._number, body))
        except (OSError, EOFError) as problem:
            raise _lost(problem) from None

    def receive(self) -> None:
        """Wait for one reply and hand it to its request. Raises :class:`Unreachable`."""
        try:
            kind, number, body = packets.parse_reply(self._stream.packet())
        except packets.ProtocolError:
            raise protocol_error() from None
        except (OSError, EOFError) as problem:
            raise _lost(problem) from None
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.take(kind, body)


class Reply(Generic[T]):
    """The reply to a request; more requests may be sent before it is waited for.

    An ``OSError`` is about the file, :class:`Unreachable` about the connection.
    """

    def __init__(self, client: SftpClient, read: packets.Reader[T], kind: int, body: bytes) -> None:
        """Send a request; ``read`` makes a value of the reply's kind and body."""
        self._client = client
        self._read = read
        self._reply: tuple[int, bytes] | None = None
        client.send(kind, body, self)

    def take(self, kind: int, body: bytes) -> None:
        """Take the reply; replies come in any order."""
        self._reply = kind, body

    def get(self) -> T:
        """Wait for the reply and return its value."""
        while self._reply is None:
            self._client.receive()
        try:
            return self._read(*self._reply)
        except packets.ProtocolError:
            raise protocol_error() from None
        except packets.NoAttributesError:
            raise Unreachable(
                _STEP,
                "the host's SFTP server does not tell a file's owner and mode",
                "use OpenSSH's SFTP server there",
            ) from None
        except EOFError:
            raise OSError("failure") from None


def protocol_error() -> Unreachable:
    """Return the error for a reply that does not fit its request."""
    return Unreachable(_STEP, "the server answered out of turn", _AGAIN)


def _lost(problem: Exception) -> Unreachable:
    """Return the error for a failure of the connection."""
    match problem:
        case TimeoutError():
            return Unreachable(_STEP, "the host did not answer in time", "raise --timeout")
        case OSError(errno=None) if str(problem) == "Socket is closed":
            return Unreachable(_STEP, "the connection was closed", _AGAIN)
        case _:
            kind = type(problem).__name__
            return Unreachable(_STEP, f"the connection was lost ({kind})", _AGAIN)
