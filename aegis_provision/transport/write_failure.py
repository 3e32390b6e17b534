"""Why a host did not let us write: its own answer, and what it tells when it is asked.

Version 3 of SFTP has one word, "failure", for a full disk, a quota, a read-only file system and a
broken disk, and another one for a file that is immutable and one that belongs to another user.
"""

from __future__ import annotations

import errno
import posixpath
from typing import TYPE_CHECKING

from aegis_provision.diagnosis.write_obstacles import (
    READ_ONLY,
    Obstacle,
    attribute_obstacle,
    room_obstacle,
)
from aegis_provision.errors import Unreachable
from aegis_provision.transport.data_dir import LOCK_EXPIRES_AFTER
from aegis_provision.transport.errors import describe_file_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.data_dir import DataDir

_HINTS = {
    None: "is a disk quota used up (quota -s), or the disk broken (dmesg)?",
    errno.ENOSPC: "make room there (df -h, df -i)",
    errno.EDQUOT: "look at 'quota -s' on the host",
    errno.EIO: "the disk may be broken: look at dmesg on the host",
    errno.ESTALE: "what is mounted there is gone: mount it again",
}
_BLOCK = 4096
_ASKED_FOR_ROOM = frozenset({None, errno.ENOSPC, errno.EDQUOT})


def why_not_written(
    directory: DataDir, problem: OSError, paths: Sequence[str] = (), size: int = 0
) -> Obstacle:
    """Return why ``problem`` came of an attempt to write ``size`` bytes in ``directory``.

    ``paths`` are the files that were to be replaced or renamed. Never raises.
    """
    try:
        found = _asked(directory, problem, paths, size)
    except (OSError, Unreachable):
        found = None
    return found or Obstacle(describe_file_error(problem), _HINTS.get(problem.errno, ""))


def _asked(
    directory: DataDir, problem: OSError, paths: Sequence[str], size: int
) -> Obstacle | None:
    around = posixpath.dirname(directory.path)
    if isinstance(problem, PermissionError):
        return attribute_obstacle(directory.read_attributes((*paths, around, directory.path)))
    if isinstance(problem, FileNotFoundError):
        return why_gone(directory)
    if problem.errno not in _ASKED_FOR_ROOM:
        return READ_ONLY if problem.errno == errno.EROFS else None
    space = directory.files.submit_space(around).get()
    if space.read_only:
        return READ_ONLY
    # What a full disk has left is less than a block; the superuser's share counts for root alone,
    # and who we are does not matter where that is used up, too.
    return room_obstacle(space.available, space.files, size + _BLOCK, 1)


def why_gone(directory: DataDir) -> Obstacle | None:
    """Return which directory is gone where a file of ours was not found; ``None`` for neither."""
    for path in (posixpath.dirname(directory.path), directory.path):
        try:
            directory.files.stat(path)
        except FileNotFoundError:
            return Obstacle(
                f"the directory {path} is gone",
                "it was moved, removed or replaced meanwhile: plan again; a lock that went with it "
                f"expires in {LOCK_EXPIRES_AFTER} seconds",
            )
        except (OSError, Unreachable):
            return None
    return None
