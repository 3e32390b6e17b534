"""The byte stream under SFTP: bounded in time, and past what a login shell prints first."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import deadline_expired
from aegis_provision.transport.sftp import packets

if TYPE_CHECKING:
    from aegis_provision.transport.deadline import Deadline

MOST_NOISE = 64 * 1024
"""How many bytes a login shell may print before the first packet."""

_STEP = "sftp"
_LARGEST_VERSION_PACKET = 16 * 1024
_LARGEST_PACKET = 256 * 1024  # OpenSSH's own bound
_LENGTH = struct.Struct(">I")
_CHUNK = 32 * 1024
_MOST_UNSENT = 64 * 1024


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

    def close(self) -> None:
        """Close both directions."""
        ...


class SftpStream:
    """Sends and receives, each step within ``timeout`` and all of them within a deadline.

    Requests go out once a reply is waited for: those made meanwhile go together, in a packet or
    two instead of one each, and packets are what talking to a host costs.

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
        self._version_seen = False
        self.deadline = deadline
        self.noise = b""

    def send(self, data: bytes) -> int:
        """Take ``data``, which goes out before the next reply is waited for."""
        self._unsent += data
        if len(self._unsent) > _MOST_UNSENT:
            self._send_all()
        return len(data)

    def packet(self) -> bytes:
        """Return the next packet of SFTP, without its length.

        Raises ``EOFError`` at the end, ``OSError``, and :class:`Unreachable` for what is no
        packet.
        """
        if self._unsent:
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

    def close(self) -> None:
        """Close the stream; what did not go out yet is dropped."""
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
