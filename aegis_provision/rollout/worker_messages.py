"""What the operator's process and a worker process send each other, over one socket of their own.

A message is a kind, a number, and a pickle. The operator's process sends a worker its set-up first,
then work, each with a number of its own; what comes back about that work has the same number.
"""

from __future__ import annotations

import pickle
import struct
import threading
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from aegis_provision.rollout.secret_pickle import hide_all, put_together, reveal_all, take_apart

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.transport.ssh.public_keys import HostKey

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


@dataclass(frozen=True, slots=True)
class KeyToSave:
    """A host key that is new, and to be taken on trust: see :data:`~.connect_options.SaveKey`."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    key: HostKey


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


def with_secrets(value: object) -> bytes:
    """Return ``value`` for a worker's pipe: its secrets go along, beside the pickle of the rest."""
    data, secrets = take_apart(value)
    return pickle.dumps((data, reveal_all(secrets)), pickle.HIGHEST_PROTOCOL)


def read_with_secrets(body: bytes) -> Any:
    """Return what :func:`with_secrets` was given; ``body`` came over our own pipe."""
    data, revealed = pickle.loads(body)  # noqa: S301 - from the process that started this one
    return put_together(data, hide_all(revealed))


def plain(value: object) -> bytes:
    """Return ``value`` for the pipe. Raises ``TypeError`` for one with a secret in it."""
    data, secrets = take_apart(value)
    if secrets:
        raise TypeError("a secret was to leave the worker that it was for")
    return data


def read_plain(body: bytes) -> Any:
    """Return what :func:`plain` was given; ``body`` came over our own pipe."""
    return pickle.loads(body)  # noqa: S301 - between the operator's process and its own workers
