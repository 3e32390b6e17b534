"""The system's errors in our own words (see also :mod:`~.ssh.paramiko_errors`)."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aegis_provision.errors import Stage, Unreachable
from aegis_provision.files.reading import UnfitFileError
from aegis_provision.transport.filesystem import RenameNotAllowedError, RenameNotOfferedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_RENAME = "posix-rename@openssh.com"
LOOK_AT_LOG = "look at sshd's log on the host"
_ROUTE = "check the address and the network"
CLOSED = ("the host closed the connection", f"{LOOK_AT_LOG} (MaxStartups?)")
_BY_ERRNO = {
    errno.ECONNREFUSED: ("nothing listens there", "check the port, and that sshd runs"),
    errno.EHOSTUNREACH: ("no route to the host", _ROUTE),
    errno.EHOSTDOWN: ("the host is down", _ROUTE),
    errno.ENETUNREACH: ("the network is unreachable", _ROUTE),
    errno.ENETDOWN: ("the network is down", _ROUTE),
    errno.EADDRNOTAVAIL: ("the address can't be reached from here", _ROUTE),
    errno.ETIMEDOUT: ("no answer", "check the address and firewalls"),
    errno.ECONNRESET: CLOSED,
    errno.ECONNABORTED: CLOSED,
    errno.EPIPE: CLOSED,
    errno.EMFILE: ("too many files are open here", "lower --forks, or raise 'ulimit -n'"),
    errno.ENFILE: ("too many files are open here", "lower --forks"),
}
NO_TIME = ("no answer in time", "check the host and the network, or raise --timeout")
"""The reason and the hint for a step that took too long."""


class NameTimeoutError(TimeoutError):
    """The resolver gave no answer in time."""


_NAME_PROBLEMS = (socket.gaierror, NameTimeoutError)


@contextmanager
def map_errors(name: str) -> Iterator[None]:
    """Turn the system's errors inside into :class:`Unreachable` at ``name``."""
    try:
        yield
    except (OSError, EOFError) as problem:
        reason, hint = describe_os_error(problem)
        stage = Stage.NAME if isinstance(problem, _NAME_PROBLEMS) else None
        raise Unreachable(name, reason, hint, stage=stage) from None


def describe_os_error(problem: OSError | EOFError) -> tuple[str, str]:
    """Return the reason and the hint for one of the system's errors."""
    match problem:
        case socket.gaierror():
            return "the name is not known", "check the spelling, or set 'address'"
        case TimeoutError():
            return NO_TIME
        case EOFError() | OSError(errno=None):
            return CLOSED
        case OSError(errno=number) if number in _BY_ERRNO:
            return _BY_ERRNO[number]
        case UnfitFileError():
            why = problem.strerror or ""
            return f"{problem.filename}: {why[:1].lower()}{why[1:]}", ""
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
        return "the host says no more than 'failure' (is its disk full?)"
    return os.strerror(problem.errno).lower()
