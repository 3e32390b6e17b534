"""paramiko's exceptions in our own words: the one place where they are mapped."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko
from paramiko.ssh_exception import (
    IncompatiblePeer,
    NoValidConnectionsError,
    PartialAuthentication,
)

from aegis_provision.errors import Unreachable
from aegis_provision.transport.errors import (
    CLOSED,
    LOOK_AT_LOG,
    NO_MEMORY,
    NO_TIME,
    NO_WORD,
    PENALIZED,
    THROTTLED,
    describe_os_error,
    passing_of,
)
from aegis_provision.transport.ssh.paramiko_internals import NO_BANNER, TurnedAwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

# paramiko's log would go to the operator's terminal.
_LIBRARY_LOG = logging.getLogger("paramiko")
_LIBRARY_LOG.addHandler(logging.NullHandler())
_LIBRARY_LOG.propagate = False

_NO_SSH = ("what answers there is no SSH server", "check the address and the port")
_BROKEN = ("what the host sends is not proper SSH", f"try again, or {LOOK_AT_LOG}")
_REFUSED = ("the host refused the login", LOOK_AT_LOG)

# What sshd says before it hangs up, in place of its banner (its sshd.c).
_TURNED_AWAY = (("Exceeded MaxStartups", THROTTLED), ("Not allowed at this time", PENALIZED))

# How paramiko's texts begin, and what they mean: it has no classes for these.
_TEXTS = {
    "Indecipherable protocol version": _NO_SSH,
    "Invalid SSH banner": _NO_SSH,
    "Timeout": NO_TIME,
    "Key-exchange timed out": NO_TIME,
    "Negotiation failed": CLOSED,
    "Unable to open channel": CLOSED,
    "EOF during negotiation": CLOSED,
    "No existing session": CLOSED,
    "SSH session not active": CLOSED,
    "Server connection dropped": CLOSED,
    "Channel closed": CLOSED,
    "Channel is not open": CLOSED,
}
_UNMET = {
    "kex": "key exchange",
    "host key": "host key",
    "cipher": "cipher",
    "mac": "MAC",
}


@contextmanager
def map_paramiko_errors(name: str) -> Iterator[None]:
    """Turn what paramiko or the system raises inside into :class:`Unreachable` at ``name``.

    Only for calls of paramiko: it raises here what its own thread failed on (a key of the wrong
    length is a ``ValueError``), and one host's garbage must not end the run.
    """
    try:
        yield
    except Unreachable:
        raise
    except Exception as problem:  # noqa: BLE001 - see above
        reason, hint = explain(problem)
        raise Unreachable(name, reason, hint, passing=passing_of(name, reason, hint)) from None


def explain(problem: Exception) -> tuple[str, str]:
    """Return the reason and the hint for an exception of paramiko's or of the system's."""
    match problem:
        case NoValidConnectionsError():
            return explain(next(iter(problem.errors.values())))
        case OSError() | EOFError():
            return describe_os_error(problem)
        case MemoryError():
            return NO_MEMORY
        case IncompatiblePeer():
            return _incompatible(str(problem))
        case PartialAuthentication():
            return "the host wants more than a key", LOOK_AT_LOG
        case paramiko.PasswordRequiredException():
            return "the key has a passphrase", "add it to an agent with ssh-add"
        case paramiko.AuthenticationException():
            return _REFUSED
        case paramiko.ChannelException():
            return (
                "the host refused to open a channel",
                "look at MaxSessions in its sshd_config",
            )
        case TurnedAwayError():
            return next((told for words, told in _TURNED_AWAY if words in problem.said), _NO_SSH)
        case paramiko.SSHException():
            return _ssh_words(str(problem))
        case _:
            return _BROKEN


def to_os_error(problem: paramiko.SSHException | OSError) -> OSError:
    """Return the system's error that says the same of a connection as one of paramiko's."""
    if isinstance(problem, OSError):
        return problem
    return TimeoutError() if explain(problem) == NO_TIME else ConnectionResetError(str(problem))


def _incompatible(text: str) -> tuple[str, str]:
    if text.startswith("Incompatible version"):
        return "the host speaks an outdated version of SSH", "update its sshd"
    unmet = next((words for name, words in _UNMET.items() if name in text), "algorithm")
    return f"the host offers no modern {unmet}", "update its sshd: SHA-1, CBC and DSA are not used"


def _ssh_words(text: str) -> tuple[str, str]:
    if text.startswith(NO_BANNER):
        after = text.removeprefix(NO_BANNER)
        if "timed out" in after:
            return NO_TIME
        return NO_WORD if not after or after.startswith("[Errno") else _NO_SSH
    return next((words for start, words in _TEXTS.items() if text.startswith(start)), _BROKEN)
