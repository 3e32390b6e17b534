"""A TCP connection that begins on the host, through the SSH connection that is open already."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.transport.http_messages import NOT_LISTENING, UNKNOWN_NAME, HttpFailure
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import (
    CONNECT_FAILED,
    PROHIBITED,
    UNKNOWN_TYPE,
    ChannelRefusedError,
    Connection,
    open_connection,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

_FORWARDS_NOTHING = HttpFailure(None, "the host's sshd does not forward connections")
_NO_CONNECTION = HttpFailure(ConnectFailure.TIMED_OUT, "no connection in time")
# What sshd says of a connection that failed: the host's own resolver's and system's words.
_REFUSED = ("refused", "connect call failed")
_NO_NAME = ("name", "resol", "nodename", "no address")
_NO_TIME = ("timed out", "timeout")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection through a channel, used like a socket, by the thread that uses the host's."""

    channel: paramiko.Channel

    def send(self, data: bytes, /) -> int:
        """Send some of ``data``; return how much. Raises ``TimeoutError`` and ``OSError``."""
        with _as_a_socket():
            sent = self.channel.send(data)
        if not sent:
            raise BrokenPipeError
        return sent

    def recv(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises ``TimeoutError`` and ``OSError``."""
        with _as_a_socket():
            return self.channel.recv(size)

    def settimeout(self, seconds: float | None, /) -> None:
        """Bound each of the above."""
        self.channel.settimeout(seconds)

    def close(self) -> None:
        """Close both directions; never raises."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _as_a_socket() -> Iterator[None]:
    """Turn what paramiko raises for a connection that was lost into what a socket does."""
    try:
        yield
    except (EOFError, paramiko.SSHException):
        raise ConnectionResetError from None


def tunnel(transport: Connection, host: str, port: int, opening: float) -> Tunnel | HttpFailure:
    """Return a connection whose other end is ``host:port`` as the far side sees it.

    It is open within ``opening`` seconds. Raises :class:`Unreachable` if the SSH connection is
    gone.
    """
    try:
        with map_paramiko_errors("tunnel"):
            channel = _open(transport, host, port, opening)
    except TimeoutError:
        return _NO_CONNECTION
    return channel if isinstance(channel, HttpFailure) else Tunnel(channel)


def _open(
    transport: Connection, host: str, port: int, seconds: float
) -> paramiko.Channel | HttpFailure:
    try:
        return open_connection(transport, host, port, seconds)
    except ChannelRefusedError as refusal:
        return why_refused(refusal)
    except paramiko.SSHException:
        if transport.is_active():
            return _NO_CONNECTION
        if transport.fell_silent:
            raise TimeoutError from None
        raise


def why_refused(refusal: ChannelRefusedError) -> HttpFailure:
    """Return what a refusal means; only what the host says outright counts as "nothing listens".

    If nothing listens, a restart goes ahead: there is no session to lose then.
    """
    code, text = refusal.code, refusal.words.lower()
    if code in {PROHIBITED, UNKNOWN_TYPE}:
        return _FORWARDS_NOTHING
    if code == CONNECT_FAILED:
        if any(word in text for word in _REFUSED):
            return NOT_LISTENING
        if any(word in text for word in _NO_TIME):
            return _NO_CONNECTION
        if any(word in text for word in _NO_NAME):
            return UNKNOWN_NAME
    return HttpFailure(ConnectFailure.UNREACHABLE, "the host can't connect there")
