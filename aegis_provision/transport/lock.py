"""The lock beside a target: between our own operators, one run at a time writes there.

It is a file in our directory on the host, made exclusively; it names its owner and the time. It
outlives the write: a restart and its verification may take minutes, and a restore must find the
file as the write left it.

A lock that expired is broken by a rename to a unique name and a look at the file that was moved:
of two runs that break it at once, only one goes on. The host's clock alone tells a lock's age. So
is one broken that a worker of this very run left, if it is surely dead (:class:`LockOwner`).
"""

from __future__ import annotations

import json
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, Unreachable, WriteRefused
from aegis_provision.transport.data_dir import (
    LOCK,
    LOCK_EXPIRES_AFTER,
    PRIVATE,
    ByPath,
    DataDir,
    beside,
    data_dir,
    is_right,
    open_data_dir,
)
from aegis_provision.transport.file_attributes import untold_attributes
from aegis_provision.transport.filesystem import RenameNotAllowedError, then
from aegis_provision.transport.write_failure import why_not_written
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.file_attributes import ReadAttributes
    from aegis_provision.transport.filesystem import (
        FileStat,
        Filesystem,
        Future,
        ReadHandle,
        WriteHandle,
    )

_MOST_AHEAD = 60
"""Seconds by which a lock's time may be ahead of the host's: more was a wrong clock's doing."""

_SURELY_OURS = 60
"""Seconds after it was made or renewed for which a lock need not be read again."""

