"""Replaces a file as a whole or not at all, and keeps the one before.

All our files lie in ``.aegis-provision/`` beside the target: ``lock``, ``staging``, ``previous``
and ``receipt.json``. A crash at any moment leaves either the old file or the new one. SFTP has no
compare-and-swap: between the last look at the target and the rename there is one round trip in
which another program's write would be lost; between our own operators the lock closes this gap. A
new file has no such gap: a plain rename never replaces a file.

The receipt comes last, after the new file. If a write breaks off in between, the receipt from
before lies beside the new file; that file is still what is wanted, so it is no drift.

Files are made exclusively, and their owner and mode are set on the open file. They are renamed and
removed by path, so only the login may be able to exchange what our directory's path leads to: the
session checks that (see :mod:`~.path_owners`).
"""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from aegis_provision.errors import Unreachable, WriteFailed, WriteRefused
from aegis_provision.planning.host_plan import NO_RENAME
from aegis_provision.transport.data_dir import (
    LOCK_EXPIRES_AFTER,
    NEW_PREVIOUS,
    NEW_RECEIPT,
    OLD_PREVIOUS,
    PREVIOUS,
    RECEIPT,
    STAGING,
)
from aegis_provision.transport.filesystem import (
    RenameNotOfferedError,
    then,
    wait_for_answers,
)
from aegis_provision.transport.write_failure import why_gone, why_not_written
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.filesystem import (
        FileStat,
        Filesystem,
        Future,
        ReadHandle,
        WriteHandle,
    )
    from aegis_provision.transport.lock import WriteLock

_Look: TypeAlias = "tuple[Future[tuple[FileStat, bytes]], Future[tuple[FileStat, bytes]] | None]"
_OWNER_ONLY = 0o600
_STAGE, _KEEP, _CHECK_LOCK = "stage", "keep the previous file", "check the lock"
_COMPARE, _RENAME = "compare", "rename"
_MOVED = "the file changed since the plan saw it"
_AGAIN = "plan again and look at what changed"
_NO_RECEIPT = "the receipt beside the file is not this write's"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A write that was read back and found right. ``warnings`` are worth showing."""

    path: str
    warnings: tuple[str, ...] = field(default=())


def atomic_write(
    lock: WriteLock, write: Write, deadline: Deadline, *, is_last: bool = False
) -> WriteResult:
    """Replace the target as ``write`` says, or remove it; the lock stays taken.

    If this ``is_last`` of what is done under the lock, its removal is asked for together with the
    write's last requests; :meth:`~.lock.WriteLock.release` tells what became of that.

    Raises :class:`WriteRefused` (nothing was changed) or :class:`WriteFailed` (the reason says
    what is there now).
    """
    lock.directory.files.set_deadline(deadline)
    lock.broken_off = True
    result = _AtomicWrite(lock, write, is_last).run()
    lock.broken_off = lock.unused = False
    return result


@dataclass(frozen=True, slots=True)
class _StagedFile:
    """A file to stage beside the target; ``synced`` if it must survive a power cut."""

    path: str
    content: bytes = field(repr=False)
    mode: int
    synced: bool = False


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A request that may fail: what it is about may not be there, or stay."""

    future: Future[None]

    def get(self) -> None:
        """Wait for the answer. Raises :class:`Unreachable`."""
        with suppress(OSError):
            self.future.get()


@dataclass(frozen=True, slots=True)
class _Chown:
    """A change of a staged file's owner under way; a failure is a refusal that says why.

    ``found`` is what the file is before.
    """

    future: Future[None]
    found: FileStat
    write: Write

    def get(self) -> None:
        try:
            self.future.get()
        except OSError:
            raise WriteRefused(
                _STAGE,
                f"the login (uid {self.found.uid}, gid {self.found.gid}) can't give the file to "
                f"its owner (uid {self.write.uid}, gid {self.write.gid})",
                "log in as the file's owner, or set become_user to it",
            ) from None


