"""TCP connections: names looked up and addresses tried, each within its time."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def connect_tcp(host: str, port: int, seconds: Callable[[], float]) -> socket.socket:
    """Return a TCP connection to the first address of ``host`` that takes one.

    ``seconds`` says how long the next step may take, and raises if no time is left.
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


_Found = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


def _resolve(host: str, port: int, seconds: Callable[[], float]) -> list[_Found]:
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
        result = results.get(timeout=seconds())
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
