"""Replaces a file as a whole or not at all, under a lock, and keeps the one before.

All that is ours lies in ``.aegis-provision/`` beside the target: ``lock``, ``staging`` and
``previous``. A crash at any moment leaves either the old file or the new one. SFTP has no
compare-and-swap: between the last look at the target and the rename lies one round trip in which
a third party's write would be lost; among our own operators the lock closes it.
"""

from __future__ import annotations

import posixpath
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from aegis_provision.transport.lock import EXPIRES_AFTER, Lock, take_lock
from aegis_provision.transport.protocol import (
    Unreachable,
    WriteFailed,
    WriteRefused,
    Written,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.planning.model import Write
    from aegis_provision.transport.filesystem import Facts, Filesystem, OpenFile

OWN_DIRECTORY = ".aegis-provision"
_PRIVATE = 0o700
_OWNER_ONLY = 0o600
_ROOT = 0
_MOVED = "the file changed since the plan saw it"
_AGAIN = "plan again and look at what changed"


def safe_write(files: Filesystem, write: Write, owner: str) -> Written:
    """Carry ``write`` out; ``owner`` is whom the lock names.

    Raises :class:`WriteRefused` (nothing was changed), :class:`WriteFailed` (the reason says what
    is there now) or :class:`Unreachable` (the connection was gone before anything began).
    """
    return _SafeWrite(files, write, owner).run()


@dataclass(slots=True)
class _SafeWrite:
    files: Filesystem
    write: Write
    owner: str
    step: str = "prepare"
    renamed: bool = False
    gives_away: bool = False
    own: str = field(init=False)
    staging: str = field(init=False)

    def __post_init__(self) -> None:
        self.own = posixpath.join(posixpath.dirname(self.write.path), OWN_DIRECTORY)
        self.staging = posixpath.join(self.own, "staging")

    def run(self) -> Written:
        try:
            self._prepare()
            self.step = "lock"
            lock = take_lock(self.files, self.own, self.owner)
        except PermissionError:
            raise WriteRefused(
                self.step,
                "no permission to write in its directory",
                "log in as the directory's owner, or set become_user to it",
            ) from None
        except OSError as problem:
            raise WriteRefused(self.step, _words(problem)) from None
        try:
            self._replace(lock)
        except (OSError, WriteRefused, WriteFailed, Unreachable) as problem:
            self._give_up(lock, problem)
        warnings = self._release(lock)
        return Written(self.write.path, warnings)

    def _prepare(self) -> None:
        """Make our directory, or see that it is one that nobody else can look into."""
        try:
            facts = self.files.lstat(self.own)
        except FileNotFoundError:
            self._make_directory()
            return
        if not stat.S_ISDIR(facts.mode):
            raise WriteRefused(
                self.step, f"{self.own} is not a directory", "move it away, then try again"
            )
        if facts.uid not in {self.write.uid, _ROOT}:
            raise WriteRefused(
                self.step,
                f"{self.own} belongs to neither the file's owner nor root (uid {facts.uid})",
                "move it away, then try again",
            )
        if stat.S_IMODE(facts.mode) & 0o077:
            self.files.chmod(self.own, _PRIVATE)

    def _make_directory(self) -> None:
        with suppress(FileExistsError):  # another operator was quicker, and the lock decides
            self.files.mkdir(self.own, _PRIVATE)
        facts = self.files.lstat(self.own)
        if facts.uid != self.write.uid and facts.uid == _ROOT:
            self.files.chown(self.own, self.write.uid, self.write.gid)

    def _replace(self, lock: Lock) -> None:
        self.step = "stage"
        self._stage()
        self.step = "compare"
        self._compare()
        self.step = "keep the previous file"
        self._keep_previous()
        self.step = "check the lock"
        if not lock.is_still_ours():
            raise WriteRefused(self.step, "the lock was broken by another run", _AGAIN)
        self.step = "rename"
        self.files.replace(self.staging, self.write.path)
        self.renamed = True
        self.step = "read back"
        self._read_back()

    def _create(self, path: str) -> OpenFile:
        try:
            return self.files.create(path)
        except FileExistsError:
            self.files.remove(path)  # left by a run that died; the lock is ours
            return self.files.create(path)

    def _stage(self) -> None:
        with self._create(self.staging) as stream:
            stream.write(self.write.content)
            facts = stream.facts()
            self.gives_away = (facts.uid, facts.gid) != (self.write.uid, self.write.gid)
            if self.gives_away:
                self._give_to_owner(stream.chown, facts)
            if stat.S_IMODE(facts.mode) != self.write.mode:
                stream.chmod(self.write.mode)
            stream.sync()

    def _give_to_owner(self, chown: Callable[[int, int], None], facts: Facts) -> None:
        try:
            chown(self.write.uid, self.write.gid)
        except OSError:
            raise WriteRefused(
                self.step,
                f"the login (uid {facts.uid}, gid {facts.gid}) can't give the file to its owner "
                f"(uid {self.write.uid}, gid {self.write.gid})",
                "log in as the file's owner, or set become_user to it",
            ) from None

    def _compare(self) -> None:
        base = self.write.base
        try:
            facts = self.files.lstat(self.write.path)
        except FileNotFoundError:
            if base is None:
                return
            raise WriteRefused(
                self.step, "the file is gone since the plan saw it", _AGAIN
            ) from None
        if base is None:
            raise WriteRefused(self.step, "a file has come since the plan saw none", _AGAIN)
        if not stat.S_ISREG(facts.mode) or not _same_facts(facts, base.mode, base.uid, base.gid):
            raise WriteRefused(self.step, _MOVED, _AGAIN)
        if self.files.read(self.write.path, len(base.content) + 1) != base.content:
            raise WriteRefused(self.step, _MOVED, _AGAIN)

    def _keep_previous(self) -> None:
        previous = posixpath.join(self.own, "previous")
        if self.write.base is None:
            with suppress(FileNotFoundError):
                self.files.remove(previous)
            return
        fresh = previous + ".new"
        with self._create(fresh) as stream:
            stream.write(self.write.base.content)
            if self.gives_away:
                stream.chown(self.write.uid, self.write.gid)
            if self.write.mode & _OWNER_ONLY != _OWNER_ONLY:
                stream.chmod(self.write.mode & _OWNER_ONLY)
        self.files.replace(fresh, previous)

    def _read_back(self) -> None:
        facts = self.files.lstat(self.write.path)
        content = self.files.read(self.write.path, len(self.write.content) + 1)
        if content != self.write.content:
            raise WriteFailed(
                self.step, "what is there now is not what was written", "look at the host"
            )
        if not _same_facts(facts, self.write.mode, self.write.uid, self.write.gid):
            raise WriteFailed(
                self.step,
                f"the new file is there, but with mode {stat.S_IMODE(facts.mode):04o} "
                f"and owner {facts.uid}:{facts.gid}",
                "look at the host",
            )

    def _release(self, lock: Lock) -> tuple[str, ...]:
        try:
            lock.release()
        except (OSError, Unreachable):
            return (f"the lock could not be removed; it expires in {EXPIRES_AFTER} seconds",)
        return ()

    def _give_up(self, lock: Lock, problem: Exception) -> NoReturn:
        """Clean up as far as the connection lets us, and say what is on the host now."""
        lost = isinstance(problem, Unreachable)
        if not lost:
            with suppress(OSError, Unreachable):
                if not self.renamed:
                    self.files.remove(self.staging)
                lock.release()
        if isinstance(problem, WriteRefused | WriteFailed):
            raise problem
        reason = problem.reason if isinstance(problem, Unreachable) else _words(problem)
        if self.renamed:
            raise WriteFailed(
                self.step, f"{reason}; the new file is in place but was not checked", "plan again"
            ) from None
        if self.step == "rename" and lost:
            raise WriteFailed(
                self.step, f"{reason}; whether the new file is in place is not known", "plan again"
            ) from None
        hint = f"the lock there expires in {EXPIRES_AFTER} seconds" if lost else ""
        raise WriteFailed(self.step, f"{reason}; the old file is untouched", hint) from None


def _same_facts(facts: Facts, mode: int, uid: int, gid: int) -> bool:
    return (stat.S_IMODE(facts.mode), facts.uid, facts.gid) == (mode, uid, gid)


def _words(problem: Exception) -> str:
    if isinstance(problem, PermissionError):
        return "no permission"
    text = str(getattr(problem, "strerror", "") or problem)
    if "nsupported" in text:
        return "the host's SFTP server can't rename over a file (posix-rename@openssh.com)"
    if text == "Failure":
        return "the host says no more than 'failure' (is its disk full?)"
    return text
