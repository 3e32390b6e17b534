"""SFTP requests and replies, matched by number, over a stream that is bounded in time.

The stream skips what a login shell prints first. What fails is told in our own errors.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import deadline_expired
from aegis_provision.transport.errors import BastionLostError, describe_os_error
from aegis_provision.transport.sftp import packets

if TYPE_CHECKING:
    from aegis_provision.transport.deadline import Deadline

T = TypeVar("T")

_STEP = "sftp"
_AGAIN = "try again"
MOST_NOISE = 64 * 1024
"""How many bytes a login shell may print before the first packet."""

_LARGEST_VERSION_PACKET = 16 * 1024
_LARGEST_PACKET = 256 * 1024  # OpenSSH's own bound
_LENGTH = struct.Struct(">I")
_CHUNK = 32 * 1024
_MOST_UNSENT = 64 * 1024


class SftpClient:
    """The client's side of SFTP over a stream: sends requests, hands each reply to its request."""

    def __init__(self, stream: SftpStream) -> None:
        """Send our version, together with what is asked next.

        The server does with it what it does with any request (draft-ietf-secsh-filexfer-02, section
        4); we have one version alone, so that no request rests on the answer.
        """
        self._stream = stream
        self._extensions: frozenset[str] | None = None
        self._number = 0
        self._waiting: dict[int, Reply[Any]] = {}
        stream.send(packets.init())

    def start(self) -> None:
        """Wait for the server's version. Raises ``EOFError`` and ``OSError`` if there is none."""
        if self._extensions is None:
            self._extensions = packets.read_extensions(self._stream.packet())

    @property
    def extensions(self) -> frozenset[str]:
        """The extensions that the server has announced, none before it has started."""
        return self._extensions or frozenset()

    def send(self, kind: int, body: bytes, waiting: Reply[Any] | None = None) -> None:
        """Send a request whose reply ``waiting`` takes. Raises :class:`Unreachable`.

        One without ``waiting`` goes together with the next that has it, or not at all.
        """
        self._number = (self._number + 1) & 0xFFFFFFFF
        if waiting is not None:
            self._waiting[self._number] = waiting
        try:
            packet = packets.request(kind, self._number, body)
            self._stream.send(packet, due=waiting is not None)
        except (OSError, EOFError) as problem:
            raise _lost(problem) from None

    def receive(self) -> None:
        """Wait for one reply and hand it to its request. Raises :class:`Unreachable`."""
        try:
            self.start()
            kind, number, body = packets.parse_reply(self._stream.packet())
        except packets.ProtocolError:
            raise _protocol_error() from None
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
            raise _protocol_error() from None
        except packets.NoAttributesError:
            raise Unreachable(
                _STEP,
                "the host's SFTP server does not tell a file's owner and mode",
                "use OpenSSH's SFTP server there",
            ) from None
        except EOFError:
            raise OSError("failure") from None


def _protocol_error() -> Unreachable:
    return Unreachable(_STEP, "the server answered out of turn", _AGAIN)


def _lost(problem: Exception) -> Unreachable:
    """Return the error for a failure of the connection."""
    match problem:
        case BastionLostError():
            return Unreachable(_STEP, *describe_os_error(problem))
        case TimeoutError():
            return Unreachable(_STEP, "the host did not answer in time", "raise --timeout")
        case OSError(errno=None) if str(problem) == "Socket is closed":
            return Unreachable(_STEP, "the connection was closed", _AGAIN)
        case _:
            kind = type(problem).__name__
            return Unreachable(_STEP, f"the connection was lost ({kind})", _AGAIN)


class ByteStream(Protocol):
    """A socket, or an SSH channel that raises what a socket does."""

    def send(self, data: bytes) -> int:
        """Send some of ``data`` and return how much."""
        ...

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...

    def settimeout(self, seconds: float | None) -> None:
        """Bound each of the above."""
        ...


