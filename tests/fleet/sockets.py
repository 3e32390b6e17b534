"""Servers that are no SSH servers, or poor ones: what a socket may do to a client."""

from __future__ import annotations

import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Behaviour = Callable[[socket.socket, threading.Event], None]

ADDRESS = "127.0.0.1"
_PATIENCE = 60.0


@contextmanager
def answering(behave: Behaviour) -> Iterator[int]:
    """Let ``behave`` have every connection to the port that is given out."""
    over = threading.Event()
    listener = socket.create_server((ADDRESS, 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(_PATIENCE)
            behave(connection, over)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(_PATIENCE)


def says_nothing(_connection: socket.socket, over: threading.Event) -> None:
    """Accept, and never say a word."""
    over.wait(_PATIENCE)


def hangs_up(_connection: socket.socket, _over: threading.Event) -> None:
    """Close at once."""


def prints_lines_without_end(connection: socket.socket, over: threading.Event) -> None:
    """Send line after line, none of which is SSH's first."""
    while not over.is_set():
        connection.sendall(b"welcome to this machine\r\n" * 20)


def prints_one_line_without_end(connection: socket.socket, over: threading.Event) -> None:
    """Send text that never comes to the end of its line."""
    while not over.is_set():
        connection.sendall(b"z" * 4096)


def drips_lines(connection: socket.socket, over: threading.Event) -> None:
    """Send a line each half second, so that something always comes."""
    while not over.wait(0.5):
        connection.sendall(b"please hold the line\r\n")


def speaks_http(connection: socket.socket, _over: threading.Event) -> None:
    """Answer as a web server does to what it does not understand."""
    connection.recv(64)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nclosed, timeout, EOF")


def speaks_old_ssh(connection: socket.socket, over: threading.Event) -> None:
    """Say that only version 1 of the protocol is spoken."""
    connection.sendall(b"SSH-1.5-ancient\r\n")
    over.wait(_PATIENCE)


def stops_after_the_banner(connection: socket.socket, over: threading.Event) -> None:
    """Say what an SSH server says first, then nothing."""
    connection.sendall(b"SSH-2.0-sleepy\r\n")
    over.wait(_PATIENCE)


def drips_a_packet(connection: socket.socket, over: threading.Event) -> None:
    """Begin a packet, and send a byte of it now and then, so that something always comes."""
    connection.sendall(b"SSH-2.0-drowsy\r\n\0\0\x10\0\x04")
    while not over.wait(0.1):
        connection.sendall(b"x")


def hangs_up_after_the_banner(connection: socket.socket, _over: threading.Event) -> None:
    """Say what an SSH server says first, hear the client out, and close."""
    connection.sendall(b"SSH-2.0-hasty\r\n")
    connection.recv(4096)


def talks_garbage_after_the_banner(connection: socket.socket, over: threading.Event) -> None:
    """Begin as an SSH server and go on with bytes that are no packets."""
    connection.sendall(b"SSH-2.0-mad\r\n")
    while not over.is_set():
        connection.sendall(b"\xff" * 512)


def offers(algorithms: Mapping[str, str], reply: bytes = b"") -> Behaviour:
    """Return an SSH server that offers these ``algorithms`` alone, and answers with ``reply``.

    They are its ``kex``, ``host_key``, ``cipher`` and ``mac``. It goes as far as the key
    exchange's second message (RFC 4253, sections 6 and 7.1).
    """

    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"SSH-2.0-peculiar\r\n")
        kinds = ("kex", "host_key", "cipher", "cipher", "mac", "mac")
        lists = [*(algorithms[kind] for kind in kinds), "none", "none", "", ""]
        names = b"".join(struct.pack(">I", len(text)) + text.encode() for text in lists)
        connection.sendall(_packet(b"\x14" + bytes(16) + names + bytes(5)))
        if reply:
            _read_until(connection, b"\x1e")
            connection.sendall(_packet(reply))
        over.wait(_PATIENCE)

    return behave


def _packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def _read_until(connection: socket.socket, kind: bytes) -> None:
    """Read packets until one of that kind came."""
    stream = connection.makefile("rb")
    stream.readline()
    while True:
        (length,) = struct.unpack(">I", stream.read(4))
        if stream.read(length)[1:2] == kind:
            return


@contextmanager
def answering_at(path: Path, answer: bytes | None) -> Iterator[Path]:
    """Listen at a Unix socket, and ``answer`` a client's first bytes; ``None``: not at all."""
    over = threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                if answer is None:
                    over.wait(_PATIENCE)
                else:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield path
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(_PATIENCE)


def request_of(peer: socket.socket) -> bytes:
    """Return the whole request that came over ``peer``, its body too."""
    received = bytearray()
    while b"\r\n\r\n" not in received and (data := peer.recv(65536)):
        received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    while found and len(body) < int(found[1]) and (data := peer.recv(65536)):
        body += data
    return head + b"\r\n\r\n" + body
