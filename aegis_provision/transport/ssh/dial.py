"""TCP connections: names looked up and addresses tried, each within its time."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING

from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.protocol import out_of_time
from aegis_provision.transport.ssh.buffered_socket import BufferedSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.transport.protocol import ConnectOptions, Deadline


def dial(host: str, port: int, options: ConnectOptions, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to ``host``; every address is tried. Raises :class:`Unreachable`."""
    with map_errors("connect"):
        return BufferedSocket(connect_tcp(host, port, lambda: step_timeout(options, deadline)))


def connect_tcp(host: str, port: int, seconds: Callable[[], float]) -> socket.socket:
    """Return a TCP connection to the first address of ``host`` that takes one.

    ``seconds`` says how long the next step may take, and raises where nothing more may be tried.
    Raises ``OSError``, ``socket.gaierror`` for a name that is not known.
    """
    problem: OSError = TimeoutError()
    for family, address in _resolve(host, port, seconds):
        limit = seconds()
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


def step_timeout(options: ConnectOptions, deadline: Deadline) -> float:
    """Return how many seconds the next step may take. Raises :class:`Unreachable` for none."""
    if deadline.passed():
        raise out_of_time("deadline")
    return min(options.timeout, deadline.remaining())


_Found = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


def _resolve(host: str, port: int, seconds: Callable[[], float]) -> list[_Found]:
    """Look a name up, in a thread of its own: the resolver takes no timeout."""
    try:
        return _addresses(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    answers: queue.SimpleQueue[list[_Found] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_addresses(host, port, 0))
        except OSError as problem:
            answers.put(problem)

    threading.Thread(target=ask, name=f"resolve-{host}", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _addresses(host: str, port: int, flags: int) -> list[_Found]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:  # no name at all: an empty label, or one of more than 63 letters
        raise socket.gaierror(socket.EAI_NONAME, host) from None
    return [(family, address) for family, _, _, _, address in found]
