"""A TCP connection that begins on the host, through the SSH connection that is open already."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.providers.probe_verdict import ConnectFailure
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

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 32 * 1024
_FORWARDS_NOTHING = HttpFailure(None, "the host's sshd does not forward connections")
_NO_CONNECTION = HttpFailure(ConnectFailure.TIMED_OUT, "no connection in time")
# What sshd says of a connection that failed: the host's own resolver's and system's words.
_REFUSED = ("refused", "connect call failed")
_NO_NAME = ("name", "resol", "nodename", "no address")
_NO_TIME = ("timed out", "timeout")


def tunnel(
    transport: Connection, host: str, port: int, opening: float, idle: float
) -> socket.socket | HttpFailure:
    """Return a socket whose other end is ``host:port`` as the far side sees it.

    It is a real socket, so that TLS can be spoken over it. It is open within ``opening`` seconds,
    and closed once nothing went through it for ``idle`` seconds; closing it closes both directions.
    Raises :class:`Unreachable` if the SSH connection is gone.
    """
    try:
        with map_paramiko_errors("tunnel"):
            channel = _open(transport, host, port, opening)
            if isinstance(channel, HttpFailure):
                return channel
            try:
                ours, theirs = socket.socketpair()
            except OSError:
                channel.close()
                raise
    except TimeoutError:
        return _NO_CONNECTION
    transport.read_in_background()
    # After that no request waits any more; a far side that neither takes nor sends anything would
    # keep the threads for as long as the connection.
    channel.settimeout(idle)
    _pump(channel.recv, theirs.sendall, lambda: theirs.shutdown(socket.SHUT_WR))
    _pump(theirs.recv, channel.sendall, channel.close, theirs.close)
    return ours


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


def _pump(
    receive: Callable[[int], bytes],
    send: Callable[[bytes], object],
    *ends: Callable[[], object],
) -> None:
    """Copy bytes in one direction, in a thread of its own, until either side ends."""

    def copy() -> None:
        try:
            while data := receive(_CHUNK):
                send(data)
        except (OSError, EOFError, paramiko.SSHException):
            pass
        for end in ends:
            try:
                end()
            except (OSError, EOFError, paramiko.SSHException):
                continue

    threading.Thread(target=copy, name="tunnel", daemon=True).start()
