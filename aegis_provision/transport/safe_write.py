"""Replaces a file as a whole or not at all, under a lock, and keeps the one before.

All that is ours lies in ``.aegis-provision/`` beside the target: ``lock``, ``staging`` and
``previous``. A crash at any moment leaves either the old file or the new one. SFTP has no
compare-and-swap: between the last look at the target and the rename lies one round trip in which
a third party's write would be lost; among our own operators the lock closes it. Where no file is
replaced there is no such gap: a plain rename goes over nothing.

The login may be root's and the directory somebody else's who is not to be trusted. So no path in
it is ever given away or opened up through a link, files are made exclusively, and their owner and
mode are set on the open file. What such an owner can bring about by swapping our directory for a
link at the right moment is a file of one of these names elsewhere; ``become_user`` rules that out.
"""

from __future__ import annotations

import errno
import os
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
_OTHERS = 0o077
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
    made: bool = False
    lost_lock: bool = False
    own: str = field(init=False)
    staging: str = field(init=False)
    fresh_previous: str = field(init=False)

    def __post_init__(self) -> None:
        self.own = posixpath.join(posixpath.dirname(self.write.path), OWN_DIRECTORY)
        self.staging = posixpath.join(self.own, "staging")
        self.fresh_previous = posixpath.join(self.own, "previous.new")

    def run(self) -> Written:
        lock = self._begin()
        try:
            self._replace(lock)
        except (OSError, WriteRefused, WriteFailed, Unreachable) as problem:
            self._give_up(lock, problem)
        warnings = self._release(lock)
        return Written(self.write.path, warnings)

    def _begin(self) -> Lock:
        try:
            self._prepare()
            self.step = "lock"
            return take_lock(self.files, self.own, self.owner)
        except PermissionError:
            self._remove_directory()
            raise self._no_permission() from None
        except OSError as problem:
            self._remove_directory()
            raise WriteRefused(self.step, _words(problem)) from None
        except Unreachable as problem:
            if self.step != "lock":
                raise
            hint = f"a lock may be left there, which expires in {EXPIRES_AFTER} seconds"
            raise Unreachable(problem.step, problem.reason, hint) from None

    def _no_permission(self) -> WriteRefused:
        if self.step == "lock" and not self.made:
            return WriteRefused(
                self.step,
                f"no permission to write in {self.own}, which an earlier run made as another user",
                "remove it on the host as its owner, or log in as that user",
            )
        return WriteRefused(
            self.step,
            "no permission to write in its directory",
            "log in as the directory's owner, or set become_user to it",
        )

    def _prepare(self) -> None:
        """Make our directory, or see that it is one that nobody else can look into."""
        try:
            facts = self.files.lstat(self.own)
        except FileNotFoundError:
            facts = self._make_directory()
        if not stat.S_ISDIR(facts.mode):
            raise WriteRefused(
                self.step, f"{self.own} is not a directory", "move it away, then try again"
            )
        if facts.uid not in {self.write.uid, _ROOT} and not self.made:
            raise WriteRefused(
                self.step,
                f"{self.own} belongs to neither the file's owner nor root (uid {facts.uid})",
                "move it away, then try again",
            )
        if stat.S_IMODE(facts.mode) & _OTHERS:
            self._shut()

    def _make_directory(self) -> Facts:
        with suppress(FileExistsError):  # another operator was quicker, and the lock decides
            self.files.mkdir(self.own, _PRIVATE)
            self.made = True
        facts = self.files.lstat(self.own)
        if stat.S_ISDIR(facts.mode) and facts.uid == _ROOT != self.write.uid:
            with suppress(OSError):  # a server without lsetstat: it stays root's
                self.files.chown(self.own, self.write.uid, self.write.gid)
                facts = self.files.lstat(self.own)
        return facts

    def _shut(self) -> None:
        """Let nobody but its owner look into our directory."""
        with suppress(OSError):
            self.files.chmod(self.own, _PRIVATE)
        facts = self.files.lstat(self.own)
        if not stat.S_ISDIR(facts.mode) or stat.S_IMODE(facts.mode) & _OTHERS:
            mode = stat.S_IMODE(facts.mode)
            raise WriteRefused(
                self.step,
                f"others may look into {self.own} (mode {mode:04o})",
                "set its mode to 0700 on the host, then try again",
            )

    def _remove_directory(self) -> None:
        if self.made:
            with suppress(OSError, Unreachable):  # it stays if there is something in it
                self.files.rmdir(self.own)

    def _replace(self, lock: Lock) -> None:
        self.step = "stage"
        self._stage()
        self.step = "keep the previous file"
        self._stage_previous()
        self.step = "check the lock"
        self.lost_lock = not lock.is_still_ours()
        if self.lost_lock:
            raise WriteRefused(self.step, "the lock was broken by another run", _AGAIN)
        self.step = "compare"
        seen = self._compare()
        self.step = "keep the previous file"
        self._keep_previous()
        self.step = "compare"
        self._look_again(seen)
        self.step = "rename"
        self._rename()
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

    def _compare(self) -> Facts | None:
        """Return the facts of the target, whose content is what the plan saw; ``None`` for none."""
        base = self.write.base
        if base is None:
            return None
        try:
            facts, content = self.files.read_whole(self.write.path, len(base.content) + 1)
        except FileNotFoundError:
            raise self._is_gone() from None
        if content != base.content or not _same_facts(facts, base.mode, base.uid, base.gid):
            raise WriteRefused(self.step, _MOVED, _AGAIN)
        return facts

    def _look_again(self, seen: Facts | None) -> None:
        """See that the path still leads to what was compared.

        Whoever edits by renaming leaves the file that was open as it was, so this comes last.
        """
        try:
            now = self.files.lstat(self.write.path)
        except FileNotFoundError:
            if seen is None:
                return
            raise self._is_gone() from None
        if seen is None:
            raise self._has_come()
        if now != seen:
            raise WriteRefused(self.step, _MOVED, _AGAIN)

    def _is_gone(self) -> WriteRefused:
        return WriteRefused(self.step, "the file is gone since the plan saw it", _AGAIN)

    def _stage_previous(self) -> None:
        if self.write.base is None:
            return
        with self._create(self.fresh_previous) as stream:
            stream.write(self.write.base.content)
            if self.gives_away:
                stream.chown(self.write.uid, self.write.gid)
            if self.write.mode & _OWNER_ONLY != _OWNER_ONLY:
                stream.chmod(self.write.mode & _OWNER_ONLY)

    def _keep_previous(self) -> None:
        previous = posixpath.join(self.own, "previous")
        if self.write.base is None:
            with suppress(FileNotFoundError):
                self.files.remove(previous)
        else:
            self.files.replace(self.fresh_previous, previous)

    def _rename(self) -> None:
        if self.write.base is not None:
            self.files.replace(self.staging, self.write.path)
            return
        try:
            self.files.rename(self.staging, self.write.path)
        except FileExistsError:
            raise self._has_come() from None

    def _has_come(self) -> WriteRefused:
        return WriteRefused(self.step, "a file has come since the plan saw none", _AGAIN)

    def _read_back(self) -> None:
        facts, content = self.files.read_whole(self.write.path, len(self.write.content) + 1)
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
        if not lost and not self.lost_lock:  # without the lock, what lies there is another's
            self._clean_up(lock)
        if isinstance(problem, WriteRefused | WriteFailed):
            raise problem
        reason = problem.reason if isinstance(problem, Unreachable) else _words(problem)
        if self.renamed:
            raise WriteFailed(
                self.step, f"{reason}; the new file was put in place but not checked", "plan again"
            ) from None
        if self.step == "rename" and lost:
            raise WriteFailed(
                self.step, f"{reason}; whether the new file is in place is not known", "plan again"
            ) from None
        hint = f"the lock there expires in {EXPIRES_AFTER} seconds" if lost else ""
        raise WriteFailed(self.step, f"{reason}; the old file is untouched", hint) from None

    def _clean_up(self, lock: Lock) -> None:
        for path in (self.staging, self.fresh_previous):
            with suppress(OSError, Unreachable):
                self.files.remove(path)
        with suppress(OSError, Unreachable):
            lock.release()
        self._remove_directory()


def _same_facts(facts: Facts, mode: int, uid: int, gid: int) -> bool:
    return (stat.S_IMODE(facts.mode), facts.uid, facts.gid) == (mode, uid, gid)


def _words(problem: Exception) -> str:
    if isinstance(problem, PermissionError):
        return "no permission"
    number = getattr(problem, "errno", None)
    if number == errno.EOPNOTSUPP:
        return "the host's SFTP server can't rename over a file (posix-rename@openssh.com)"
    if number is None:
        return "the host says no more than 'failure' (is its disk full?)"
    return os.strerror(number).lower()
