"""File operations on the machine that the tool runs on."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aegis_provision.transport.answers import Settled
from aegis_provision.transport.filesystem import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class LocalFiles:
    """A :class:`~aegis_provision.transport.filesystem.Filesystem` of this machine's."""

    def __init__(self, home: Path) -> None:
        """Resolve relative paths from ``home``, as a login would."""
        self._home = home

    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path."""
        return str(self._home.absolute() / path)

    def lstat(self, path: str) -> Facts:
        """Return a file's facts, a link's own where it is one."""
        return _facts(Path(path).lstat())

    def stat(self, path: str) -> Facts:
        """Return a file's facts, following links."""
        return _facts(Path(path).stat())

    def ask_lstat(self, path: str) -> Settled[Facts]:
        """Return :meth:`lstat`'s answer."""
        return Settled(lambda: self.lstat(path))

    def ask_stat(self, path: str) -> Settled[Facts]:
        """Return :meth:`stat`'s answer."""
        return Settled(lambda: self.stat(path))

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        return str(Path(path).readlink())

    def read(self, path: str, limit: int) -> bytes:
        """Return a file's content, at most ``limit`` bytes."""
        return self.read_whole(path, limit)[1]

    def read_whole(self, path: str, limit: int) -> tuple[Facts, bytes]:
        """Return one open file's facts and content."""
        return _found(path).ask_whole(limit).get()

    def ask_open(self, path: str) -> Settled[LocalFound]:
        """Open a file for reading; never waits for whoever writes into a pipe."""
        return Settled(lambda: _found(path))

    def create(self, path: str) -> LocalFile:
        """Make a file that is not there yet, for its owner alone."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return LocalFile(os.open(path, flags, 0o600))

    def ask_create(self, path: str) -> Settled[LocalFile]:
        """Return :meth:`create`'s answer."""
        return Settled(lambda: self.create(path))

    def ask_mkdir(self, path: str, mode: int) -> Settled[None]:
        """Make a directory."""
        return Settled(lambda: Path(path).mkdir(mode))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        Path(path).rmdir()

    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""
        with _directory(path) as descriptor:
            os.fchmod(descriptor, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""
        with _directory(path) as descriptor:
            os.fchown(descriptor, uid, gid)

    def replace(self, source: str, target: str) -> None:
        """Rename atomically, over what is there."""
        Path(source).replace(target)
        _sync_directory_of(target)

    def ask_replace(self, source: str, target: str) -> Settled[None]:
        """Return :meth:`replace`'s answer."""
        return Settled(lambda: self.replace(source, target))

    def rename(self, source: str, target: str) -> None:
        """Rename unless something is there."""
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as problem:
            if problem.errno not in _NO_LINKS or os.path.lexists(target):
                raise
            Path(source).rename(target)  # as OpenSSH does where a file system has no links
        else:
            Path(source).unlink()
        _sync_directory_of(target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink()

    def ask_remove(self, path: str) -> Settled[None]:
        """Return :meth:`remove`'s answer."""
        return Settled(lambda: self.remove(path))


def _found(path: str) -> LocalFound:
    return LocalFound(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY))


class LocalFound:
    """A file that was there."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        self._descriptor = descriptor

    def ask_whole(self, limit: int) -> Settled[tuple[Facts, bytes]]:
        """Read the file and close it."""
        return Settled(lambda: self._whole(limit))

    def _whole(self, limit: int) -> tuple[Facts, bytes]:
        with os.fdopen(self._descriptor, "rb") as stream:
            return _facts(os.fstat(stream.fileno())), stream.read(limit)


class LocalFile:
    """A file that was just made here."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, unless it is closed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def let_go(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self.close()

    def touch(self, mtime: int) -> None:
        """Set when the open file was last written."""
        os.utime(self._open(), (mtime, mtime))

    def ask_write(self, data: bytes) -> Settled[None]:
        """Write all of ``data``."""
        return Settled(lambda: self._write(data))

    def ask_facts(self) -> Settled[Facts]:
        """Return the open file's facts."""
        return Settled(lambda: _facts(os.fstat(self._open())))

    def ask_chown(self, uid: int, gid: int) -> Settled[None]:
        """Change the open file's owner."""
        return Settled(lambda: os.fchown(self._open(), uid, gid))

    def ask_chmod(self, mode: int) -> Settled[None]:
        """Change the open file's permission bits."""
        return Settled(lambda: os.fchmod(self._open(), mode))

    def ask_sync(self) -> Settled[None]:
        """Bring the content to the disk."""
        return Settled(lambda: os.fsync(self._open()))

    def ask_close(self) -> Settled[None]:
        """Close the file."""
        return Settled(self.close)

    def _open(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._open(), view) :]


@contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_directory_of(path: str) -> None:
    """Bring a rename to the disk where that can be done: it has happened, whatever comes of this.

    A directory that may not be read can't be synced, and some file systems sync none.
    """
    with suppress(OSError), _directory(str(Path(path).parent.resolve())) as descriptor:
        os.fsync(descriptor)


def _facts(found: os.stat_result) -> Facts:
    return Facts(found.st_mode, found.st_uid, found.st_gid, found.st_size, int(found.st_mtime))