_TIME_TO_FILL = 2.0
_LOOK_EVERY = 0.25
_LARGEST = 4096
_TRIES = 3
_STEP = "lock"
_MARK = "mark"
# A clock that goes on while this machine sleeps: the host's does too, and with it the lock's age.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Whom a lock names: ``name`` is for people, ``mark`` is what its locks alone have, if any.

    ``dead`` are the marks of those who worked on the host before in the same run, and surely do
    not any more: their locks need not expire.
    """

    name: str
    mark: str = ""
    dead: frozenset[str] = frozenset()

    def inherits(self, content: bytes) -> bool:
        """Tell whether a lock with ``content`` was left by one of the ``dead``.

        One that stays empty is taken for theirs: they may have died before they filled it.
        """
        return bool(self.dead) and (not content or _field(content, _MARK) in self.dead)


@dataclass(slots=True)
class WriteLock:
    """A lock that is held. ``content`` is what its file holds.

    ``renewed`` is when it was made or renewed, by our own clock. ``handle`` is its open file,
    ``None`` if it was taken over another connection. ``lost`` says that another run was seen to
    hold the lock now, or none (``missing``); ``broken_off`` that a write did not finish, ``unused``
    that our directory is new and nothing was written. ``written`` is the request that puts the
    content into the file, and ``removed`` the one that removes the file, while their answers are
    under way.
    """

    directory: DataDir
    content: bytes
    renewed: float
    handle: WriteHandle | None = None
    lost: bool = False
    missing: bool = False
    broken_off: bool = False
    unused: bool = False
    written: Future[None] | None = None
    removed: Future[None] | None = None

    @property
    def path(self) -> str:
        """Return the path of the lock's file."""
        return self.directory.inside(LOCK)

    def confirm(self) -> None:
        """Make sure that the lock's file names us; otherwise it goes.

        On a full disk, say, it would name no owner, and keep all runs out. Raises
        :class:`WriteRefused`.
        """
        written, self.written = self.written, None
        try:
            if written is not None:
                written.get()
        except OSError as problem:
            refusal = _refused(_STEP, self.directory, problem)
            with suppress(OSError):
                self._remove_unnamed()
            self.lost = True
            raise refusal from None

    def _remove_unnamed(self) -> None:
        """Remove the lock whose content could not be written, unless it is another run's by now."""
        files = self.directory.files
        _, found = files.read_whole(self.path, _LARGEST)
        if self.content.startswith(found):
            self.directory.remove_stale()
            files.remove(self.path)

    def submit_stat(self) -> Future[FileStat] | None:
        """Ask for the stat of the lock's file, ``None`` if it is not open."""
        return self.handle.submit_stat() if self.handle is not None else None

    def submit_release(self) -> None:
        """Ask to remove the lock's file, if it is surely ours; :meth:`release` looks after it."""
        if self.handle is not None and self._is_young():
            self.handle.close_nowait()
            self.removed = self.directory.files.submit_remove(self.path)

    def renew(self, deadline: Deadline) -> None:
        """Put off the moment at which the lock expires, if the host lets us; never raises.

        The time is set on the open file: if the lock was broken, the other run's stays as it is.
        The host's time is that of the lock's creation, by the host's clock, plus what passed since.
        """
        self.directory.files.set_deadline(deadline)
        with suppress(OSError, Unreachable):
            if self.handle is None or not self._is_surely_ours():
                return
            now = _now()
            self.handle.touch(self.handle.submit_stat().get().mtime + round(now - self.renewed))
            self.renewed = now

    def release(self, deadline: Deadline) -> tuple[str, ...]:
        """Give the lock back, and remove our directory if nothing was written; never raises.

        Returns warnings. What a write that ran out of time left behind is removed first. If it
        can't be told whether the lock is ours, it stays, and expires.
        """
        self.directory.files.set_deadline(deadline)
        try:
            if self.removed is not None:
                self.removed.get()
                return ()
            if self.broken_off and self.is_still_ours():
                self.directory.remove_stale()
            if self.handle is not None:
                with suppress(OSError, Unreachable):
                    self.handle.close_nowait()
            if self._is_surely_ours():
                self.directory.files.remove(self.path)
        except (OSError, Unreachable):
            return (f"the lock could not be removed; it expires in {LOCK_EXPIRES_AFTER} seconds",)
        if self.unused:
            self.directory.remove_if_made()
        return ()

    def rebind(self, files: Filesystem) -> WriteLock | None:
        """Return the same lock over another connection, ``None`` if it is not ours any more.

        Raises :class:`WriteRefused` if that can't be told, and :class:`Unreachable`.
        """
        directory = replace(self.directory, files=files, made=False)
        lock = WriteLock(directory, self.content, self.renewed)
        try:
            return lock if lock.is_still_ours() else None
        except OSError as problem:
            found = why_not_written(directory, problem)
            raise WriteRefused(_STEP, found.reason, found.hint) from None

    def submit_open(self) -> Future[ReadHandle]:
        """Ask to open the lock's file as it is now."""
        return self.directory.files.submit_open(self.path)

    def submit_read(self, opened: Future[ReadHandle]) -> Future[tuple[FileStat, bytes]]:
        """Ask for the content of the file that :meth:`submit_open` asked for."""
        return then(opened, lambda handle: handle.submit_whole(_LARGEST))

    def is_still_ours(self, content: Future[tuple[FileStat, bytes]] | None = None) -> bool:
        """Tell whether the lock was not broken. Raises ``OSError`` if that can't be told.

        ``content`` is the answer of :meth:`submit_read`, if that was asked ahead.
        """
        try:
            _, found = (content or self.submit_read(self.submit_open())).get()
            self.lost = found != self.content
        except FileNotFoundError:
            self.lost = self.missing = True
        return not self.lost

    def _is_surely_ours(self) -> bool:
        """Tell whether the lock was not broken; no run breaks a young one.

        Raises what :meth:`is_still_ours` does.
        """
        return self._is_young() or self.is_still_ours()

    def _is_young(self) -> bool:
        return not self.lost and 0 <= _now() - self.renewed < _SURELY_OURS


@dataclass(frozen=True, slots=True)
class FoundLock:
    """A lock that another run holds or left behind. ``holder`` and ``since`` are what it says.

    Either is empty where it does not say. ``mtime`` is when it was made or renewed, in seconds by
    the host's clock.
    """

    holder: str
    since: str
    mtime: int

    def seconds_left(self, host_time: float) -> float:
        """Return after how many seconds it expires, at most 0 for one that has expired.

        A time that is far ahead of the host's was a wrong clock's doing, and counts as expired.
        """
        age = host_time - self.mtime
        return LOCK_EXPIRES_AFTER - age if age >= -_MOST_AHEAD else 0.0


def read_lock(files: Filesystem, target: str) -> FoundLock | None:
    """Return the lock beside ``target``, ``None`` if there is none. Raises ``OSError``.

    Nothing is written, so the host is not asked for its time here (see :class:`FoundLock`).
    """
    try:
        found, content = files.read_whole(beside(target, LOCK), _LARGEST)
    except FileNotFoundError:
        return None
    holder, since = _holder(content)
    return FoundLock(holder, since, found.mtime)


