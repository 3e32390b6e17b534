"""Our directory beside the target: 0700, and nobody else's.

Its owner and mode are changed by its path only where nobody but the login can put something else
there meanwhile: SFTP offers no other way.
"""

from __future__ import annotations

import posixpath
import stat
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable, WriteRefused

if TYPE_CHECKING:
    from aegis_provision.transport.filesystem import FileStat, Filesystem

DATA_DIR = ".aegis-provision"
PREVIOUS = "previous"
RECEIPT = "receipt.json"
_TRIES = 3
_PRIVATE = 0o700
_OTHERS = 0o077
_ROOT = 0
_STEP = "prepare"


class ByPath(Enum):
    """When the owner and mode of our directory may be changed by its path.

    ``AS_ROOT``: root logged in, and no one else can change what lies around it. ``IF_OWN``: where
    the directory around it is the login's own. ``NEVER``: root may be working in another user's.
    """

    AS_ROOT = "as root"
    IF_OWN = "if own"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The directory that all of ours lies in. ``made`` says that it was not there before."""

    files: Filesystem
    path: str
    made: bool

    def inside(self, name: str) -> str:
        """Return the path of a file in it."""
        return posixpath.join(self.path, name)

    def remove_if_made(self) -> None:
        """Remove it if it was not there before; it stays if there is something in it."""
        if self.made:
            with suppress(OSError, Unreachable):
                self.files.rmdir(self.path)


def beside(target: str, name: str) -> str:
    """Return where ``name`` lies in our directory beside ``target``."""
    return posixpath.join(posixpath.dirname(target), DATA_DIR, name)


def open_data_dir(
    files: Filesystem, target: str, uid: int, by_path: ByPath = ByPath.IF_OWN
) -> DataDir:
    """Return our directory beside ``target``, a file of ``uid``'s; it is made if need be.

    Raises :class:`WriteRefused` where it is one that others can look into, ``OSError`` and
    :class:`Unreachable`.
    """
    path = beside(target, "").rstrip("/")
    made, facts = _make(files, path)
    directory = DataDir(files, path, made)
    try:
        _check(directory, facts, uid, by_path)
    except BaseException:
        directory.remove_if_made()
        raise
    return directory


def _make(files: Filesystem, path: str) -> tuple[bool, FileStat]:
    """Make it, unless something is there, and look at it: both are asked for at one go.

    Another operator may take theirs away in between: then it is made anew.
    """
    refusal: OSError | None = None
    for _ in range(_TRIES):
        asked, found = files.submit_mkdir(path, _PRIVATE), files.submit_lstat(path)
        refusal = None
        try:
            asked.get()
        except OSError as problem:  # maybe another operator was quicker, and the lock decides
            refusal = problem
        with suppress(FileNotFoundError):
            return refusal is None, found.get()
        if refusal is not None and refusal.errno is not None:
            break
    raise refusal or FileNotFoundError(path)


def _check(directory: DataDir, facts: FileStat, uid: int, by_path: ByPath) -> None:
    if not stat.S_ISDIR(facts.mode):
        raise WriteRefused(
            _STEP, f"{directory.path} is not a directory", "move it away, then try again"
        )
    if facts.uid not in {uid, _ROOT} and not directory.made:
        raise WriteRefused(
            _STEP,
            f"{directory.path} belongs to neither the file's owner nor root (uid {facts.uid})",
            "move it away, then try again",
        )
    if by_path is ByPath.AS_ROOT and facts.uid != _ROOT:
        facts = _taken_back(directory, facts)
    if stat.S_IMODE(facts.mode) & _OTHERS:
        _shut(directory, facts, by_path)


def _taken_back(directory: DataDir, facts: FileStat) -> FileStat:
    """Make it root's where root works in it: an earlier version gave it to the file's owner.

    What lies in it could be exchanged by that user otherwise.
    """
    with suppress(OSError):  # a server without lsetstat
        directory.files.chown(directory.path, _ROOT, _ROOT)
        facts = directory.files.lstat(directory.path)
    if not stat.S_ISDIR(facts.mode) or facts.uid != _ROOT:
        raise WriteRefused(
            _STEP,
            f"{directory.path} belongs to uid {facts.uid}, and root must not write by path in it",
            f"give it to root on the host: chown root {directory.path}",
        )
    return facts


def _shut(directory: DataDir, facts: FileStat, by_path: ByPath) -> None:
    """Let nobody but its owner look into our directory."""
    if _may_change(directory, facts, by_path):
        with suppress(OSError):
            directory.files.chmod(directory.path, _PRIVATE)
        facts = directory.files.lstat(directory.path)
    mode = stat.S_IMODE(facts.mode)
    if not stat.S_ISDIR(facts.mode) or mode & _OTHERS:
        raise WriteRefused(
            _STEP,
            f"others may look into {directory.path} (mode {mode:04o})",
            "set its mode to 0700 on the host, then try again",
        )


def _may_change(directory: DataDir, facts: FileStat, by_path: ByPath) -> bool:
    if by_path is ByPath.IF_OWN:
        return directory.files.stat(posixpath.dirname(directory.path)).uid == facts.uid
    return by_path is ByPath.AS_ROOT