@dataclass(slots=True)
class _AtomicWrite:
    """One write, from the staged file to what is read back.

    In order: stage the new file, its receipt and a copy of the old file; check the lock; compare
    the target with what the plan saw; keep the old file; look at the target once more; rename; read
    back; put the receipt in place.

    Requests that rest on no answer are sent together with those before them, which makes five round
    trips. Every answer is checked before the step that rests on it, and all of them before the
    rename. What is read back is opened together with the rename: a server does what concerns one
    file in the order in which it is asked (draft-ietf-secsh-filexfer-02, section 6).

    ``aside`` says that the file that was kept before lies aside, ``kept`` that the one from before
    this write is kept.
    """

    lock: WriteLock
    write: Write
    is_last: bool
    step: str = _STAGE
    aside: bool = False
    kept: bool = False
    renamed: bool = False
    open_handles: list[WriteHandle] = field(default_factory=list)
    warnings: tuple[str, ...] = ()

    @property
    def _files(self) -> Filesystem:
        return self.lock.directory.files

    def _inside(self, name: str) -> str:
        return self.lock.directory.inside(name)

    def run(self) -> WriteResult:
        try:
            if self.write.content is None:
                self._delete()
            else:
                self._replace(self.write.content)
        except (OSError, WriteRefused, WriteFailed, Unreachable) as problem:
            self._fail(problem)
        return WriteResult(self.write.path, self.warnings)

    def _replace(self, content: bytes) -> None:
        files = self._staged_files(content)
        made = [self._files.submit_create(file.path) for file in files]
        like = self.lock.submit_stat()
        seen = self._submit_look()
        _wait_for_all(self._stage(files, made, like))
        self.open_handles.clear()
        self._keep_previous(self._compare(seen))
        self.step = _RENAME
        opened = self._rename()
        self.renamed = True
        self.step = "read back"
        # The file is there: the receipt is compared with what it turns out to be.
        found = then(opened, lambda file: file.submit_whole(len(content) + 1))
        receipt = self._submit_receipt()
        aside = self._files.submit_remove(self._inside(OLD_PREVIOUS)) if self.aside else None
        if self.is_last:
            self.lock.submit_release()
        self._read_back(content, found)
        self._check_receipt(receipt)
        if aside is not None:
            with suppress(OSError, Unreachable):
                aside.get()

    def _delete(self) -> None:
        """Rename the target to the file that is kept: one rename, and it is gone."""
        self.lock.confirm()
        seen = self._compare(self._submit_look())
        self._compare_again(seen, self._files.submit_lstat(self.write.path))
        self.step = _RENAME
        self._files.replace(self.write.path, self._inside(PREVIOUS))
        self.renamed = True
        self._check_receipt()

    def _stage(
        self,
        files: Sequence[_StagedFile],
        made: Sequence[Future[WriteHandle]],
        like: Future[FileStat] | None,
    ) -> list[Future[None]]:
        """Fill the new ``files`` beside the target, which are being ``made``.

        ``like`` tells the owner and mode of a file that was made in the same way, if there is one.
        Nothing is certain before the futures that this returns are done.
        """
        for future in made:
            with suppress(OSError):
                self.open_handles.append(future.get())
        self.lock.confirm()
        staged = self._created(files[0], made[0])
        # Left by a write that broke off after its rename: beside our staging file it would count.
        stale = self._files.submit_remove(self._inside(OLD_PREVIOUS))
        others = zip(files[1:], made[1:], strict=True)
        handles = [staged, *(self._created(file, future) for file, future in others)]
        written = [
            handle.submit_write(file.content) for file, handle in zip(files, handles, strict=True)
        ]
        found = (like or handles[0].submit_stat()).get()
        finished = [
            future
            for file, handle in zip(files, handles, strict=True)
            for future in self._finish(file, handle, found)
        ]
        return [_Attempt(stale), *written, *finished]

    def _staged_files(self, content: bytes) -> list[_StagedFile]:
        """Return the files to put beside the target, the new file first and its receipt last."""
        files = [_StagedFile(self._inside(STAGING), content, self.write.mode, synced=True)]
        if self.write.base is not None:
            path, mode = self._inside(NEW_PREVIOUS), self.write.mode & _OWNER_ONLY
            files.append(_StagedFile(path, self.write.base.content, mode))
        if self.write.receipt is not None:
            path = self._inside(NEW_RECEIPT)
            files.append(_StagedFile(path, self.write.receipt, _OWNER_ONLY))
        return files

    def _created(self, file: _StagedFile, future: Future[WriteHandle]) -> WriteHandle:
        try:
            return future.get()
        except FileExistsError:
            if not self.lock.is_still_ours():
                raise self._lock_lost() from None
            # Left by a run that died. If it is the staging file that run replaced nothing.
            if file.path == self._inside(STAGING):
                self.lock.directory.put_previous_back()
            self._files.remove(file.path)
            handle = self._files.create(file.path)
            self.open_handles.append(handle)
            return handle

    def _finish(
        self, file: _StagedFile, handle: WriteHandle, found: FileStat
    ) -> Iterator[Future[None]]:
        """Submit what is left to do with a staged file whose owner and mode are as ``found``."""
        if (found.uid, found.gid) != (self.write.uid, self.write.gid):
            yield _Chown(handle.submit_chown(self.write.uid, self.write.gid), found, self.write)
        if stat.S_IMODE(found.mode) != file.mode:
            yield handle.submit_chmod(file.mode)
        if file.synced:
            yield handle.submit_sync()
        yield handle.submit_close()

    def _keep_previous(self, seen: FileStat | None) -> None:
        """Keep the file from before, then check once more that the target is the one ``seen``."""
        self.step = _KEEP
        # The one that is kept there comes back if this write fails: an earlier run may be undone
        # with it.
        aside = self._files.submit_replace(self._inside(PREVIOUS), self._inside(OLD_PREVIOUS))
        kept = None
        if self.write.base is not None:
            kept = self._files.submit_replace(self._inside(NEW_PREVIOUS), self._inside(PREVIOUS))
        # An editor that saves by renaming leaves the open file as it was, so this comes last.
        now = self._files.submit_lstat(self.write.path)
        try:
            if kept is not None:
                kept.get()
                self.kept = True
        finally:
            self._wait_for_aside(aside)
        self._compare_again(seen, now)

    def _wait_for_aside(self, future: Future[None]) -> None:
        try:
            future.get()
        except FileNotFoundError:
            return
        except RenameNotOfferedError:
            if self.write.base is not None:
                raise
            with suppress(FileNotFoundError):  # a new file can be made without it
                self._files.remove(self._inside(PREVIOUS))
            return
        self.aside = True

    def _submit_look(self) -> _Look:
        """Ask for the content of the lock and, if one is replaced, of the target."""
        base = self.write.base
        lock = self.lock.submit_open()
        if base is None:
            return self.lock.submit_read(lock), None
        limit, target = len(base.content) + 1, self._files.submit_open(self.write.path)
        wait_for_answers((lock, target))
        return self.lock.submit_read(lock), then(target, lambda file: file.submit_whole(limit))

    def _compare(self, look: _Look) -> FileStat | None:
        """Check that the target is what the plan saw; return its stat, ``None`` for no file.

        The lock must be found to be ours before anything is said of the target.
        """
        lock, target = look
        base = self.write.base
        self.step = _CHECK_LOCK
        if not self.lock.is_still_ours(lock):
            raise self._lock_lost()
        if base is None or target is None:
            return None
        self.step = _COMPARE
        try:
            found, content = target.get()
        except FileNotFoundError:
            raise self._is_gone() from None
        if content != base.content or not _has(found, base.mode, base.uid, base.gid):
            raise WriteRefused(self.step, _MOVED, _AGAIN)
        return found

    def _lock_lost(self) -> WriteRefused:
        gone = self.lock.missing and why_gone(self.lock.directory)
        if gone:
            return WriteRefused(self.step, gone.reason, gone.hint)
        return WriteRefused(self.step, "the lock was broken by another run", _AGAIN)

    def _compare_again(self, seen: FileStat | None, future: Future[FileStat]) -> None:
        """Check that the path still leads to the file that was compared."""
        self.step = _COMPARE
        try:
            now = future.get()
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

    def _has_come(self) -> WriteRefused:
        return WriteRefused(self.step, "a file has come since the plan saw none", _AGAIN)

    def _rename(self) -> Future[ReadHandle]:
        """Put the new file in place; return what opens the file that is there then."""
        files, path, is_new = self._files, self.write.path, self.write.base is None
        submit = files.submit_rename if is_new else files.submit_replace
        put, opened = submit(self._inside(STAGING), path), files.submit_open(path)
        try:
            put.get()
        except OSError as problem:
            then(opened, lambda file: file.submit_whole(0))  # which closes it
            if is_new and isinstance(problem, FileExistsError):
                raise self._has_come() from None
            raise
        return opened

    def _read_back(self, content: bytes, future: Future[tuple[FileStat, bytes]]) -> None:
        found, read = future.get()
        if read != content:
            raise WriteFailed(
                self.step, "what is there now is not what was written", "look at the host"
            )
        if not _has(found, self.write.mode, self.write.uid, self.write.gid):
            raise WriteFailed(
                self.step,
                f"the new file is there, but with mode {stat.S_IMODE(found.mode):04o} "
                f"and owner {found.uid}:{found.gid}",
                "look at the host",
            )

    def _submit_receipt(self) -> Future[None]:
        """Ask for the receipt to be this write's, or to be gone if the write leaves none."""
        path = self._inside(RECEIPT)
        if self.write.receipt is None:
            return self._files.submit_remove(path)
        return self._files.submit_replace(self._inside(NEW_RECEIPT), path)

    def _check_receipt(self, future: Future[None] | None = None) -> None:
        """Warn if the receipt is not this write's: the file itself is right by now."""
        try:
            (future or self._submit_receipt()).get()
        except OSError as problem:
            if self.write.receipt is None and isinstance(problem, FileNotFoundError):
                return  # there was none to remove
            why = why_not_written(self.lock.directory, problem)
            self.warnings = (f"{_NO_RECEIPT}: {why.reason}",)
            with suppress(OSError, Unreachable):
                self._files.remove(self._inside(NEW_RECEIPT))
        except Unreachable as problem:
            self.warnings = (f"{_NO_RECEIPT}: {problem.reason}",)

    def _fail(self, problem: OSError | WriteRefused | WriteFailed | Unreachable) -> NoReturn:
        """Clean up as far as the connection lets us, and say what is on the host now."""
        lost = isinstance(problem, Unreachable)
        # Before anything of ours is removed: that makes room, where there was none.
        reason, hint = self._why(problem)
        for handle in self.open_handles:
            with suppress(Unreachable):
                handle.close_nowait()
        if not lost:
            with suppress(OSError, Unreachable):
                if not self.lock.lost and self.lock.is_still_ours():  # else it is another run's
                    self.lock.directory.remove_stale()
                    if not self.renamed:
                        self._put_previous_back()
        if isinstance(problem, WriteRefused | WriteFailed):
            raise problem
        if isinstance(problem, RenameNotOfferedError) and not self.renamed:
            untouched = f"{reason}; the file there is untouched"
            raise WriteRefused(self.step, untouched, NO_RENAME[1]) from None
        if self.renamed:
            raise WriteFailed(
                self.step, f"{reason}; the file was replaced, but not checked", "plan again"
            ) from None
        if self.step == _RENAME and lost:
            raise WriteFailed(
                self.step, f"{reason}; whether the file was replaced is not known", "plan again"
            ) from None
        raise WriteFailed(self.step, f"{reason}; the file there is untouched", hint) from None

    def _put_previous_back(self) -> None:
        """Let the file that is kept be the one from before this write, or none."""
        previous = self._inside(PREVIOUS)
        if self.aside:
            self._files.replace(self._inside(OLD_PREVIOUS), previous)
        elif self.kept:
            self._files.remove(previous)

    def _why(self, problem: OSError | WriteRefused | WriteFailed | Unreachable) -> tuple[str, str]:
        if not isinstance(problem, OSError):
            return problem.reason, f"the lock there expires in {LOCK_EXPIRES_AFTER} seconds"
        size = sum(len(file.content) for file in self._staged_files(self.write.content or b""))
        found = why_not_written(self.lock.directory, problem, (self.write.path,), size)
        return found.reason, found.hint


def _wait_for_all(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.get()


def _has(found: FileStat, mode: int, uid: int, gid: int) -> bool:
    return (stat.S_IMODE(found.mode), found.uid, found.gid) == (mode, uid, gid)
