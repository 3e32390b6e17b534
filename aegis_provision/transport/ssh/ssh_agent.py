"""The operator's ssh agent: which keys it has, and what it signs (OpenSSH's PROTOCOL.agent)."""

from __future__ import annotations

import socket
import time

from aegis_provision.transport.ssh.public_keys import split_string, to_string
from aegis_provision.values import dataclass

_LIST, _LISTED, _SIGN, _SIGNED, _EXTENSION = 11, 12, 13, 14, 27
_BIND = b"session-bind@openssh.com"
_SHA2 = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_LONGEST_ANSWER = 256 * 1024
_MOST_KEYS = 2048
_SHORTEST_WAIT = 0.001


class AgentError(Exception):
    """What answers is no agent, or stopped being one."""


class AgentRefusedError(Exception):
    """The agent would not sign."""


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A public key or certificate that the agent has the private key of."""

    blob: bytes
    comment: str


@dataclass(frozen=True, slots=True)
class Session:
    """What ties a connection to an agent to an SSH session: the host's key, and its signature.

    Keys that are restricted to some hosts (``ssh-add -h``) are used for nothing else.
    """

    host_key: bytes
    identifier: bytes
    signature: bytes


class SshAgent:
    """A connection to the agent; only one thread may use it at a time."""

    def __init__(self, path: str, seconds: float) -> None:
        """Connect to the agent's socket at ``path`` within ``seconds``. Raises ``OSError``."""
        self._connection = socket.socket(socket.AF_UNIX)
        self._seconds = seconds
        self._bound = False
        try:
            self._connection.settimeout(seconds)
            self._connection.connect(path)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def keys(self) -> tuple[AgentKey, ...]:
        """Return the keys that the agent has. Raises ``OSError`` and :class:`AgentError`."""
        kind, rest = self._ask(bytes([_LIST]), self._seconds)
        if kind != _LISTED or len(rest) < 4:
            raise AgentError("no list of keys")
        count, rest = int.from_bytes(rest[:4], "big"), rest[4:]
        found: list[AgentKey] = []
        try:
            for _ in range(min(count, _MOST_KEYS)):
                blob, rest = split_string(rest)
                comment, rest = split_string(rest)
                split_string(blob)
                found.append(AgentKey(blob, comment.decode("utf-8", "replace")))
        except ValueError:
            raise AgentError("no proper list of keys") from None
        return tuple(found)

    def sign(
        self, blob: bytes, data: bytes, algorithm: str, session: Session, seconds: float
    ) -> bytes:
        """Return the agent's signature of ``data`` with the key ``blob``, within ``seconds``.

        It is for ``session`` alone. Raises :class:`AgentRefusedError`, :class:`AgentError` and
        ``OSError``.
        """
        self._bind(session)
        flags = _SHA2.get(algorithm, 0).to_bytes(4, "big")
        request = bytes([_SIGN]) + to_string(blob) + to_string(data) + flags
        kind, rest = self._ask(request, seconds)
        if kind != _SIGNED:
            raise AgentRefusedError
        try:
            signature, _ = split_string(rest)
            made_with = split_string(signature)[0].decode("ascii", "replace")
        except ValueError:
            raise AgentError("no proper signature") from None
        if made_with != algorithm:  # an old agent signs with SHA-1 in any case
            raise AgentRefusedError
        return signature

    def _bind(self, session: Session) -> None:
        if self._bound:
            return
        self._bound = True
        parts = (_BIND, session.host_key, session.identifier, session.signature)
        request = bytes([_EXTENSION]) + b"".join(map(to_string, parts)) + b"\0"
        # Agents that do not know of it say so, and have no keys that are restricted.
        self._ask(request, self._seconds)

    def _ask(self, request: bytes, seconds: float) -> tuple[int, bytes]:
        until = time.monotonic() + seconds
        self._connection.settimeout(seconds)
        self._connection.sendall(to_string(request))
        length = int.from_bytes(self._receive(4, until), "big")
        if not 0 < length <= _LONGEST_ANSWER:
            raise AgentError("no proper answer")
        answer = self._receive(length, until)
        return answer[0], answer[1:]

    def _receive(self, size: int, until: float) -> bytes:
        received = b""
        while len(received) < size:
            self._connection.settimeout(max(_SHORTEST_WAIT, until - time.monotonic()))
            more = self._connection.recv(size - len(received))
            if not more:
                raise AgentError("it hung up")
            received += more
        return received
