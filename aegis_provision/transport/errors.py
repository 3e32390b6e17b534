"""The system's errors in our own words (see also :mod:`~.ssh.paramiko_errors`)."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aegis_provision.errors import Passing, Stage, Unreachable
from aegis_provision.files.reading import UnfitFileError
from aegis_provision.transport.filesystem import RenameNotAllowedError, RenameNotOfferedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RENAME = "posix-rename@openssh.com"
LOOK_AT_LOG = "look at sshd's log on the host"
_ROUTE = "check the address and the network"
CLOSED = ("the host closed the connection", f"{LOOK_AT_LOG} (MaxStartups?)")
HUNG_UP_ON_LOGIN = (
    CLOSED[0],
    f"{LOOK_AT_LOG}: a ChrootDirectory that is not root's alone, or a limit of the account?",
)
NO_WORD = (
    "the host closed the connection before it said anything in SSH",
    "check the address and the port; a busy sshd does this too (MaxStartups)",
)
THROTTLED = (
    "the host takes no more connections for now (MaxStartups)",
    "look at MaxStartups in its sshd_config, or lower --forks",
)
PENALIZED = (
    "the host takes no connections from this address for now (PerSourcePenalties)",
    "look at PerSourcePenalties in its sshd_config, or raise --deadline",
)
NOTHING_LISTENS = ("nothing listens there", "check the port, and that sshd runs")
NO_ANSWER = ("no answer", "check the address and firewalls")
UNKNOWN_NAME = ("the name is not known", "check the spelling, or set 'address'")
_NO_NAME_SERVER = (
    "the name can't be looked up now",
    "check this machine's network and name server, or set 'address'",
)
TOO_MANY_FILES = ("too many files are open here", "lower --forks, or raise 'ulimit -n'")
TOO_MANY_FILES_IN_ALL = ("too many files are open here", "lower --forks")
NO_MEMORY = ("this machine has no memory left", "lower --forks")
NO_PROCESS = ("this machine starts no further process", "lower --forks, or raise 'ulimit -u'")
_SHORT_HERE = frozenset({TOO_MANY_FILES, TOO_MANY_FILES_IN_ALL, NO_MEMORY, NO_PROCESS})
_BY_ERRNO = {
    errno.ECONNREFUSED: NOTHING_LISTENS,
    errno.EHOSTUNREACH: ("no route to the host", _ROUTE),
    errno.EHOSTDOWN: ("the host is down", _ROUTE),
    errno.ENETUNREACH: ("the network is unreachable", _ROUTE),
    errno.ENETDOWN: ("the network is down", _ROUTE),
    errno.EADDRNOTAVAIL: ("the address can't be reached from here", _ROUTE),
    errno.ETIMEDOUT: NO_ANSWER,
    errno.ECONNRESET: CLOSED,
    errno.ECONNABORTED: CLOSED,
    errno.EPIPE: CLOSED,
    errno.EMFILE: TOO_MANY_FILES,
    errno.ENFILE: TOO_MANY_FILES_IN_ALL,
    errno.ENOMEM: NO_MEMORY,
    errno.ENOBUFS: NO_MEMORY,
    errno.EAGAIN: NO_PROCESS,
}
NO_TIME = ("no answer in time", "check the host and the network, or raise --timeout")
"""The reason and the hint for a step that took too long."""

CONNECT, HANDSHAKE, THROUGH = "connect", "handshake", "bastion"
"""The steps up to the login; at the last of them a bastion connects to what is behind it."""

_PASSING: Mapping[str, Mapping[tuple[str, str], Passing]] = {
    CONNECT: {
        NOTHING_LISTENS: Passing.SOON,
        _NO_NAME_SERVER: Passing.SOON,
        CLOSED: Passing.SOON,
        NO_ANSWER: Passing.SLOWLY,
        NO_TIME: Passing.SLOWLY,
    },
    HANDSHAKE: {
        THROTTLED: Passing.WHEN_LEFT_ALONE,
        PENALIZED: Passing.WHEN_LEFT_ALONE,
        NO_WORD: Passing.UNSAID,
        CLOSED: Passing.SOON,
        NO_TIME: Passing.SLOWLY,
    },
    THROUGH: {CLOSED: Passing.SOON, NO_TIME: Passing.SLOWLY},
}


def passing_of(step: str, reason: str, hint: str) -> Passing | None:
    """Return how soon a failure at ``step`` may be over; ``None`` for one that stays."""
    if (reason, hint) in _SHORT_HERE:
        return Passing.WITH_ROOM_HERE
    return _PASSING.get(step, {}).get((reason, hint))


class BastionLostError(ConnectionResetError):
    """The connection to a bastion was lost, and with it those that went through it."""

    def __init__(self, bastion: str) -> None:
        """Keep the bastion's name."""
        super().__init__(f"the connection to the bastion {bastion} was lost")


class NotBoundError(OSError):
    """A connection could not begin where the ssh config says (BindAddress, BindInterface)."""

    def __init__(self, keyword: str, value: str) -> None:
        """Keep what the config says."""
        super().__init__(f"this machine has no such address to connect from ({keyword} {value})")


class NameTimeoutError(TimeoutError):
    """The resolver gave no answer in time."""


_NAME_PROBLEMS = (socket.gaierror, NameTimeoutError)


@contextmanager
def map_errors(name: str) -> Iterator[None]:
    """Turn the system's errors inside into :class:`Unreachable` at ``name``."""
    try:
        yield
    except MemoryError:
        raise Unreachable(name, *NO_MEMORY, passing=Passing.WITH_ROOM_HERE) from None
    except (OSError, EOFError) as problem:
        reason, hint = describe_os_error(problem)
        stage = Stage.NAME if isinstance(problem, _NAME_PROBLEMS) else None
        passing = passing_of(name, reason, hint)
        raise Unreachable(name, reason, hint, stage=stage, passing=passing) from None


def describe_os_error(problem: OSError | EOFError) -> tuple[str, str]:
    """Return the reason and the hint for one of the system's errors."""
    match problem:
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return _NO_NAME_SERVER
        case socket.gaierror(errno=socket.EAI_MEMORY):
            return NO_MEMORY
        case socket.gaierror():
            return UNKNOWN_NAME
        case TimeoutError():
            return NO_TIME
        case BastionLostError():
            return str(problem), "look at sshd's log on the bastion"
        case NotBoundError():
            return str(problem), "correct BindAddress or BindInterface in the ssh config"
        case EOFError() | OSError(errno=None):
            return CLOSED
        case OSError(errno=number) if number in _BY_ERRNO:
            return _BY_ERRNO[number]
        case UnfitFileError():
            why = problem.strerror or ""
            return f"{problem.filename}: {why[:1].lower()}{why[1:]}", "name another file"
    prefix = f"{problem.filename}: " if problem.filename else ""
    return f"{prefix}{os.strerror(problem.errno or 0).lower()}", ""


def describe_file_error(problem: OSError) -> str:
    """Return why a file operation on a host failed."""
    if isinstance(problem, RenameNotAllowedError):
        return f"no permission to rename over a file (is {_RENAME} denied to SFTP there?)"
    if isinstance(problem, PermissionError):
        return "no permission"
    if isinstance(problem, RenameNotOfferedError):
        return f"the host's SFTP server can't rename over a file ({_RENAME})"
    if problem.errno == errno.EOPNOTSUPP:
        return "the host's SFTP server does not support this operation"
    if problem.errno is None:
        return "the host says no more than 'failure'"
    return os.strerror(problem.errno).lower()