def take_lock(
    files: Filesystem,
    write: Write,
    owner: LockOwner,
    by_path: ByPath = ByPath.IF_OWN,
    read_attributes: ReadAttributes = untold_attributes,
    *,
    at_once: bool = False,
) -> WriteLock:
    """Take the lock beside the target of ``write``; its file names ``owner``.

    ``by_path`` says when our directory there may be changed by its path; ``read_attributes`` is
    asked where something is denied. ``at_once`` says that the directory was seen to be right, or
    not to be there. Raises :class:`WriteRefused`, :class:`Locked` if another run holds the lock,
    and :class:`Unreachable`; nothing is left behind then.
    """
    if at_once:
        ours = DataDir(files, data_dir(write.path), made=False, read_attributes=read_attributes)
        with _maybe_left():
            lock = _take_at_once(ours, write, owner, by_path)
        if lock is not None:
            return lock
    for _ in range(_TRIES):
        # The run before us may remove the directory just when we make the lock in it.
        with suppress(FileNotFoundError):
            directory = _open_data_dir(files, write, by_path, read_attributes)
            return _take_lock_in(directory, owner)
    raise Locked(_STEP, "another run is writing here (it was quicker)", "try again")


def _open_data_dir(
    files: Filesystem, write: Write, by_path: ByPath, read_attributes: ReadAttributes
) -> DataDir:
    try:
        return open_data_dir(files, write.path, write.uid, by_path, read_attributes)
    except OSError as problem:
        ours = DataDir(files, data_dir(write.path), made=True, read_attributes=read_attributes)
        raise _refused("prepare", ours, problem) from None


def _take_at_once(
    directory: DataDir, write: Write, owner: LockOwner, by_path: ByPath
) -> WriteLock | None:
    """Take the lock with one look at ``directory``, which is made if it is missing.

    The lock counts only if the directory is right; otherwise it goes, and ``None`` is returned, as
    where another run holds it.
    """
    files, path = directory.files, directory.path
    made, found = files.submit_mkdir(path, PRIVATE), files.submit_lstat(path)
    created = files.submit_create(directory.inside(LOCK))
    with suppress(OSError):
        made.get()
        directory = replace(directory, made=True)
    lock = WriteLock(directory, _content(owner), _now(), unused=directory.made)
    with suppress(OSError):
        lock.handle = created.get()
    with suppress(OSError):
        if lock.handle is not None and is_right(found.get(), write.uid, by_path):
            lock.written = lock.handle.submit_write(lock.content)
            return lock
    if lock.handle is not None:
        lock.handle.close_nowait()
        with suppress(OSError):
            files.remove(lock.path)
    directory.remove_if_made()
    return None


def _take_lock_in(directory: DataDir, owner: LockOwner) -> WriteLock:
    """Take the lock in ``directory``; raises ``FileNotFoundError`` if that goes meanwhile."""
    try:
        with _maybe_left():
            return create_or_break(directory, owner)
    except FileNotFoundError:
        raise
    except OSError as problem:
        refusal = _refused(_STEP, directory, problem)
        directory.remove_if_made()
        raise refusal from None


@contextmanager
def _maybe_left() -> Iterator[None]:
    """Say of a lost connection that a lock may be left behind."""
    try:
        yield
    except Unreachable as problem:
        hint = f"a lock may be left there, which expires in {LOCK_EXPIRES_AFTER} seconds"
        raise Unreachable(problem.step, problem.reason, hint) from None


def create_or_break(directory: DataDir, owner: LockOwner) -> WriteLock:
    """Create the lock in ``directory`` for ``owner``; one that expired or is left is broken first.

    Raises :class:`Locked` if another run holds it, and ``OSError``.
    """
    lock = WriteLock(directory, _content(owner), _now(), unused=directory.made)
    if _create(lock):
        return lock
    try:  # both are of one lock, though another may come
        found, content = _read_existing(lock, owner)
    except FileNotFoundError:
        pass
    else:
        if not owner.inherits(content):
            age = _server_time(directory) - found.mtime
            if -_MOST_AHEAD <= age <= LOCK_EXPIRES_AFTER:
                raise _locked(lock.path, _describe(content), LOCK_EXPIRES_AFTER - age)
        _break(lock, content)
    if _create(lock):
        return lock
    raise _locked(lock.path)


