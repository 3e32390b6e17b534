"""The files that this process may have open: each connection is one, and so is each pipe.

Its soft limit is raised to the hard one, up to a bound, since many shells start with 256 or 1024
(getrlimit(2)). What the operator runs through us gets their own limit back: a program that uses
select(2), or that closes every file it could have, is made for a small one.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 65_536
_MOST_OF_MACOS = 10_240  # OPEN_MAX: more than that, setrlimit(2) refuses there

SHORT_HERE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})
"""What the system says where this machine is short of files, memory or processes."""

_OPEN_AS_A_RULE = 32
_NULL = "/dev/null"


def raise_shortage(problem: OSError) -> None:
    """Raise ``problem`` if it is that this machine is short of something."""
    if problem.errno in SHORT_HERE - {errno.EAGAIN}:
        raise problem


class _OwnLimit:
    """The soft limit that the process was started with, ``None`` while it still counts."""

    soft: int | None = None


def raise_limit() -> None:
    """Let this process open as many files as it may; to do it twice changes nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (_MOST, _MOST_OF_MACOS):
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft != resource.RLIM_INFINITY and wanted > soft:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                if _OwnLimit.soft is None:
                    _OwnLimit.soft = soft
                return


def file_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)


def files_left() -> int:
    """Return how many files this process may still open; a guess where the system can't tell."""
    try:
        opened = len(os.listdir("/dev/fd"))  # noqa: PTH208 - no more than counted
    except OSError:
        opened = _OPEN_AS_A_RULE
    return max(0, file_limit() - opened)


def can_open(count: int) -> bool:
    """Tell whether ``count`` files can be opened now.

    A new file gets the lowest number that is free (open(2)), so where the highest ones are free
    there is room: to look at those is no system call that another thread could run in. Otherwise it
    is found out by opening them.
    """
    limit = file_limit()
    if not any(map(_is_open, range(limit - count, limit))):
        return True
    opened: list[int] = []
    try:
        opened.extend(os.open(_NULL, os.O_RDONLY | os.O_CLOEXEC) for _ in range(count))
    except OSError as problem:
        return problem.errno not in SHORT_HERE
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True


def _is_open(descriptor: int) -> bool:
    try:
        os.get_inheritable(descriptor)
    except OSError:
        return False
    return True


def with_own_limit(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` as a command that runs with the limit that this process was started with.

    Where there is no such program ``argv`` is left as it is, so that starting it fails.
    """
    if _OwnLimit.soft is None or shutil.which(argv[0]) is None:
        return list(argv)
    lower = f'ulimit -S -n {_OwnLimit.soft}; exec "$@"'
    return ["/bin/sh", "-c", lower, "sh", *argv]
