"""A directory on the host that is ours for a while: made under a random name, removed again.

Claude Code may leave settings in a directory in which it ran; what else is in it is not ours.
"""

from __future__ import annotations

import posixpath
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.transport.filesystem import Filesystem

_PREFIX = "aegis-provision-"
_SETTINGS = ".claude"
_SETTINGS_FILES = ("settings.local.json", "settings.json")
_PRIVATE, _OPEN = 0o700, 0o755
_SHARED = stat.S_ISVTX | stat.S_IWOTH
_ROOT = 0


@dataclass(frozen=True, slots=True)
class TemporaryDirectory:
    """Where it is; ``is_theirs`` says that the user for whom it was made may write in it."""

    path: str
    is_theirs: bool


def make_temporary_directory(
    files: Filesystem, parent: str, user: int | None
) -> TemporaryDirectory:
    """Make a directory in the absolute path ``parent``, for the user with the uid ``user``.

    Where everybody may make directories in ``parent``, root gives it to that user. It has mode 0700
    if it is that user's, else 0755, as it has for a user who is not known (``None``). As root, call
    this only where no other user may rename or remove what is in ``parent``, or where the sticky
    bit keeps them from it. Raises ``OSError``.
    """
    path = posixpath.join(parent, f"{_PREFIX}{secrets.token_hex(8)}")
    files.submit_mkdir(path, _PRIVATE).get()
    try:
        made = files.lstat(path)
        is_theirs = user in {made.uid, _ROOT}
        if not is_theirs and user is not None and made.uid == _ROOT and _is_shared(files, parent):
            files.chown(path, user, made.gid)
            is_theirs = True
        if not is_theirs:
            files.chmod(path, _OPEN)
    except OSError:
        remove_temporary_directory(files, path)
        raise
    return TemporaryDirectory(path, is_theirs)


def remove_temporary_directory(files: Filesystem, path: str) -> bool:
    """Remove a directory that :func:`make_temporary_directory` made; return whether it is gone.

    Nothing is removed through a link, and nothing that Claude Code is not known to leave.
    """
    settings = posixpath.join(path, _SETTINGS)
    if _is_directory(files, path) and _is_directory(files, settings):
        for name in _SETTINGS_FILES:
            with suppress(OSError):
                files.remove(posixpath.join(settings, name))
        with suppress(OSError):
            files.rmdir(settings)
    with suppress(OSError):
        files.rmdir(path)
    return is_gone(files, path)


def is_gone(files: Filesystem, path: str) -> bool:
    """Tell whether nothing is at ``path``."""
    try:
        files.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_shared(files: Filesystem, directory: str) -> bool:
    """Tell whether everybody may make entries there, and move only their own, as in ``/tmp``."""
    return files.stat(directory).mode & _SHARED == _SHARED


def _is_directory(files: Filesystem, path: str) -> bool:
    try:
        return stat.S_ISDIR(files.lstat(path).mode)
    except OSError:
        return False
