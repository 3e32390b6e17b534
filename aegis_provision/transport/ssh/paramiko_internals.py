"""The private and undocumented parts of paramiko that we use, all of them, and why.

:data:`PRIVATE_PARTS` lists them: a test fails if one is gone. ``pyproject.toml`` allows the
versions of paramiko that have them.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko
from paramiko.agent import AgentSSH
from paramiko.packet import Packetizer

from aegis_provision.transport.ssh.algorithms import shown_type
from aegis_provision.transport.ssh.certificates import parse_certificate, read_key
from aegis_provision.transport.ssh.host_keys import ShownKey
from aegis_provision.transport.ssh.public_keys import is_too_short, plain_type, split_string
from aegis_provision.transport.ssh.signatures import is_signed

if TYPE_CHECKING:
    from paramiko.message import Message

# Why a channel is refused (RFC 4254, section 5.1).
PROHIBITED = 1
CONNECT_FAILED = 2
UNKNOWN_TYPE = 3

PRIVATE_PARTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (
        paramiko.Transport,
        (
            "_log",
            "_parse_channel_open_failure",
            "_parse_debug",
            "_verify_key",
            "H",
            "active",
            "channel_events",
            "completion_event",
            "host_key_type",
            "packetizer",
            "preferred_keys",
            "run",
            "saved_exception",
        ),
    ),
    (Packetizer, ("complete_handshake",)),
    (paramiko.Channel, ("event", "status_event")),
    (AgentSSH, ("_close", "_connect")),
)
"""Classes of paramiko, with the attributes and methods that we read, set or override."""


@dataclass(frozen=True, slots=True)
class _Shown:
    key: ShownKey
    blob: bytes
    signature: bytes


def _read_shown(blob: bytes, algorithm: str) -> ShownKey:
    """Return what a server shows for ``algorithm``. Raises ``ValueError``."""
    if split_string(blob)[0].decode("ascii") != shown_type(algorithm):
        raise ValueError("it is of another type than agreed upon")
    if plain_type(algorithm) == algorithm:
        key = read_key(blob)
        if is_too_short(key):
            raise ValueError("it is too short")
        return ShownKey(key)
    certificate = parse_certificate(blob)
    return ShownKey(certificate.key, certificate)


class Connection(paramiko.Transport):
    """paramiko's connection, which asks for host keys and verifies them by our own rules.

    ``refusal`` is why the server last refused a channel, which is never shown; paramiko only logs
    it. ``host_key_algorithms`` are what the server may show, certificates among them, in order.
    ``logged_in_with`` is what an operator knows the key by that the server took.
    """

    refusal = ""
    logged_in_with = ""
    host_key_algorithms: tuple[str, ...] = ()
    _shown: _Shown | None = None

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms to ask for, where paramiko would put all certificates last."""
        return self.host_key_algorithms

    def shown_key(self) -> ShownKey:
        """Return what the server showed. Raises ``paramiko.SSHException`` if nothing yet."""
        if self._shown is None:
            raise paramiko.SSHException("No existing session")
        return self._shown.key

    def run(self) -> None:
        """Serve the connection until it ends, even if the bastion before it was lost first.

        In that case paramiko would raise out of its thread, onto the operator's terminal, and
        leave the threads that wait for an answer waiting.
        """
        try:
            super().run()
        except (EOFError, OSError) as lost:
            self.saved_exception = lost
            self.active = False
            for event in (self.completion_event, *self.channel_events.values()):
                if event is not None:
                    event.set()

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        """Keep what the server shows, if it has the key to it; raise ``SSHException`` if not.

        It has to be of the type, and the signature of the algorithm, that was agreed upon; in a
        later exchange of keys the server has to show the same again.
        """
        algorithm, exchange = self.host_key_type or "", self.H or b""
        try:
            key = _read_shown(host_key, algorithm)
        except ValueError as problem:
            raise paramiko.SSHException(f"Host key: {problem}") from None
        if not is_signed(exchange, sig, key.key.blob, {plain_type(algorithm)}):
            raise paramiko.SSHException("Host key: its signature is wrong")
        if self._shown is not None and self._shown.blob != host_key:
            raise paramiko.SSHException("Host key: it is another than before")
        self._shown = _Shown(key, host_key, sig)

    def abort(self) -> None:
        """Close a connection whose handshake failed.

        paramiko leaves the handshake's timer running, and the process would wait for it.
        """
        self.close()
        self.packetizer.complete_handshake()

    def _log(self, level: int, msg: str, *args: object) -> None:
        """Drop what paramiko would log: what is worth knowing it raises."""

    def _parse_channel_open_failure(self, m: Message) -> None:
        refusal = paramiko.Message(m.asbytes())
        refusal.get_int()
        refusal.get_int()
        self.refusal = refusal.get_string().decode(errors="replace")
        super()._parse_channel_open_failure(m)  # type: ignore[misc] # paramiko's own handler

    def _parse_debug(self, m: Message) -> None:
        """Drop what a server says for its own debugging."""


class _TimedEvent(threading.Event):
    """The event for the answer to a channel's request, for which paramiko would wait forever."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def wait(self, timeout: float | None = None) -> bool:
        """Return once the answer is there. Raises ``TimeoutError``."""
        if not super().wait(self._seconds if timeout is None else timeout):
            raise TimeoutError
        return True


def open_session(transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
    """Return a channel for one command or subsystem, each step of which takes ``seconds`` at most.

    Raises what paramiko raises, and ``TimeoutError``.
    """
    channel = transport.open_session(timeout=seconds)
    channel.settimeout(seconds)
    channel.event = _TimedEvent(seconds)
    return channel


def open_connection(
    transport: paramiko.Transport, host: str, port: int, seconds: float
) -> paramiko.Channel:
    """Return a TCP connection from the far side to ``host:port`` (RFC 4254, section 7.2).

    Raises ``paramiko.ChannelException`` with a code above if it is refused, what else paramiko
    raises, and ``TimeoutError``.
    """
    return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds)


def wait_for_exit(channel: paramiko.Channel, seconds: float) -> bool:
    """Wait for the end of a channel's command, ``seconds`` at most; tell whether it has ended."""
    return channel.status_event.wait(seconds)


class Agent(AgentSSH):
    """The ssh agent behind the socket at a given path, not at the one in our own environment."""

    def __init__(self, path: str, timeout: float) -> None:
        """Connect to the agent's socket and list its keys. Raises ``OSError`` and others."""
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined] # the stubs leave it out
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection to the agent."""
        self._close()  # type: ignore[attr-defined] # the stubs leave it out
