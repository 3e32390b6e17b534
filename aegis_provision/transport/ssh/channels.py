"""Channels of an SSH connection, opened and answered within their time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import paramiko

if TYPE_CHECKING:
    from paramiko.message import Message

# Why a channel is refused (RFC 4254, section 5.1).
PROHIBITED = 1
CONNECT_FAILED = 2
UNKNOWN_TYPE = 3


class Connection(paramiko.Transport):
    """The library's connection, which also keeps why the server last refused a channel.

    ``refusal`` is what the server said, for no eyes but ours; the library only logs it.
    """

    refusal = ""

    def run(self) -> None:
        """Serve the connection until it ends; through a bastion that was lost first, too.

        The library would raise out of its thread then, on the operator's terminal, and leave those
        who wait for an answer waiting.
        """
        try:
            super().run()
        except (EOFError, OSError) as lost:
            self.saved_exception = lost
            self.active = False
            for event in (self.completion_event, *self.channel_events.values()):
                if event is not None:
                    event.set()

    def _log(self, level: int, msg: str, *args: object) -> None:
        """Pass over what the library would log: what is worth knowing it raises."""

    def _parse_channel_open_failure(self, m: Message) -> None:
        said = paramiko.Message(m.asbytes())
        said.get_int()
        said.get_int()
        self.refusal = said.get_string().decode(errors="replace")
        super()._parse_channel_open_failure(m)  # type: ignore[misc] # the library's own handler

    def _parse_debug(self, m: Message) -> None:
        """Pass over what a server says for its own debugging: nobody looks at it here."""


class _Answer(threading.Event):
    """The answer to a channel's request, for which the library would wait for ever."""

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

    Raises whatever the library does, and ``TimeoutError``.
    """
    channel = transport.open_session(timeout=seconds)
    channel.settimeout(seconds)
    channel.event = _Answer(seconds)
    return channel


def open_connection(
    transport: paramiko.Transport, host: str, port: int, seconds: float
) -> paramiko.Channel:
    """Return a TCP connection from the far side to ``host:port`` (RFC 4254, section 7.2).

    Raises ``paramiko.ChannelException`` with the code above where it is refused, whatever else
    the library does, and ``TimeoutError``.
    """
    return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds)
