"""Our directory beside the target: 0700, and nobody else's.

The login may be root's and the directory around it somebody else's who is not to be trusted. So
no path in it is ever given away or opened up through a link.
"""

from __future__ import annotations

import posixpath
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.transport.protocol import Unreachable, WriteRefused

if TYPE_CHECKING:
    from aegis_provision.transport.filesystem import Facts, Filesystem

OWN_DIRECTORY = ".aegis-provision"
PREVIOUS = "previous"
RECEIPT = "receipt.json"
_PRIVATE = 0o700
_OTHERS = 0o077
_ROOT = 0
_STEP = "prepare"


@dataclass(frozen=True, slots=True)
class OwnDirectory:
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
    return posixpath.join(posixpath.dirname(target), OWN_DIRECTORY, name)


def own_directory(files: Filesystem, target: str, uid: int, gid: int) -> OwnDirectory:
    """Return our directory beside ``target``, a file of ``uid``'s; it is made if need be.

    Raises :class:`WriteRefused` where it is one that others can look into, ``OSError`` and
    :class:`Unreachable`.
    """
    path = beside(target, "").rstrip("/")
    made, facts = _make(files, path)
    directory = OwnDirectory(files, path, made)
    try:
        if made:
            facts = _given(files, path, facts, uid, gid)
        _check(directory, facts, uid)
    except BaseException:
        directory.remove_if_made()
        raise
    return directory


def _make(files: Filesystem, path: str) -> tuple[bool, Facts]:
    """Make it, unless something is there, and look at it: both are asked for at one go."""
    asked, found = files.ask_mkdir(path, _PRIVATE), files.ask_lstat(path)
    refusal: OSError | None = None
    try:
        asked.get()
    except OSError as problem:  # maybe another operator was quicker, and the lock decides
        refusal = problem
    try:
        return refusal is None, found.get()
    except FileNotFoundError:
        raise refusal or FileNotFoundError(path) from None


def _given(files: Filesystem, path: str, facts: Facts, uid: int, gid: int) -> Facts:
    """Give a directory that root made just now to the file's owner; return its facts."""
    if stat.S_ISDIR(facts.mode) and facts.uid == _ROOT != uid:
        with suppress(OSError):  # a server without lsetstat: it stays root's
            files.chown(path, uid, gid)
            return files.lstat(path)
    return facts


def _check(directory: OwnDirectory, facts: Facts, uid: int) -> None:
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
    if stat.S_IMODE(facts.mode) & _OTHERS:
        _shut(directory)


def _shut(directory: OwnDirectory) -> None:
    """Let nobody but its owner look into our directory."""
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
