"""A way to a server on loopback that can be bad: it turns away at first, or goes silent."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fleet.sockets import ADDRESS, answering

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0


@dataclass(slots=True)
class Door:
    """A port where the next ``closed`` connections are turned away; later ones are led on."""

    port: int
    closed: int


@contextmanager
def turning_away(port: int, words: bytes, times: int) -> Iterator[Door]:
    """Say ``words`` to the first connections and hang up, as sshd does; lead later ones to it."""
    door = Door(0, times)

    def serve(peer: socket.socket, over: threading.Event) -> None:
        if door.closed > 0:
            door.closed -= 1
            peer.sendall(words)
        else:
            _relay(peer, port, over)

    with answering(serve) as door.port:
        yield door


@contextmanager
def going_silent(port: int) -> Iterator[tuple[int, threading.Event]]:
    """Lead to ``port``; once the event is set, connections that are there carry nothing more."""
    silent = threading.Event()

    def serve(peer: socket.socket, over: threading.Event) -> None:
        if silent.is_set():
            silent.clear()  # later connections are served
        _relay(peer, port, over, silent)

    with answering(serve) as found:
        yield found, silent


@contextmanager
def stopping_in_a_packet(
    port: int, *, at_login: bool = False
) -> Iterator[tuple[int, threading.Event]]:
    """Lead to ``port``; once the event is set, the server's next byte is the last to come.

    ``at_login`` sets it for each connection once keys were exchanged.
    """
    stops = threading.Event()

    def serve(peer: socket.socket, over: threading.Event) -> None:
        with socket.create_connection((ADDRESS, port)) as there:
            up = threading.Thread(target=_copy, args=(peer, there), daemon=True)
            up.start()
            while data := there.recv(65536):
                found = data.find(_NEW_KEYS) if at_login else -1
                if stops.is_set():
                    peer.sendall(data[:1])
                    break
                if found >= 0:
                    stops.set()
                    rest = data[found + 16 :]
                    peer.sendall(data[: found + 16] + rest[:1])
                    if rest:
                        break
                else:
                    peer.sendall(data)
            over.wait(_PATIENCE)
            there.shutdown(socket.SHUT_RDWR)
            up.join(_PATIENCE)

    with answering(serve) as found:
        yield found, stops


_NEW_KEYS = b"\0\0\0\x0c\x0a\x15"  # a whole packet of 16 bytes: RFC 4253, sections 6 and 7.3


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


def _relay(
    peer: socket.socket,
    port: int,
    over: threading.Event,
    silent: threading.Event | None = None,
) -> None:
    with socket.create_connection((ADDRESS, port)) as there:
        gone = threading.Event()

        def copy(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    if gone.is_set() or (silent is not None and silent.is_set()):
                        gone.set()
                        over.wait(_PATIENCE)
                        return
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                return

        back = threading.Thread(target=copy, args=(there, peer), daemon=True)
        back.start()
        copy(peer, there)
        if gone.is_set():
            with suppress(OSError):
                there.shutdown(socket.SHUT_RDWR)
        back.join(_PATIENCE)
