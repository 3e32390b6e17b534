"""A connection each step of which ends within one time, and TLS over it, as http.client uses them.

A connection is a socket or an SSH channel; both are read and written by the thread that asks.
"""

from __future__ import annotations

import io
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from _typeshed import WriteableBuffer

_CHUNK = 32 * 1024

T = TypeVar("T")


class OpenConnection(Protocol):
    """What a socket can do; each step raises ``OSError``, ``TimeoutError`` if it takes too long."""

    def send(self, data: bytes, /) -> int:
        """Send some of ``data``; return how much."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...

    def settimeout(self, seconds: float | None, /) -> None:
        """Bound each of the above."""
        ...

    def close(self) -> None:
        """Close it."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class TimedConnection:
    """A connection that is used for ``seconds`` in all.

    One bound for everything: a server that sends a byte now and then outlives all others.
    """

    def __init__(self, connection: OpenConnection, seconds: float) -> None:
        """Use ``connection``, which stays the caller's to close."""
        self._connection = connection
        self._until = time.monotonic() + seconds

    def expired(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._until

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``. Raises ``OSError``."""
        unsent = memoryview(data)
        while unsent:
            self._bound()
            unsent = unsent[self._connection.send(bytes(unsent[:_CHUNK])) :]

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises ``OSError``."""
        self._bound()
        return self._connection.recv(size)

    def _bound(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what reads the connection as a file."""
        return io.BufferedReader(_Reader(self.recv), _CHUNK)

    def close(self) -> None:
        """Do nothing: http.client closes before it has read the body."""


class SecuredConnection:
    """TLS over a connection, from the handshake on."""

    def __init__(
        self, connection: TimedConnection, context: ssl.SSLContext, name: str | None
    ) -> None:
        """Shake hands with the server ``name``. Raises ``OSError``, which TLS's errors are."""
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._step(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``. Raises ``OSError``."""
        unsent = memoryview(data)
        while unsent:
            part = unsent[:_CHUNK]
            unsent = unsent[self._step(lambda: self._tls.write(part)) :]  # noqa: B023 - used at once

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises ``OSError``."""
        try:
            return self._step(lambda: self._tls.read(size))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # many servers end without a word
            return b""

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what reads the connection as a file."""
        return io.BufferedReader(_Reader(self.recv), _CHUNK)

    def close(self) -> None:
        """Do nothing: http.client closes before it has read the body."""

    def _step(self, step: Callable[[], T]) -> T:
        """Do ``step``, with all that it wants to send and receive."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._send_pending()
                data = self._connection.recv(_CHUNK)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            except ssl.SSLError:
                with suppress(OSError):  # what is wrong, for the other side
                    self._send_pending()
                raise
            self._send_pending()
            return done

    def _send_pending(self) -> None:
        while data := self._outgoing.read():
            self._connection.sendall(data)


class _Reader(io.RawIOBase):
    """A file that is read from a connection."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._receive(len(view))
        view[: len(data)] = data
        return len(data)
