"""Writes a target safely: under a lock that is held for as long as it takes.

A restart and its verification may take minutes, and going back must find the file as it was left:
so the lock outlives the write.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, Unreachable, WriteRefused
from aegis_provision.transport.atomic_write import remove_stale, write_under_lock
from aegis_provision.transport.data_dir import ByPath, DataDir, open_data_dir
from aegis_provision.transport.errors import describe_file_error
from aegis_provision.transport.filesystem import RenameNotAllowedError
from aegis_provision.transport.lock import EXPIRES_AFTER, Lock, take_lock

if TYPE_CHECKING:
    from aegis_provision.planning.plan import Write
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.protocol import WriteResult

_TRIES = 3


class FileLock:
    """A lock that is ours. ``files`` is the host that it is on."""

    def __init__(self, files: Filesystem, directory: DataDir, lock: Lock) -> None:
        """Take over a lock that was taken in ``directory``."""
        self.files = files
        self._directory = directory
        self._lock = lock
        self._empty = directory.made
        self._broken_off = False

    def renew(self) -> None:
        """Put off the moment at which the lock expires, as far as the host lets us."""
        with suppress(OSError, Unreachable):
            self._lock.renew()

    def write(self, write: Write) -> WriteResult:
        """Carry ``write`` out (see :func:`~.replacement.write_under_lock`)."""
        self._broken_off = True
        written = write_under_lock(self.files, write, self._directory, self._lock)
        self._broken_off = self._empty = False
        return written

    def release(self) -> tuple[str, ...]:
        """Give the lock back, and leave no directory where nothing was written. Never raises.

        A write that time ran out on could not clean up after itself: that is done first.
        """
        try:
            if self._broken_off and self._lock.is_still_ours():
                remove_stale(self._directory)
            self._lock.release()
        except (OSError, Unreachable):
            return (f"the lock could not be removed; it expires in {EXPIRES_AFTER} seconds",)
        if self._empty:
            self._directory.remove_if_made()
        return ()

    def rebind(self, files: Filesystem) -> FileLock | None:
        """Return the same hold over another connection, ``None`` where the lock is not ours now.

        Raises :class:`WriteRefused` where that can't be told, and :class:`Unreachable`.
        """
        lock = self._lock.over(files)
        try:
            if not lock.is_still_ours():
                return None
        except OSError as problem:
            raise WriteRefused("lock", describe_file_error(problem)) from None
        return FileLock(files, DataDir(files, self._directory.path, made=False), lock)


def lock_target(
    files: Filesystem, write: Write, owner: str, by_path: ByPath = ByPath.IF_OWN
) -> FileLock:
    """Take the lock beside the target of ``write``; ``owner`` is whom it names.

    ``by_path`` says when our directory there may be changed by its path. Raises
    :class:`WriteRefused` and :class:`Unreachable`; nothing is left behind then.
    """
    for _ in range(_TRIES):
        # The operator before us may take the directory away just when we want the lock in it.
        with suppress(FileNotFoundError):
            return _take_hold(files, write, owner, by_path)
    raise Locked("lock", "another run is writing here (it was quicker)", "try again")


def _take_hold(files: Filesystem, write: Write, owner: str, by_path: ByPath) -> FileLock:
    """Do so; raises ``FileNotFoundError`` where our directory goes meanwhile."""
    try:
        directory = open_data_dir(files, write.path, write.uid, by_path)
    except PermissionError:
        raise _no_permission("prepare") from None
    except OSError as problem:
        raise WriteRefused("prepare", describe_file_error(problem)) from None
    try:
        return FileLock(files, directory, take_lock(files, directory.path, owner))
    except FileNotFoundError:
        raise
    except RenameNotAllowedError as problem:
        directory.remove_if_made()
        raise WriteRefused("lock", describe_file_error(problem)) from None
    except PermissionError:
        directory.remove_if_made()
        raise _not_ours(directory) from None
    except OSError as problem:
        directory.remove_if_made()
        raise WriteRefused("lock", describe_file_error(problem)) from None
    except Unreachable as problem:
        hint = f"a lock may be left there, which expires in {EXPIRES_AFTER} seconds"
        raise Unreachable(problem.step, problem.reason, hint) from None


def _not_ours(directory: DataDir) -> WriteRefused:
    if directory.made:
        return _no_permission("lock")
    return WriteRefused(
        "lock",
        f"no permission to write in {directory.path}, which an earlier run made as another user",
        "remove it on the host as its owner, or log in as that user",
    )


def _no_permission(step: str) -> WriteRefused:
    return WriteRefused(
        step,
        "no permission to write in its directory",
        "log in as the directory's owner, or set become_user to it",
    )
