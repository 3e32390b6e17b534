"""The private and undocumented parts of paramiko that we use, all of them, and why.

:data:`PRIVATE_PARTS` lists them: a test fails if one is gone. ``pyproject.toml`` allows the
versions of paramiko that have them.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import paramiko
from paramiko.agent import AgentSSH
from paramiko.packet import Packetizer

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
            "active",
            "channel_events",
            "completion_event",
            "packetizer",
            "run",
            "saved_exception",
        ),
    ),
    (Packetizer, ("complete_handshake",)),
    (paramiko.Channel, ("event", "status_event")),
    (AgentSSH, ("_close", "_connect")),
)
"""Classes of paramiko, with the attributes and methods that we read, set or override."""


class Connection(paramiko.Transport):
    """paramiko's connection, which also keeps why the server last refused a channel.

    ``refusal`` is what the server said, which is never shown; paramiko only logs it.
    """

    refusal = ""

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