def _read_existing(lock: WriteLock, owner: LockOwner) -> tuple[FileStat, bytes]:
    """Return the lock's file that is there. Raises ``OSError``.

    An empty one may be filled in a moment, by a run that has only just made it: where it could be
    one of the dead's, that is waited for.
    """
    until = time.monotonic() + _TIME_TO_FILL
    while True:
        found, content = lock.directory.files.read_whole(lock.path, _LARGEST)
        if content or not owner.dead or time.monotonic() > until:
            return found, content
        time.sleep(_LOOK_EVERY)


def _content(owner: LockOwner) -> bytes:
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    content = {"owner": owner.name, "since": since, "nonce": secrets.token_hex(16)}
    if owner.mark:
        content[_MARK] = owner.mark
    return (json.dumps(content) + "\n").encode()


def _create(lock: WriteLock) -> bool:
    """Create the lock's file; tell whether there was none."""
    try:
        handle = _create_file(lock.directory.files, lock.path)
    except FileExistsError:
        return False
    lock.handle, lock.written = handle, handle.submit_write(lock.content)
    return True


def _create_file(files: Filesystem, path: str) -> WriteHandle:
    """Return a new file, as :meth:`~.filesystem.Filesystem.create` does.

    SFTP has no word for "it is there": if another run removes its file before we look for it, the
    answer is only a failure, and we try again.
    """
    for _ in range(_TRIES - 1):
        try:
            return files.create(path)
        except OSError as problem:
            if problem.errno is not None:
                raise
    return files.create(path)


def _describe(content: bytes) -> str:
    holder, since = _holder(content)
    return (
        f"held by {holder} since {since}" if holder else "held by a run that did not leave a name"
    )


def _holder(content: bytes) -> tuple[str, str]:
    """Return who holds a lock and since when; both are empty where it does not say."""
    owner, since = _field(content, "owner"), _field(content, "since")
    return (owner, since) if owner and since else ("", "")


def _field(content: bytes, name: str) -> str:
    """Return what a lock says under ``name``, empty where it does not."""
    try:
        return _printable(json.loads(content)[name])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _server_time(directory: DataDir) -> int:
    """Return the host's time: that of a new file in ``directory``."""
    files, path = directory.files, directory.inside("clock")
    for _ in range(_TRIES):
        try:
            handle = _create_file(files, path)
        except FileExistsError:  # left by a run that died, or another run looks at the time too
            with suppress(FileNotFoundError):
                files.remove(path)
            continue
        with handle:
            now = handle.submit_stat().get().mtime
        with suppress(FileNotFoundError):
            files.remove(path)
        return now
    raise _locked(directory.inside(LOCK))


def _break(lock: WriteLock, left: bytes) -> None:
    """Rename the lock whose content is ``left``, and look at the file that was moved."""
    files, path = lock.directory.files, lock.path
    moved = lock.directory.inside(f"broken.{secrets.token_hex(8)}")
    try:
        files.replace(path, moved)
    except FileNotFoundError:
        return
    if files.read_whole(moved, _LARGEST)[1] == left:
        files.remove(moved)
        return
    # Another run broke that lock first, and this is the live one that it took since. If it
    # can't go back because a third has come, its holder sees that before the rename.
    with suppress(OSError):
        files.rename(moved, path)
        raise _locked(path)
    files.remove(moved)
    raise _locked(path)


def _locked(
    path: str, reason: str = "another operator was quicker", seconds: int = LOCK_EXPIRES_AFTER
) -> Locked:
    return Locked(
        _STEP,
        f"another run is writing here ({reason})",
        f"wait until it is done; a dead run's lock, {path}, is broken in {max(1, seconds)} seconds",
    )


def _refused(step: str, directory: DataDir, problem: OSError) -> WriteRefused:
    """Return why ``problem`` keeps us from writing in ``directory``, which may be missing yet."""
    found = why_not_written(directory, problem)
    if found.hint or isinstance(problem, RenameNotAllowedError):
        return WriteRefused(step, found.reason, found.hint)
    if not isinstance(problem, PermissionError):
        return WriteRefused(step, found.reason)
    if directory.made:
        return WriteRefused(
            step,
            "no permission to write in its directory",
            "log in as the directory's owner, or set become_user to it",
        )
    return WriteRefused(
        step,
        f"no permission to write in {directory.path}, which an earlier run made as another user",
        "remove it on the host as its owner, or log in as that user",
    )


def _printable(text: object) -> str:
    return "".join(char for char in str(text)[:120] if char.isprintable())