class SftpStream:
    """Sends and receives, each step within ``timeout`` and all of them within a deadline.

    Requests go out once a reply is waited for: those made meanwhile go together, in a packet or
    two instead of one each: packets are what costs time.

    The first packet from an SFTP server is its version, whose form is known
    (draft-ietf-secsh-filexfer-02, section 4): bytes before it come from a login shell's start-up
    files and are dropped.
    """

    def __init__(self, stream: ByteStream, timeout: float, deadline: Deadline) -> None:
        """Begin before any packet was sent."""
        self._stream = stream
        self._timeout = timeout
        self._buffer = b""
        self._unsent = b""
        self._due = False
        self._version_seen = False
        self.deadline = deadline
        self.noise = b""

    def send(self, data: bytes, *, due: bool = True) -> None:
        """Take ``data``, which goes out before the next reply is waited for, if it is ``due``.

        Otherwise it goes with the next that is.
        """
        self._unsent += data
        self._due = self._due or due
        if len(self._unsent) > _MOST_UNSENT:
            self._send_all()

    def packet(self) -> bytes:
        """Return the next packet of SFTP, without its length.

        Raises ``EOFError`` at the end, ``OSError``, and :class:`Unreachable` for what is no
        packet.
        """
        if self._due:
            self._send_all()
        if not self._version_seen:
            self._skip_noise()
        self._fill(_LENGTH.size)
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > _LARGEST_PACKET:
            raise Unreachable(_STEP, "what the server sends is not SFTP", "try again")
        end = _LENGTH.size + length
        self._fill(end)
        packet, self._buffer = self._buffer[_LENGTH.size : end], self._buffer[end:]
        return packet

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self._receive(_CHUNK)
            if not data:
                raise EOFError
            self._buffer += data

    def _send_all(self) -> None:
        unsent, self._unsent, self._due = memoryview(self._unsent), b"", False
        while unsent:
            self._set_timeout()
            try:
                sent = self._stream.send(bytes(unsent))
            except TimeoutError:
                self._check_deadline()
                raise
            if sent <= 0:  # as a channel says that it is closed
                raise EOFError
            unsent = unsent[sent:]

    def _receive(self, size: int) -> bytes:
        self._set_timeout()
        try:
            return self._stream.recv(size)
        except TimeoutError:
            self._check_deadline()
            raise

    def _set_timeout(self) -> None:
        """Bound the next step. Raises :class:`Unreachable` if no time is left."""
        if self.deadline.expired():
            raise deadline_expired(_STEP)
        self._stream.settimeout(min(self._timeout, self.deadline.remaining()))

    def _check_deadline(self) -> None:
        """Raise :class:`Unreachable` if a step took too long because the deadline expired."""
        if self.deadline.expired():
            raise deadline_expired(_STEP) from None

    def _skip_noise(self) -> None:
        while True:
            start = _find_version(self._buffer)
            if start is not None:
                self.noise, self._buffer = self._buffer[:start], self._buffer[start:]
                self._version_seen = True
                return
            if len(self._buffer) > MOST_NOISE:
                self.noise = self._buffer[:200]
                raise Unreachable(
                    _STEP,
                    "the login shell prints without end",
                    "make its start-up files silent where there is no terminal",
                )
            data = self._receive(4096)
            if not data:
                self.noise, self._buffer = self._buffer, b""
                self._version_seen = True
                return
            self._buffer += data


def _find_version(data: bytes) -> int | None:
    """Return where the version packet begins, ``None`` if it has not come yet."""
    marker = struct.pack(">BI", packets.VERSION_REPLY, packets.VERSION)
    at = data.find(marker)
    while at >= 0:
        if at >= 4:
            (length,) = struct.unpack(">I", data[at - 4 : at])
            if len(marker) <= length <= _LARGEST_VERSION_PACKET:
                return at - 4
        at = data.find(marker, at + 1)
    return None
