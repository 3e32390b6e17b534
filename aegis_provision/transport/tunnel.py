"""A TCP connection that begins on the host, through the SSH connection that is open already."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.providers.probe import Silence
from aegis_provision.transport.failures import step
from aegis_provision.transport.http import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 32 * 1024
_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254, section 5.1)


def tunnel(
    transport: paramiko.Transport, host: str, port: int, timeout: float
) -> socket.socket | NoAnswer:
    """Return a socket whose other end is ``host:port`` as the far side sees it.

    A real socket, which TLS can be spoken over. Raises :class:`~.protocol.Unreachable` where the
    SSH connection is gone.
    """
    try:
        with step("tunnel"):
            try:
                channel = transport.open_channel(
                    "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout
                )
            except paramiko.ChannelException as refusal:
                return _refused(refusal)
            except paramiko.SSHException:
                if transport.is_active():
                    raise TimeoutError from None
                raise
    except TimeoutError:
        return NoAnswer(Silence.TIMED_OUT, "no connection in time")
    ours, theirs = socket.socketpair()
    _pump(channel.recv, theirs.sendall, lambda: theirs.shutdown(socket.SHUT_WR))
    _pump(theirs.recv, channel.sendall, channel.close, theirs.close)
    return ours


def _refused(refusal: paramiko.ChannelException) -> NoAnswer:
    if refusal.code == _PROHIBITED:
        return NoAnswer(None, "the host's sshd does not forward connections")
    if "resolv" in refusal.text.lower() or "name" in refusal.text.lower():
        return NoAnswer(Silence.UNKNOWN_NAME, "the name is not known there")
    return NoAnswer(Silence.NOT_LISTENING, "nothing listens there")


def _pump(
    receive: Callable[[int], bytes],
    send: Callable[[bytes], object],
    *ends: Callable[[], object],
) -> None:
    """Carry bytes one way, in a thread of its own, until either side ends."""

    def carry() -> None:
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

    threading.Thread(target=carry, name="tunnel", daemon=True).start()
