"""A real sftp-server behind a wire that can be cut, or made to lie, at any request.

The wire stands where an SSH channel would: what is above it is the product, what is below it is
OpenSSH's own server, run as whichever user. Requests are counted from 1, the greeting not counted.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.transport.become import SERVERS
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.sftp.client import SftpStream
from aegis_provision.transport.sftp.files import SftpFiles
from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_INIT, _STATUS, _EXTENDED = 1, 101, 200
FAILURE, UNSUPPORTED = 4, 8


class Trouble(Enum):
    """What happens to the request in question."""

    NEVER_ARRIVES = "the connection is lost before the host has the request"
    NEVER_ANSWERED = "the host does what it was asked, and the connection is lost before it says so"
    FAILS = "the host answers that it failed"


@dataclass
class Wire:
    """Passes whole packets between a client and the server at ``server``.

    ``trouble`` strikes at request number ``at``; ``meanwhile`` holds what is called before the
    request of a number goes out. ``without`` names extensions that the server is made to lack.
    ``words`` is what a failure says. ``requests`` holds the kinds of all requests so far,
    ``round_trips`` counts how often the client had something to send.
    """

    server: socket.socket
    at: int = 0
    trouble: Trouble | None = None
    meanwhile: Mapping[int, Callable[[], object]] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    words: bytes = b"Failure"
    requests: list[int] = field(default_factory=list)
    round_trips: int = 0
    _out: bytes = b""
    _in: bytes = b""
    _ready: bytes = b""
    _last: bytes | None = None
    _cut: bool = False
    _unanswered: set[bytes] = field(default_factory=set)

    def send(self, data: bytes) -> int:
        """Take a part of the client's stream."""
        if self._cut:
            raise BrokenPipeError
        self.round_trips += 1
        self._out += data
        packets, self._out = _whole_packets(self._out)
        # With a request that never arrives, what was to go out after it does not either.
        for _ in itertools.takewhile(self._forward, packets):
            continue
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return a part of the server's stream, nothing once the wire is cut."""
        while not self._ready and not self._cut:
            if not self._take_answers():
                return b""
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def settimeout(self, seconds: float | None) -> None:
        """Bound each step."""
        self.server.settimeout(seconds)

    def close(self) -> None:
        """Cut the wire."""
        self._cut = True

    def _take_answers(self) -> bool:
        """Wait for something from the server; tell whether there was."""
        data = self.server.recv(65536)
        packets, self._in = _whole_packets(self._in + data)
        for packet in packets:
            self._unanswered.discard(packet[5:9])
            if self._last is not None and packet[5:9] == self._last:
                self._cut = True
                break
            self._ready += packet
        return bool(data)

    def _forward(self, packet: bytes) -> bool:
        """Pass a packet on; tell whether the wire is still whole."""
        if packet[4] == _INIT:
            self.server.sendall(packet)
            return True
        self.requests.append(packet[4])
        if len(self.requests) in self.meanwhile:
            while self._unanswered and self._take_answers():
                continue  # what was asked before has happened by then
            self.meanwhile[len(self.requests)]()
        if len(self.requests) == self.at:
            match self.trouble:
                case Trouble.NEVER_ARRIVES:
                    self._cut = True
                    return False
                case Trouble.NEVER_ANSWERED:
                    self._last = packet[5:9]
                case Trouble.FAILS:
                    self._ready += _status(packet[5:9], FAILURE, self.words)
                    return True
                case None:
                    pass
        if packet[4] == _EXTENDED and _extension(packet) in self.without:
            self._ready += _status(packet[5:9], UNSUPPORTED, b"Operation unsupported")
            return True
        self._unanswered.add(packet[5:9])
        self.server.sendall(packet)
        return True


def find_sftp_server() -> str:
    """Return the server's path. Without one the test is skipped, or fails where CI is set."""
    found = next((place for place in SERVERS if os.access(place, os.X_OK)), None)
    if found is None:
        message = "there is no sftp-server on this machine: install openssh-sftp-server"
        missing(message)
    return found


@contextmanager
def wired(
    *,
    at: int = 0,
    trouble: Trouble | None = None,
    meanwhile: Mapping[int, Callable[[], object]] | None = None,
    without: frozenset[str] = frozenset(),
    words: bytes = b"Failure",
    user: int | None = None,
    umask: int = 0o022,
) -> Iterator[tuple[SftpFiles, Wire]]:
    """Run a server and yield its files and the wire to it; ``user`` is as whom it runs."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [find_sftp_server()],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                umask=umask,
                cwd="/",
            )
        try:
            wire = Wire(ours, at, trouble, meanwhile or {}, without, words)
            stream = SftpStream(wire, 20.0, Deadline.after(60.0))
            files = SftpFiles(stream)
            files.start()
            yield files, wire
        finally:
            ours.close()
            process.wait(timeout=30)


def _whole_packets(data: bytes) -> tuple[list[bytes], bytes]:
    packets = []
    while len(data) >= 4:
        end = 4 + struct.unpack(">I", data[:4])[0]
        if len(data) < end:
            break
        packets.append(data[:end])
        data = data[end:]
    return packets, data


def _status(number: bytes, code: int, words: bytes) -> bytes:
    body = bytes([_STATUS]) + number + struct.pack(">II", code, len(words)) + words
    body += struct.pack(">I", 0)
    return struct.pack(">I", len(body)) + body


def _extension(packet: bytes) -> str:
    (length,) = struct.unpack(">I", packet[9:13])
    return packet[13 : 13 + length].decode()
