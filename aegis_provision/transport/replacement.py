"""Replaces a file as a whole or not at all, and keeps the one before.

All that is ours lies in ``.aegis-provision/`` beside the target: ``lock``, ``staging`` and
``previous``. A crash at any moment leaves either the old file or the new one. SFTP has no
compare-and-swap: between the last look at the target and the rename lies one round trip in which
a third party's write would be lost; among our own operators the lock closes it. Where no file is
replaced there is no such gap: a plain rename goes over nothing.

The login may be root's and the directory somebody else's who is not to be trusted. So files are
made exclusively, and their owner and mode are set on the open file. What such an owner can bring
about by swapping our directory for a link at the right moment is a file of one of these names
elsewhere; ``become_user`` rules that out.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from aegis_provision.transport.failures import file_words
from aegis_provision.transport.lock import EXPIRES_AFTER
from aegis_provision.transport.own_directory import PREVIOUS
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
    from aegis_provision.transport.lock import Lock
    from aegis_provision.transport.own_directory import OwnDirectory

_STAGING = "staging"
_FRESH_PREVIOUS = f"{PREVIOUS}.new"
_STAGED = (_STAGING, _FRESH_PREVIOUS)
_OWNER_ONLY = 0o600
_MOVED = "the file changed since the plan saw it"
_AGAIN = "plan again and look at what changed"


def write_under_lock(
    files: Filesystem, write: Write, directory: OwnDirectory, lock: Lock
) -> Written:
    """Carry ``write`` out under ``lock``, which stays taken.

    Raises :class:`WriteRefused` (nothing was changed) or :class:`WriteFailed` (the reason says
    what is there now).
    """
    return _Replacement(files, write, directory, lock).run()


def sweep(directory: OwnDirectory) -> None:
    """Remove what a write that was broken off has left. Raises :class:`Unreachable`.

    Only for whoever holds the lock.
    """
    for name in _STAGED:
        with suppress(OSError):
            directory.files.remove(directory.inside(name))


@dataclass(slots=True)
class _Replacement:
    files: Filesystem
    write: Write
    directory: OwnDirectory
    lock: Lock
    step: str = "stage"
    renamed: bool = False
    gives_away: bool = False
    lost_lock: bool = False

    @property
    def _staging(self) -> str:
        return self.directory.inside(_STAGING)

    @property
    def _previous(self) -> str:
        return self.directory.inside(PREVIOUS)

    @property
    def _fresh_previous(self) -> str:
        return self.directory.inside(_FRESH_PREVIOUS)

    def run(self) -> Written:
        try:
            if self.write.content is None:
                self._take_away()
            else:
                self._replace(self.write.content)
        except (OSError, WriteRefused, WriteFailed, Unreachable) as problem:
            self._give_up(problem)
        return Written(self.write.path)

    def _replace(self, content: bytes) -> None:
        self._stage(content)
        self.step = "keep the previous file"
        self._stage_previous()
        self._check_lock()
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
        self._read_back(content)

    def _take_away(self) -> None:
        """Make the target the file that is kept: one rename, and it is gone."""
        self._check_lock()
        self.step = "compare"
        self._look_again(self._compare())
        self.step = "rename"
        self.files.replace(self.write.path, self._previous)
        self.renamed = True

    def _check_lock(self) -> None:
        self.step = "check the lock"
        self.lost_lock = not self.lock.is_still_ours()
        if self.lost_lock:
            raise WriteRefused(self.step, "the lock was broken by another run", _AGAIN)

    def _create(self, path: str) -> OpenFile:
        try:
            return self.files.create(path)
        except FileExistsError:
            self.files.remove(path)  # left by a run that died; the lock is ours
            return self.files.create(path)

    def _stage(self, content: bytes) -> None:
        with self._create(self._staging) as stream:
            stream.write(content)
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
        with self._create(self._fresh_previous) as stream:
            stream.write(self.write.base.content)
            if self.gives_away:
                stream.chown(self.write.uid, self.write.gid)
            if self.write.mode & _OWNER_ONLY != _OWNER_ONLY:
                stream.chmod(self.write.mode & _OWNER_ONLY)

    def _keep_previous(self) -> None:
        if self.write.base is None:
            with suppress(FileNotFoundError):
                self.files.remove(self._previous)
        else:
            self.files.replace(self._fresh_previous, self._previous)

    def _rename(self) -> None:
        if self.write.base is not None:
            self.files.replace(self._staging, self.write.path)
            return
        try:
            self.files.rename(self._staging, self.write.path)
        except FileExistsError:
            raise self._has_come() from None

    def _has_come(self) -> WriteRefused:
        return WriteRefused(self.step, "a file has come since the plan saw none", _AGAIN)

    def _read_back(self, content: bytes) -> None:
        facts, found = self.files.read_whole(self.write.path, len(content) + 1)
        if found != content:
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

    def _give_up(self, problem: OSError | WriteRefused | WriteFailed | Unreachable) -> NoReturn:
        """Clean up as far as the connection lets us, and say what is on the host now."""
        lost = isinstance(problem, Unreachable)
        if not lost and not self.lost_lock:  # without the lock, what lies there is another's
            with suppress(Unreachable):
                sweep(self.directory)
        if isinstance(problem, WriteRefused | WriteFailed):
            raise problem
        reason = problem.reason if isinstance(problem, Unreachable) else file_words(problem)
        if self.renamed:
            raise WriteFailed(
                self.step, f"{reason}; the file was replaced, but not checked", "plan again"
            ) from None
        if self.step == "rename" and lost:
            raise WriteFailed(
                self.step, f"{reason}; whether the file was replaced is not known", "plan again"
            ) from None
        hint = f"the lock there expires in {EXPIRES_AFTER} seconds" if lost else ""
        raise WriteFailed(self.step, f"{reason}; the file there is untouched", hint) from None


def _same_facts(facts: Facts, mode: int, uid: int, gid: int) -> bool:
    return (stat.S_IMODE(facts.mode), facts.uid, facts.gid) == (mode, uid, gid)
