"""A directory on the host that is ours for a while: made under a random name, removed again.

Claude Code may leave settings in a directory in which it ran; what else is in it is not ours.
``exchangeable`` says that we are root, and that others can put something else in its place: then
it is made and removed, which does no harm by a name that nobody knew, and nothing else is done by
its path.
"""

from __future__ import annotations

import errno
import posixpath
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.transport.filesystem import Filesystem

PREFIX = "aegis-provision-"
_SETTINGS = ".claude"
_SETTINGS_FILES = ("settings.local.json", "settings.json")


def make_temporary_directory(
    files: Filesystem, parent: str, mode: int, *, exchangeable: bool = False
) -> str:
    """Make a directory in the absolute path ``parent`` and return its path. Raises ``OSError``."""
    path = posixpath.join(parent, f"{PREFIX}{secrets.token_hex(8)}")
    files.submit_mkdir(path, mode).get()
    try:
        if stat.S_IMODE(files.lstat(path).mode) & 0o777 != mode:  # the host's umask
            if exchangeable:
                raise PermissionError(errno.EACCES, "the umask there takes rights away")
            files.chmod(path, mode)
    except OSError:
        remove_temporary_directory(files, path, exchangeable=exchangeable)
        raise
    return path


def remove_temporary_directory(files: Filesystem, path: str, *, exchangeable: bool = False) -> bool:
    """Remove a directory that :func:`make_temporary_directory` made; return whether it is gone.

    Nothing is removed through a link, and nothing that Claude Code is not known to leave.
    """
    settings = posixpath.join(path, _SETTINGS)
    if not exchangeable and _is_directory(files, path) and _is_directory(files, settings):
        for name in _SETTINGS_FILES:
            with suppress(OSError):
                files.remove(posixpath.join(settings, name))
        with suppress(OSError):
            files.rmdir(settings)
    with suppress(OSError):
        files.rmdir(path)
    return not _exists(files, path)


def _is_directory(files: Filesystem, path: str) -> bool:
    try:
        return stat.S_ISDIR(files.lstat(path).mode)
    except OSError:
        return False


def _exists(files: Filesystem, path: str) -> bool:
    try:
        files.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
