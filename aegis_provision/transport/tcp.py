"""TCP connections: names looked up and addresses tried, each within its time; sparing reads."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING

from aegis_provision.transport.errors import map_errors

if TYPE_CHECKING:
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
_READ_SIZE = 64 * 1024
_TIME = "ll"  # struct timeval, as setsockopt(2) takes it


def dial(host: str, port: int, options: ConnectOptions, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to ``host``; every address is tried. Raises :class:`Unreachable`."""
    with map_errors("connect"):
        return BufferedSocket(connect_tcp(host, port, options.timeout, deadline))


def connect_tcp(host: str, port: int, timeout: float, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to the first address of ``host`` that takes one.

    ``timeout`` bounds each step (seconds). Raises ``OSError``, ``socket.gaierror`` for a name that
    is not known, and :class:`Unreachable` if no time is left.
    """
    problem: OSError = TimeoutError()
    for family, address in _resolve(host, port, timeout, deadline):
        limit = deadline.step_timeout(timeout)
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(limit)
            connection.connect(address)
        except OSError as error:
            connection.close()
            problem = error
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    raise problem


_Found = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


def _resolve(host: str, port: int, timeout: float, deadline: Deadline) -> list[_Found]:
    """Resolve a name, in a thread of its own: the resolver takes no timeout."""
    try:
        return _addresses(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    results: queue.SimpleQueue[list[_Found] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            results.put(_addresses(host, port, 0))
        except OSError as problem:
            results.put(problem)

    threading.Thread(target=resolve, name=f"resolve-{host}", daemon=True).start()
    try:
        result = results.get(timeout=deadline.step_timeout(timeout))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result


def _addresses(host: str, port: int, flags: int) -> list[_Found]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:  # no name at all: an empty label, or one of more than 63 letters
        raise socket.gaierror(socket.EAI_NONAME, host) from None
    return [(family, address) for family, _, _, _, address in found]


class BufferedSocket(socket.socket):
    """A connection of which each step is one system call, and which reads all that has come.

    After each system call a thread waits for the interpreter again, which many hosts want at once.
    paramiko reads a packet's beginning, then its rest; and before each step of a socket with a
    timeout, the interpreter asks the kernel whether the socket is ready. So one call reads what has
    come, to be handed out piece by piece, and the kernel keeps the time.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take over ``connection``, its timeout included; it must not be used any more."""
        seconds = connection.gettimeout()
        family, kind, protocol = connection.family, connection.type, connection.proto
        super().__init__(family, kind, protocol, fileno=connection.detach())
        super().settimeout(None)
        self._ahead = b""
        self.settimeout(seconds)

    def settimeout(self, value: float | None, /) -> None:
        """Bound each step to ``value`` seconds, at least a microsecond; ``None`` means no bound."""
        self._seconds = value
        micros = 0 if value is None else max(1, round(value * 1e6))
        time = struct.pack(_TIME, *divmod(micros, 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.setsockopt(socket.SOL_SOCKET, option, time)

    def gettimeout(self) -> float | None:
        """Return the seconds that bound each step, ``None`` if nothing does."""
        return self._seconds

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises ``TimeoutError`` and ``OSError``."""
        if not self._ahead:
            try:
                self._ahead = super().recv(_READ_SIZE, flags)
            except BlockingIOError:
                raise TimeoutError from None
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        """Send some of ``data``; return how much. Raises ``TimeoutError`` and ``OSError``."""
        try:
            return super().send(data, flags)
        except BlockingIOError:
            raise TimeoutError from None
