"""TCP connections: names looked up and addresses tried, each within its time; sparing reads."""

from __future__ import annotations

import errno
import os
import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aegis_provision.transport.errors import NameTimeoutError, NotBoundError, map_errors
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline

_READ_SIZE = 64 * 1024
_TIME = "ll"  # struct timeval, as setsockopt(2) takes it


AddressFamily: TypeAlias = Literal["any", "inet", "inet6"]
"""Which addresses of a name count, in the words of ssh_config(5)."""

FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
"""The families as sockets know them."""

_Found: TypeAlias = "tuple[int, int, int, str, tuple[Any, ...]]"


@dataclass(frozen=True, slots=True)
class Way:
    """How a connection leaves this machine: to which addresses, from which one, or by which card.

    ``bind_address`` is an address or a name of this machine, ``bind_interface`` a network
    interface; the first of them counts (BindAddress and BindInterface of ssh_config(5)).
    """

    family: AddressFamily = "any"
    bind_address: str | None = None
    bind_interface: str | None = None

    def bind(self, connection: socket.socket) -> None:
        """Bind ``connection`` as it is wanted. Raises :class:`NotBoundError`."""
        family = connection.family
        if self.bind_address is not None:
            try:
                found = look_up_now(self.bind_address, None, family, socket.AI_PASSIVE)
                connection.bind(found[0][4])
            except OSError:
                raise NotBoundError("BindAddress", self.bind_address) from None
        elif self.bind_interface is not None:
            from aegis_provision.transport.network_interfaces import interface_address

            try:
                connection.bind((str(interface_address(self.bind_interface, family)), 0))
            except OSError:
                raise NotBoundError("BindInterface", self.bind_interface) from None


DIRECT = Way()
"""Where nothing is wanted: any address, from any."""


def dial(
    host: str,
    port: int,
    options: ConnectOptions,
    deadline: Deadline,
    way: Way = DIRECT,
    connect_timeout: float | None = None,
) -> socket.socket:
    """Return a TCP connection to ``host``; every address is tried.

    ``connect_timeout`` bounds each step where it is shorter than the options' time. Raises
    :class:`Unreachable`.
    """
    seconds = min(options.timeout, connect_timeout or options.timeout)
    with map_errors("connect"):
        return BufferedSocket(connect_tcp(host, port, seconds, deadline, way))


def connect_tcp(
    host: str, port: int, timeout: float, deadline: Deadline, way: Way = DIRECT
) -> socket.socket:
    """Return a TCP connection to the first address of ``host`` that takes one.

    ``timeout`` bounds each step (seconds). Raises ``OSError``, ``socket.gaierror`` for a name that
    is not known, and :class:`Unreachable` if no time is left.
    """
    problem: OSError | None = None
    for family, _, _, _, address in _resolve(host, port, timeout, deadline, way.family):
        limit = deadline.step_timeout(timeout)
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(limit)
            way.bind(connection)
            connection.connect(address)
        except OSError as error:
            connection.close()
            if problem is None or not isinstance(error, NotBoundError):
                problem = error  # an address of the other family is no reason
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    raise problem or TimeoutError


def _resolve(
    host: str, port: int, timeout: float, deadline: Deadline, family: AddressFamily
) -> Sequence[_Found]:
    try:
        return look_up_now(host, port, FAMILIES[family], socket.AI_NUMERICHOST)
    except socket.gaierror:
        return look_up(host, port, deadline.step_timeout(timeout), family=family)


def look_up(
    host: str, port: int | None, seconds: float, *, family: AddressFamily = "any", flags: int = 0
) -> Sequence[_Found]:
    """Return what getaddrinfo(3) says of ``host`` within ``seconds``.

    It runs in a thread of its own: the resolver takes no timeout. Raises ``OSError``.
    """
    results: queue.SimpleQueue[Sequence[_Found] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            results.put(look_up_now(host, port, FAMILIES[family], flags))
        except OSError as problem:
            results.put(problem)

    try:
        threading.Thread(target=resolve, name=f"resolve-{host}", daemon=True).start()
    except RuntimeError:  # no more threads
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise NameTimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result


def look_up_now(host: str, port: int | None, family: int, flags: int) -> Sequence[_Found]:
    """Return what getaddrinfo(3) says of ``host``, however long it takes. Raises ``OSError``."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=flags)
    except UnicodeError:  # no name at all: an empty label, or one of more than 63 letters
        raise socket.gaierror(socket.EAI_NONAME, host) from None


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
