"""Foreign exceptions in our own words, in this one place."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.transport.protocol import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

_ERRNO_WORDS = {
    errno.ECONNREFUSED: ("nothing listens there", "check the port, and that sshd runs"),
    errno.EHOSTUNREACH: ("no route to the host", "check the address and the network"),
    errno.ENETUNREACH: ("the network is unreachable", "check the address and the network"),
    errno.ETIMEDOUT: ("no answer", "check the address and firewalls"),
    errno.ECONNRESET: ("the host closed the connection", "look at sshd's log on the host"),
    errno.EPIPE: ("the host closed the connection", "look at sshd's log on the host"),
}
_CLOSED = ("the host closed the connection", "look at sshd's log on the host (MaxStartups?)")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into :class:`Unreachable` at the step called ``name``."""
    try:
        yield
    except Unreachable:
        raise
    except (OSError, EOFError, paramiko.SSHException) as problem:
        reason, hint = explain(problem)
        raise Unreachable(name, reason, hint) from None


def explain(problem: Exception) -> tuple[str, str]:
    """Return the reason and the hint for an exception of paramiko's or of the system's."""
    match problem:
        case socket.gaierror():
            return "the name is not known", "check the spelling, or set 'address'"
        case TimeoutError():
            return "no answer in time", "check the host and the network, or raise --timeout"
        case EOFError():
            return _CLOSED
        case paramiko.ssh_exception.IncompatiblePeer():
            return (
                "the host offers no modern algorithm",
                "update its sshd: SHA-1, CBC and DSA are not used",
            )
        case paramiko.ChannelException():
            return (
                "the host refused to open a channel",
                "look at sshd's AllowTcpForwarding and MaxSessions",
            )
        case paramiko.SSHException():
            return _ssh_words(problem)
        case OSError() as system:
            return _system_words(system)
        case _:
            return type(problem).__name__, ""


def _ssh_words(problem: paramiko.SSHException) -> tuple[str, str]:
    text = str(problem)
    if "banner" in text:
        return "what answers there is no SSH server", "check the address and the port"
    if "imeout" in text:
        return "no answer in time", "check the host and the network, or raise --timeout"
    if "EOF" in text or "closed" in text or "No existing session" in text:
        return _CLOSED
    return f"the SSH library says {type(problem).__name__}", "look at sshd's log on the host"


def _system_words(problem: OSError) -> tuple[str, str]:
    number = problem.errno
    if number in _ERRNO_WORDS:
        return _ERRNO_WORDS[number]
    if number is None:
        return _CLOSED
    return os.strerror(number).lower(), ""
