"""The byte stream under SFTP: bounded in time, and deaf to what a login shell prints first."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from aegis_provision.errors import Unreachable
from aegis_provision.transport.protocol import out_of_time
from aegis_provision.transport.sftp import packets

if TYPE_CHECKING:
    from aegis_provision.transport.protocol import Deadline

MOST_NOISE = 64 * 1024
"""How many bytes before the first packet are put down to a talkative login shell."""

_STEP = "sftp"
_LARGEST_VERSION_PACKET = 16 * 1024
_LARGEST_PACKET = 256 * 1024  # OpenSSH's own bound
_LENGTH = struct.Struct(">I")
_CHUNK = 32 * 1024
_MOST_UNSENT = 64 * 1024


class ByteStream(Protocol):
    """What both an SSH channel and a socket are."""

    def send(self, data: bytes) -> int:
        """Send some of ``data`` and return how much."""
        ...

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...

    def settimeout(self, seconds: float | None) -> None:
        """Bound each of the above."""
        ...

    def close(self) -> None:
        """Close both directions."""
        ...


class SftpStream:
    """Passes bytes on, each step within ``timeout`` and all of them within a deadline.

    What is sent goes out once an answer is waited for: requests that were made meanwhile go
    together, in a packet or two instead of one each, and packets are what talking to a host costs.

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
        self._greeted = False
        self.deadline = deadline
        self.noise = b""

    def send(self, data: bytes) -> int:
        """Take ``data``, which goes out before the next answer is waited for."""
        self._unsent += data
        if len(self._unsent) > _MOST_UNSENT:
            self._send_all()
        return len(data)

    def packet(self) -> bytes:
        """Return the next packet of SFTP, without its length.

        Raises ``EOFError`` at the end, ``OSError``, whatever the library does, and
        :class:`Unreachable` for one that is none.
        """
        if self._unsent:
            self._send_all()
        if not self._greeted:
            self._await_greeting()
        self._fill(_LENGTH.size)
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > _LARGEST_PACKET:
            raise Unreachable(_STEP, "what the server sends is not SFTP", "try again")
        end = _LENGTH.size + length
        self._fill(end)
        packet, self._buffer = self._buffer[_LENGTH.size : end], self._buffer[end:]
        return packet

    def close(self) -> None:
        """Close the stream; what did not go out yet never will."""
        self._stream.close()

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self._receive(_CHUNK)
            if not data:
                raise EOFError
            self._buffer += data

    def _send_all(self) -> None:
        unsent, self._unsent = memoryview(self._unsent), b""
        while unsent:
            self._arm()
            try:
                sent = self._stream.send(bytes(unsent))
            except TimeoutError:
                self._disarm()
                raise
            if sent <= 0:  # as a channel says that it is closed
                raise EOFError
            unsent = unsent[sent:]

    def _receive(self, size: int) -> bytes:
        self._arm()
        try:
            return self._stream.recv(size)
        except TimeoutError:
            self._disarm()
            raise

    def _arm(self) -> None:
        """Bound the next step. Raises :class:`Unreachable` where there is no time left."""
        if self.deadline.passed():
            raise out_of_time(_STEP)
        self._stream.settimeout(min(self._timeout, self.deadline.remaining()))

    def _disarm(self) -> None:
        """Raise :class:`Unreachable` where a step took too long because the deadline is over."""
        if self.deadline.passed():
            raise out_of_time(_STEP) from None

    def _await_greeting(self) -> None:
        while True:
            start = _greeting(self._buffer)
            if start is not None:
                self.noise, self._buffer = self._buffer[:start], self._buffer[start:]
                self._greeted = True
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
                self._greeted = True
                return
            self._buffer += data


def _greeting(data: bytes) -> int | None:
    """Return where the version packet begins, ``None`` where it has not come yet."""
    marker = struct.pack(">BI", packets.GREETING, packets.VERSION)
    at = data.find(marker)
    while at >= 0:
        if at >= 4:
            (length,) = struct.unpack(">I", data[at - 4 : at])
            if len(marker) <= length <= _LARGEST_VERSION_PACKET:
                return at - 4
        at = data.find(marker, at + 1)
    return None
