"""Replaces a file as a whole or not at all, and keeps the one before.

All that is ours lies in ``.aegis-provision/`` beside the target: ``lock``, ``staging``,
``previous`` and ``receipt.json``. A crash at any moment leaves either the old file or the new one.
SFTP has no compare-and-swap: between the last look at the target and the rename lies one round trip
in which a third party's write would be lost; among our own operators the lock closes it. Where no
file is replaced there is no such gap: a plain rename goes over nothing.

The receipt comes last, when the new file is there. Where a write breaks off before, the one from
before it lies beside the new file, and whoever compares finds that the file is what is wanted: that
is no drift, whatever the receipt says.

Files are made exclusively, and their owner and mode are set on the open file. They are renamed and
removed by path, so nobody but the login may be able to exchange what our directory's path leads to:
the session sees to that (see :mod:`~.path_owners`).
"""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from aegis_provision.errors import Unreachable, WriteFailed, WriteRefused
from aegis_provision.transport.data_dir import PREVIOUS, RECEIPT
from aegis_provision.transport.errors import describe_file_error
from aegis_provision.transport.futures import then
from aegis_provision.transport.lock import EXPIRES_AFTER
from aegis_provision.transport.protocol import WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.data_dir import DataDir
    from aegis_provision.transport.filesystem import FileStat, Filesystem, ReadHandle, WriteHandle
    from aegis_provision.transport.futures import Future
    from aegis_provision.transport.lock import Lock

_STAGING = "staging"
_FRESH_PREVIOUS = f"{PREVIOUS}.new"
_FRESH_RECEIPT = f"{RECEIPT}.new"
_STAGED = (_STAGING, _FRESH_PREVIOUS, _FRESH_RECEIPT)
_OWNER_ONLY = 0o600
_STAGE, _KEEP, _CHECK_LOCK = "stage", "keep the previous file", "check the lock"
_COMPARE, _RENAME = "compare", "rename"
_MOVED = "the file changed since the plan saw it"
_AGAIN = "plan again and look at what changed"
_NO_RECEIPT = "the receipt beside the file is not this write's"


def write_under_lock(
    files: Filesystem, write: Write, directory: DataDir, lock: Lock
) -> WriteResult:
    """Carry ``write`` out under ``lock``, which stays taken.

    Raises :class:`WriteRefused` (nothing was changed) or :class:`WriteFailed` (the reason says
    what is there now).
    """
    return _AtomicWrite(files, write, directory, lock).run()


def remove_stale(directory: DataDir) -> None:
    """Remove what a write that was broken off has left. Raises :class:`Unreachable`.

    Only for whoever holds the lock.
    """
    for name in _STAGED:
        with suppress(OSError):
            directory.files.remove(directory.inside(name))


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A file to put beside the target; ``synced`` where it must survive a power cut."""

    path: str
    content: bytes = field(repr=False)
    mode: int
    synced: bool = False


@dataclass(frozen=True, slots=True)
class _Given:
    """The answer to whether a file could be given to its owner, with the words for a "no"."""

    answer: Future[None]
    facts: FileStat
    write: Write

    def get(self) -> None:
        try:
            self.answer.get()
        except OSError:
            raise WriteRefused(
                _STAGE,
                f"the login (uid {self.facts.uid}, gid {self.facts.gid}) can't give the file to "
                f"its owner (uid {self.write.uid}, gid {self.write.gid})",
                "log in as the file's owner, or set become_user to it",
            ) from None


@dataclass(frozen=True, slots=True)
class _There:
    """The answers for the lock's file and, where one is replaced, the target."""

    lock: Future[ReadHandle]
    target: Future[ReadHandle] | None


