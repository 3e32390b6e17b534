"""What the operator's process and a worker process send each other, over one socket of their own.

A message is a kind, a number, and a pickle. The operator's process sends a worker its set-up first,
then work, each with a number of its own; what comes back about that work has the same number.
"""

from __future__ import annotations

import struct
import threading
from enum import IntEnum
from multiprocessing.connection import Connection

_HEAD = struct.Struct("!BQ")


class Kind(IntEnum):
    """What a message is: the first from the operator's process, the others from a worker."""

    SET_UP = 1
    WORK = 2
    ANSWER = 3
    CANCEL = 4
    EVENT = 5
    BEFORE_WRITE = 6
    DONE = 7
    BUG = 8
    SAVE_KEY = 9
    GONE = 10
    READY = 11


class MessageStream:
    """A socket's messages; any thread may send, one alone may receive."""

    def __init__(self, descriptor: int) -> None:
        """Take ``descriptor`` over, a socket that is connected."""
        self._connection = Connection(descriptor)
        self._sending = threading.Lock()

    def send(self, kind: Kind, number: int, body: bytes = b"") -> None:
        """Send a message. Raises ``OSError`` if the other side is gone."""
        with self._sending:
            self._connection.send_bytes(_HEAD.pack(kind, number) + body)

    def receive(self) -> tuple[Kind, int, bytes]:
        """Wait for a message. Raises ``EOFError`` and ``OSError`` if the other side is gone."""
        data = self._connection.recv_bytes()
        kind, number = _HEAD.unpack_from(data)
        return Kind(kind), number, data[_HEAD.size :]

    def close(self) -> None:
        """Close the socket; no thread may be in it."""
        self._connection.close()
