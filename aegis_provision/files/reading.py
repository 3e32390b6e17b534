"""The operator's files, read: never waiting for another program, and no further than a bound.

A FIFO, a device or a socket may stand where a file is expected: opening one can wait for ever, and
reading it need not end. This is the one place that opens what an operator names.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aegis_provision.humanize import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

LARGEST_FILE = 16 * 1024 * 1024
"""How many bytes a file may have where nothing else is said."""

_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFileError(OSError):
    """What is there can't be read as a file; ``strerror`` says why, as for any ``OSError``."""


@contextmanager
def opened(path: Path, *, null: bool = False) -> Iterator[BinaryIO]:
    """Open the regular file at ``path`` for reading.

    With ``null`` it may also be the null device, an empty file. Raises ``OSError``, of which
    :class:`UnfitFileError` is for what is no regular file.
    """
    # Looked at before it is opened: opening alone can wake the process that writes into a pipe.
    check_regular(path, path.stat(), null=null)
    with os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb") as stream:
        check_regular(path, os.fstat(stream.fileno()), null=null)
        yield stream


def read_file(path: Path, limit: int = LARGEST_FILE, *, null: bool = False) -> bytes:
    """Return what the file at ``path`` holds, ``limit`` bytes at most.

    Raises what :func:`opened` does, and :class:`UnfitFileError` for a longer file.
    """
    with opened(path, null=null) as stream:
        return read_bounded(path, stream, limit)


def read_beginning(path: Path, size: int) -> bytes:
    """Return the first ``size`` bytes of the file at ``path``. Raises what :func:`opened` does."""
    with opened(path) as stream:
        return stream.read(size)


def read_bounded(path: Path, stream: BinaryIO, limit: int) -> bytes:
    """Return what is left of ``stream``, the file at ``path``.

    Raises :class:`UnfitFileError` beyond ``limit`` bytes.
    """
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise UnfitFileError(errno.EFBIG, f"it is larger than {size_text(limit)}", str(path))
    return data


def check_regular(path: Path, facts: os.stat_result, *, null: bool = False) -> None:
    """Raise :class:`UnfitFileError` unless ``facts`` of ``path`` are a regular file's.

    With ``null`` they may be those of the null device.
    """
    if stat.S_ISREG(facts.st_mode) or (null and is_null(facts)):
        return
    if stat.S_ISDIR(facts.st_mode):
        raise UnfitFileError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
    raise UnfitFileError(errno.EINVAL, f"it is not a regular file but {kind}", str(path))


def is_null(facts: os.stat_result) -> bool:
    """Tell whether ``facts`` are those of the null device."""
    if not stat.S_ISCHR(facts.st_mode):
        return False
    return facts.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - not an operator's path