@dataclass(slots=True)
class _AtomicWrite:
    """One write, from the staged file to what is read back.

    What does not rest on an answer is asked together with what comes before it. Every answer is
    looked at before the next step that it has to do with, and all of them before the rename.
    """

    files: Filesystem
    write: Write
    directory: DataDir
    lock: Lock
    step: str = _STAGE
    renamed: bool = False
    being_written: list[WriteHandle] = field(default_factory=list)
    warnings: tuple[str, ...] = ()

    @property
    def _staging(self) -> str:
        return self.directory.inside(_STAGING)

    @property
    def _previous(self) -> str:
        return self.directory.inside(PREVIOUS)

    @property
    def _fresh_previous(self) -> str:
        return self.directory.inside(_FRESH_PREVIOUS)

    def run(self) -> WriteResult:
        try:
            if self.write.content is None:
                self._take_away()
            else:
                self._replace(self.write.content)
        except (OSError, WriteRefused, WriteFailed, Unreachable) as problem:
            self._give_up(problem)
        return WriteResult(self.write.path, self.warnings)

    def _replace(self, content: bytes) -> None:
        staged = self._stage(content)
        there = self._ask_for_what_is_there()
        _get_all(staged)
        self.being_written.clear()
        self._check_before_rename(there)
        self.step = _RENAME
        self._rename()
        self.renamed = True
        self.step = "read back"
        # The file is there: what it turns out to be is for the receipt to be compared with.
        kept = self._ask_to_keep_receipt()
        self._read_back(content)
        self._check_receipt(kept)

    def _take_away(self) -> None:
        """Make the target the file that is kept: one rename, and it is gone."""
        seen = self._compare(self._ask_for_what_is_there())
        self._look_again(seen, self.files.submit_lstat(self.write.path))
        self.step = _RENAME
        self.files.replace(self.write.path, self._previous)
        self.renamed = True
        self._check_receipt()

    def _stage(self, content: bytes) -> list[Future[None]]:
        """Put the new file, and a copy of the one it replaces, beside the target.

        Nothing of it is certain before the answers that this returns.
        """
        fresh = self._fresh(content)
        asked = [self.files.submit_create(item.path) for item in fresh]
        made = [self._made(item, answer) for item, answer in zip(fresh, asked, strict=True)]
        written = [file.submit_write(item.content) for item, file in zip(fresh, made, strict=True)]
        asked_facts = made[0].submit_facts()
        _get_all(written)
        facts = asked_facts.get()
        return [
            answer
            for item, file in zip(fresh, made, strict=True)
            for answer in self._finish(item, file, facts)
        ]

    def _fresh(self, content: bytes) -> list[_Fresh]:
        """Return what to put beside the target, the new file first and its receipt last."""
        fresh = [_Fresh(self._staging, content, self.write.mode, synced=True)]
        if self.write.base is not None:
            mode = self.write.mode & _OWNER_ONLY
            fresh.append(_Fresh(self._fresh_previous, self.write.base.content, mode))
        if self.write.receipt is not None:
            place = self.directory.inside(_FRESH_RECEIPT)
            fresh.append(_Fresh(place, self.write.receipt, _OWNER_ONLY))
        return fresh

    def _finish(self, item: _Fresh, file: WriteHandle, facts: FileStat) -> Iterator[Future[None]]:
        """Ask for all that is left to do with a file of ours that is as ``facts`` say."""
        if (facts.uid, facts.gid) != (self.write.uid, self.write.gid):
            yield _Given(file.submit_chown(self.write.uid, self.write.gid), facts, self.write)
        if stat.S_IMODE(facts.mode) != item.mode:
            yield file.submit_chmod(item.mode)
        if item.synced:
            yield file.submit_sync()
        yield file.submit_close()

    def _made(self, item: _Fresh, asked: Future[WriteHandle]) -> WriteHandle:
        try:
            made = asked.get()
        except FileExistsError:
            if not self.lock.is_still_ours():
                raise _lost_lock(self.step) from None
            self.files.remove(item.path)  # left by a run that died
            made = self.files.create(item.path)
        self.being_written.append(made)
        return made

    def _check_before_rename(self, there: _There) -> None:
        seen = self._compare(there)
        self.step = _KEEP
        kept = None
        if self.write.base is None:
            with suppress(FileNotFoundError):
                self.files.remove(self._previous)
        else:
            kept = self.files.submit_replace(self._fresh_previous, self._previous)
        # Whoever edits by renaming leaves the file that was open as it was, so this comes last.
        now = self.files.submit_lstat(self.write.path)
        if kept is not None:
            kept.get()
        self._look_again(seen, now)

    def _ask_for_what_is_there(self) -> _There:
        base = self.write.base
        lock = self.lock.ask()
        return _There(lock, self.files.submit_open(self.write.path) if base else None)

    def _compare(self, there: _There) -> FileStat | None:
        """Return the facts of the target, whose content is what the plan saw; ``None`` for none.

        Before anything is said of the target, the lock must be found to be ours.
        """
        base, target = self.write.base, there.target
        self.step = _CHECK_LOCK
        lock = self.lock.ask_content(there.lock)
        if base is None or target is None:
            self._check_lock(lock)
            return None
        limit = len(base.content) + 1
        asked = then(target, lambda found: found.submit_whole(limit))
        self._check_lock(lock)
        self.step = _COMPARE
        try:
            facts, content = asked.get()
        except FileNotFoundError:
            raise self._is_gone() from None
        if content != base.content or not _same_facts(facts, base.mode, base.uid, base.gid):
            raise WriteRefused(self.step, _MOVED, _AGAIN)
        return facts

    def _check_lock(self, asked: Future[tuple[FileStat, bytes]]) -> None:
        if not self.lock.is_still_ours(asked):
            raise _lost_lock(self.step)

    def _look_again(self, seen: FileStat | None, asked: Future[FileStat]) -> None:
        """See that the path still leads to what was compared."""
        self.step = _COMPARE
        try:
            now = asked.get()
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

    def _ask_to_keep_receipt(self) -> Future[None]:
        """Ask for the receipt to be this write's, or to be gone where it leaves none."""
        place = self.directory.inside(RECEIPT)
        if self.write.receipt is None:
            return self.files.submit_remove(place)
        return self.files.submit_replace(self.directory.inside(_FRESH_RECEIPT), place)

    def _check_receipt(self, asked: Future[None] | None = None) -> None:
        """Warn where the receipt is not this write's: the file is right by now all the same."""
        try:
            (asked or self._ask_to_keep_receipt()).get()
        except OSError as problem:
            if self.write.receipt is None and isinstance(problem, FileNotFoundError):
                return  # there was none to take away
            self.warnings = (f"{_NO_RECEIPT}: {describe_file_error(problem)}",)
            with suppress(OSError, Unreachable):
                self.files.remove(self.directory.inside(_FRESH_RECEIPT))
        except Unreachable as problem:
            self.warnings = (f"{_NO_RECEIPT}: {problem.reason}",)

    def _give_up(self, problem: OSError | WriteRefused | WriteFailed | Unreachable) -> NoReturn:
        """Clean up as far as the connection lets us, and say what is on the host now."""
        lost = isinstance(problem, Unreachable)
        for stream in self.being_written:
            with suppress(Unreachable):
                stream.close_nowait()
        if not lost:
            with suppress(OSError, Unreachable):
                if not self.lock.lost and self.lock.is_still_ours():  # else it is another's
                    remove_stale(self.directory)
        if isinstance(problem, WriteRefused | WriteFailed):
            raise problem
        reason = (
            problem.reason if isinstance(problem, Unreachable) else describe_file_error(problem)
        )
        if self.renamed:
            raise WriteFailed(
                self.step, f"{reason}; the file was replaced, but not checked", "plan again"
            ) from None
        if self.step == _RENAME and lost:
            raise WriteFailed(
                self.step, f"{reason}; whether the file was replaced is not known", "plan again"
            ) from None
        hint = f"the lock there expires in {EXPIRES_AFTER} seconds" if lost else ""
        raise WriteFailed(self.step, f"{reason}; the file there is untouched", hint) from None


def _lost_lock(step: str) -> WriteRefused:
    return WriteRefused(step, "the lock was broken by another run", _AGAIN)


def _get_all(answers: Iterable[Future[None]]) -> None:
    for answer in answers:
        answer.get()


def _same_facts(facts: FileStat, mode: int, uid: int, gid: int) -> bool:
    return (stat.S_IMODE(facts.mode), facts.uid, facts.gid) == (mode, uid, gid)
