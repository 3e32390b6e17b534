"""Our directory beside the target, ``.aegis-provision``: 0700, for its owner alone.

Its owner and mode are changed by its path only if no one but the login can put something else there
meanwhile: SFTP offers no other way.
"""

from __future__ import annotations

import posixpath
import stat
from contextlib import suppress
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable, WriteRefused
from aegis_provision.transport.file_attributes import untold_attributes
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.transport.file_attributes import ReadAttributes
    from aegis_provision.transport.filesystem import FileStat, Filesystem, Future

DATA_DIR = ".aegis-provision"
PREVIOUS = "previous"
RECEIPT = "receipt.json"
LOCK = "lock"
STAGING = "staging"
NEW_PREVIOUS = f"{PREVIOUS}.new"
OLD_PREVIOUS = f"{PREVIOUS}.old"
NEW_RECEIPT = f"{RECEIPT}.new"
LOCK_EXPIRES_AFTER = 600
"""Seconds after which the lock in our directory counts as left by a dead run."""

_TRIES = 3
PRIVATE = 0o700
_OTHERS = 0o077
_ROOT = 0
_STEP = "prepare"


class ByPath(Enum):
    """When the owner and mode of our directory may be changed by its path.

    ``AS_ROOT``: root logged in, and no one else can change what the path leads to. ``IF_OWN``: if
    the directory around ours is the login's. ``NEVER``: root may be working in another user's.
    """

    AS_ROOT = "as root"
    IF_OWN = "if own"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class DataDir:
    """Our directory; ``made`` says that it was not there before.

    ``read_attributes`` tells what keeps even the owner of a file from changing it.
    """

    files: Filesystem
    path: str
    made: bool
    read_attributes: ReadAttributes = field(default=untold_attributes, compare=False)

    def inside(self, name: str) -> str:
        """Return the path of a file in it."""
        return posixpath.join(self.path, name)

    def remove_stale(self) -> None:
        """Remove what a write that broke off left behind; only under the lock.

        Raises :class:`Unreachable`.
        """
        self.put_previous_back()
        for name in (STAGING, NEW_PREVIOUS, NEW_RECEIPT):
            with suppress(OSError):
                self.files.remove(self.inside(name))

    def put_previous_back(self) -> None:
        """Keep the file again that a write put aside and broke off; only under the lock.

        As long as its staging file is there, the write did not replace the target. Raises
        :class:`Unreachable`.
        """
        with suppress(OSError):
            self.files.lstat(self.inside(STAGING))
            self.files.replace(self.inside(OLD_PREVIOUS), self.inside(PREVIOUS))

    def remove_if_made(self) -> None:
        """Remove it if it was not there before, unless it holds something."""
        if self.made:
            with suppress(OSError, Unreachable):
                self.files.rmdir(self.path)


def data_dir(target: str) -> str:
    """Return where our directory beside ``target`` is."""
    return posixpath.join(posixpath.dirname(target), DATA_DIR)


def is_right(found: FileStat, uid: int, by_path: ByPath) -> bool:
    """Tell whether what was ``found`` in its place is our directory, with nothing to change."""
    owners = {_ROOT} if by_path is ByPath.AS_ROOT else {uid, _ROOT}
    mode = stat.S_IMODE(found.mode)
    return stat.S_ISDIR(found.mode) and found.uid in owners and not mode & _OTHERS


def seen_right(seen: Future[FileStat], uid: int, by_path: ByPath) -> bool:
    """Tell whether our directory was ``seen`` to be right, or not to be there.

    Never where root works in another user's directory: that user could have exchanged it since.
    """
    try:
        return is_right(seen.get(), uid, by_path) and by_path is not ByPath.NEVER
    except FileNotFoundError:
        return by_path is not ByPath.NEVER
    except OSError:
        return False


def beside(target: str, name: str) -> str:
    """Return where ``name`` lies in our directory beside ``target``."""
    return posixpath.join(data_dir(target), name)


def open_data_dir(
    files: Filesystem,
    target: str,
    uid: int,
    by_path: ByPath = ByPath.IF_OWN,
    read_attributes: ReadAttributes = untold_attributes,
) -> DataDir:
    """Return our directory beside ``target``, a file of ``uid``'s; it is made if it is missing.

    Raises :class:`WriteRefused` for one that other users can look into, ``OSError`` and
    :class:`Unreachable`.
    """
    path = data_dir(target)
    made, found = _make(files, path)
    directory = DataDir(files, path, made, read_attributes)
    try:
        _check(directory, found, uid, by_path)
    except BaseException:
        directory.remove_if_made()
        raise
    return directory


def _make(files: Filesystem, path: str) -> tuple[bool, FileStat]:
    """Make it, unless something is there, and stat it: both are asked for at one go.

    Another run may remove its directory in between: then ours is made after all.
    """
    refusal: OSError | None = None
    for _ in range(_TRIES):
        made, found = files.submit_mkdir(path, PRIVATE), files.submit_lstat(path)
        refusal = None
        try:
            made.get()
        except OSError as problem:  # maybe another run was quicker: the lock decides
            refusal = problem
        with suppress(FileNotFoundError):
            return refusal is None, found.get()
        if refusal is not None and refusal.errno is not None:
            break
    raise refusal or FileNotFoundError(path)


def _check(directory: DataDir, found: FileStat, uid: int, by_path: ByPath) -> None:
    if not stat.S_ISDIR(found.mode):
        raise WriteRefused(
            _STEP, f"{directory.path} is not a directory", "move it away, then try again"
        )
    if found.uid not in {uid, _ROOT} and not directory.made:
        raise WriteRefused(
            _STEP,
            f"{directory.path} belongs to neither the file's owner nor root (uid {found.uid})",
            "move it away, then try again",
        )
    if by_path is ByPath.AS_ROOT and found.uid != _ROOT:
        found = _take_back(directory, found)
    if stat.S_IMODE(found.mode) & _OTHERS:
        _make_private(directory, found, by_path)


def _take_back(directory: DataDir, found: FileStat) -> FileStat:
    """Make it root's if root works in it: an earlier version gave it to the file's owner.

    Otherwise that user could exchange what lies in it.
    """
    with suppress(OSError):  # a server without lsetstat
        directory.files.chown(directory.path, _ROOT, _ROOT)
        found = directory.files.lstat(directory.path)
    if not stat.S_ISDIR(found.mode) or found.uid != _ROOT:
        raise WriteRefused(
            _STEP,
            f"{directory.path} belongs to uid {found.uid}, and root must not write by path in it",
            f"give it to root on the host: chown root {directory.path}",
        )
    return found


def _make_private(directory: DataDir, found: FileStat, by_path: ByPath) -> None:
    """Make our directory private to its owner."""
    if _may_change(directory, found, by_path):
        with suppress(OSError):
            directory.files.chmod(directory.path, PRIVATE)
        found = directory.files.lstat(directory.path)
    mode = stat.S_IMODE(found.mode)
    if not stat.S_ISDIR(found.mode) or mode & _OTHERS:
        raise WriteRefused(
            _STEP,
            f"others may look into {directory.path} (mode {mode:04o})",
            "set its mode to 0700 on the host, then try again",
        )


def _may_change(directory: DataDir, found: FileStat, by_path: ByPath) -> bool:
    if by_path is ByPath.IF_OWN:
        return directory.files.stat(posixpath.dirname(directory.path)).uid == found.uid
    return by_path is ByPath.AS_ROOT
