"""A file of the operator's, read no further than it may be long."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from aegis_provision.documents.decoding import LARGEST_FILE

if TYPE_CHECKING:
    from pathlib import Path


def file_content(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Return what the regular file at ``path`` holds, a byte more than ``limit`` at most.

    Raises :class:`OSError`.
    """
    # A FIFO would block on opening; whoever means one can use a file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        return stream.read(limit + 1)
