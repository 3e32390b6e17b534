"""Foreign exceptions in our own words, in this one place, and the library's own words nowhere."""

from __future__ import annotations

import errno
import logging
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko
from paramiko.ssh_exception import (
    IncompatiblePeer,
    NoValidConnectionsError,
    PartialAuthentication,
)

from aegis_provision.transport.protocol import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nobody asked for the library's log, and it would go to the operator's terminal.
_LIBRARY_LOG = logging.getLogger("paramiko")
_LIBRARY_LOG.addHandler(logging.NullHandler())
_LIBRARY_LOG.propagate = False

_LOOK_AT_LOG = "look at sshd's log on the host"
_ROUTE = "check the address and the network"
_CLOSED = ("the host closed the connection", f"{_LOOK_AT_LOG} (MaxStartups?)")
_ERRNO_WORDS = {
    errno.ECONNREFUSED: ("nothing listens there", "check the port, and that sshd runs"),
    errno.EHOSTUNREACH: ("no route to the host", _ROUTE),
    errno.EHOSTDOWN: ("the host is down", _ROUTE),
    errno.ENETUNREACH: ("the network is unreachable", _ROUTE),
    errno.ENETDOWN: ("the network is down", _ROUTE),
    errno.EADDRNOTAVAIL: ("the address can't be reached from here", _ROUTE),
    errno.ETIMEDOUT: ("no answer", "check the address and firewalls"),
    errno.ECONNRESET: _CLOSED,
    errno.ECONNABORTED: _CLOSED,
    errno.EPIPE: _CLOSED,
    errno.EMFILE: ("too many files are open here", "lower --forks, or raise 'ulimit -n'"),
    errno.ENFILE: ("too many files are open here", "lower --forks"),
}
NO_TIME = ("no answer in time", "check the host and the network, or raise --timeout")
"""The reason and the hint where something took longer than it may."""

_NO_SSH = ("what answers there is no SSH server", "check the address and the port")
_NO_WORD = (
    "the host closed the connection before it said anything in SSH",
    "check the address and the port; a busy sshd does this too (MaxStartups)",
)
_BROKEN = ("what the host sends is not proper SSH", f"try again, or {_LOOK_AT_LOG}")
_REFUSED = ("the host refused the login", _LOOK_AT_LOG)

# How the library's texts begin, and what they mean. It has no classes for these.
_NO_BANNER = "Error reading SSH protocol banner"
_TEXTS = {
    "Indecipherable protocol version": _NO_SSH,
    "Invalid SSH banner": _NO_SSH,
    "Timeout": NO_TIME,
    "Key-exchange timed out": NO_TIME,
    "Negotiation failed": _CLOSED,
    "Unable to open channel": _CLOSED,
    "EOF during negotiation": _CLOSED,
    "No existing session": _CLOSED,
    "SSH session not active": _CLOSED,
    "Server connection dropped": _CLOSED,
    "Channel closed": _CLOSED,
    "Channel is not open": _CLOSED,
}
_UNMET = {
    "kex": "key exchange",
    "host key": "host key",
    "cipher": "cipher",
    "mac": "MAC",
}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Turn what the system or the library says inside into :class:`Unreachable` at ``name``."""
    try:
        yield
    except Unreachable:
        raise
    except (OSError, EOFError, paramiko.SSHException) as problem:
        reason, hint = explain(problem)
        raise Unreachable(name, reason, hint) from None


@contextmanager
def library_step(name: str) -> Iterator[None]:
    """Do the same around calls of the SSH library and nothing else.

    It raises here whatever its own thread choked on: a key of the wrong length is a
    ``ValueError``. One host's garbage must not end the run.
    """
    with step(name):
        try:
            yield
        except (OSError, EOFError, paramiko.SSHException, Unreachable):
            raise
        except Exception:  # noqa: BLE001 - see above
            raise Unreachable(name, *_BROKEN) from None


def explain(problem: Exception) -> tuple[str, str]:
    """Return the reason and the hint for an exception of paramiko's or of the system's."""
    match problem:
        case socket.gaierror():
            return "the name is not known", "check the spelling, or set 'address'"
        case TimeoutError():
            return NO_TIME
        case EOFError():
            return _CLOSED
        case NoValidConnectionsError():
            return explain(next(iter(problem.errors.values())))
        case OSError() as system:
            return _system_words(system)
        case IncompatiblePeer():
            return _incompatible(str(problem))
        case PartialAuthentication():
            return "the host wants more than a key", _LOOK_AT_LOG
        case paramiko.PasswordRequiredException():
            return "the key has a passphrase", "add it to an agent with ssh-add"
        case paramiko.AuthenticationException():
            return _REFUSED
        case paramiko.ChannelException():
            return (
                "the host refused to open a channel",
                "look at MaxSessions in its sshd_config",
            )
        case paramiko.SSHException():
            return _ssh_words(str(problem))
        case _:
            return _BROKEN


def _incompatible(text: str) -> tuple[str, str]:
    if text.startswith("Incompatible version"):
        return "the host speaks an outdated version of SSH", "update its sshd"
    unmet = next((words for name, words in _UNMET.items() if name in text), "algorithm")
    return f"the host offers no modern {unmet}", "update its sshd: SHA-1, CBC and DSA are not used"


def _ssh_words(text: str) -> tuple[str, str]:
    if text.startswith(_NO_BANNER):
        after = text.removeprefix(_NO_BANNER)
        if "timed out" in after:
            return NO_TIME
        return _NO_WORD if not after or after.startswith("[Errno") else _NO_SSH
    return next((words for start, words in _TEXTS.items() if text.startswith(start)), _BROKEN)


def _system_words(problem: OSError) -> tuple[str, str]:
    number = problem.errno
    if number in _ERRNO_WORDS:
        return _ERRNO_WORDS[number]
    if number is None:
        return _CLOSED
    place = f"{problem.filename}: " if problem.filename else ""
    return f"{place}{os.strerror(number).lower()}", ""


def file_words(problem: OSError) -> str:
    """Return why a file operation on a host failed."""
    if isinstance(problem, PermissionError):
        return "no permission"
    if problem.errno == errno.EOPNOTSUPP:
        return "the host's SFTP server can't rename over a file (posix-rename@openssh.com)"
    if problem.errno is None:
        return "the host says no more than 'failure' (is its disk full?)"
    return os.strerror(problem.errno).lower()
