"""The few file operations that reading and safe writing are made of, over SFTP or locally.

A ``submit_`` function sends a request; ``get()`` of the future that it returns waits for the
result. Requests that are sent together cost one round trip, and far fewer packets than one request
after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, cast

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aegis_provision.transport.deadline import Deadline

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class RenameNotOfferedError(OSError):
    """The host's SFTP server can't rename over a file: it lacks OpenSSH's extension."""


class RenameNotAllowedError(PermissionError):
    """The host's SFTP server does not let the login rename over a file."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What ``lstat`` and ``stat`` return. ``mode`` holds the type bits too; times in seconds."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class FileSystemSpace:
    """What is left on a file system, in bytes and in files; see statvfs(3).

    ``available`` and ``files`` are for every user, ``free`` and ``free_files`` for the superuser.
    The numbers of files are ``None`` where the file system does not count them.
    """

    free: int
    available: int
    files: int | None
    free_files: int | None
    read_only: bool


class Future(Protocol[T_co]):
    """The result of a request under way."""

    def get(self) -> T_co:
        """Return the result once it is there. Raises what the request ended with, each time."""
        ...


class Completed(Generic[T]):
    """The result of work that is done at once, without waiting for a host."""

    def __init__(self, work: Callable[[], T]) -> None:
        """Do ``work``, and keep what it returns or the ``OSError`` that it raises."""
        self._error: OSError | None = None
        self._value: T | None = None
        try:
            self._value = work()
        except OSError as problem:
            self._error = problem

    def get(self) -> T:
        """Return what the work returned, or raise its error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class Failed(Generic[T]):
    """A result that is an error."""

    def __init__(self, error: OSError) -> None:
        """Keep the error."""
        self._error = error

    def get(self) -> T:
        """Raise the error."""
        raise self._error


def then(future: Future[T], submit: Callable[[T], Future[R]]) -> Future[R]:
    """Wait for one result, submit what follows from it, and return the future of that.

    An ``OSError`` that the first one ends with is what the second ends with.
    """
    try:
        return submit(future.get())
    except OSError as problem:
        return Failed(problem)


def wait_for_answers(futures: Iterable[Future[object]]) -> None:
    """Wait until all answers are there, good or bad: what rests on them goes together then."""
    for future in futures:
        with suppress(OSError):
            future.get()


class ReadHandle(Protocol):
    """A file that was there, open for reading."""

    def submit_whole(self, limit: int) -> Future[tuple[FileStat, bytes]]:
        """Ask for its stat and its content, at most ``limit`` bytes; it is closed then."""
        ...


class WriteHandle(ABC):
    """A file that was just made and is being written; leaving a ``with`` block closes it.

    Requests are done in their order, even if earlier ones fail.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def submit_write(self, data: bytes) -> Future[None]:
        """Ask to write all of ``data``."""

    @abstractmethod
    def submit_stat(self) -> Future[FileStat]:
        """Ask for the open file's stat."""

    @abstractmethod
    def submit_chown(self, uid: int, gid: int) -> Future[None]:
        """Ask to change the open file's owner."""

    @abstractmethod
    def submit_chmod(self, mode: int) -> Future[None]:
        """Ask to change the open file's permission bits."""

    @abstractmethod
    def submit_sync(self) -> Future[None]:
        """Ask to bring the content to the disk, if the far side can."""

    @abstractmethod
    def submit_close(self) -> Future[None]:
        """Ask to close the file."""

    @abstractmethod
    def touch(self, mtime: int) -> None:
        """Set when the open file was last written, in seconds since the epoch."""

    @abstractmethod
    def close(self) -> None:
        """Close the file, unless it is closed."""

    @abstractmethod
    def close_nowait(self) -> None:
        """Close the file without waiting for the outcome."""


class Filesystem(ABC):
    """File operations on one host.

    They raise ``FileNotFoundError``, ``FileExistsError``, ``PermissionError`` and other
    ``OSError``, as ``os`` does, and :class:`Unreachable` once the connection is gone; of a
    ``submit_`` function the future raises the former. Requests for different files may be done in
    any order.
    """

    @property
    @abstractmethod
    def extensions(self) -> frozenset[str] | None:
        """Return the extensions of SFTP that the host announces, ``None`` without SFTP."""

    @abstractmethod
    def set_deadline(self, deadline: Deadline) -> None:
        """Bound what comes from now on."""

    @abstractmethod
    def absolute(self, path: str) -> str:
        """Return ``path`` as an absolute path, links in its directory resolved."""

    @abstractmethod
    def submit_real_path(self, path: str) -> Future[str]:
        """Ask for an absolute path with all its links resolved; the last name may be a new one."""

    def lstat(self, path: str) -> FileStat:
        """Return a file's stat, a link's own if it is one."""
        return self.submit_lstat(path).get()

    @abstractmethod
    def submit_lstat(self, path: str) -> Future[FileStat]:
        """Ask for a file's stat, a link's own if it is one."""

    def stat(self, path: str) -> FileStat:
        """Return a file's stat, following links."""
        return self.submit_stat(path).get()

    @abstractmethod
    def submit_stat(self, path: str) -> Future[FileStat]:
        """Ask for a file's stat, following links."""

    @abstractmethod
    def submit_space(self, path: str) -> Future[FileSystemSpace]:
        """Ask what is left on the file system of ``path``."""

    @abstractmethod
    def readlink(self, path: str) -> str:
        """Return where a link leads."""

    def read_whole(self, path: str, limit: int) -> tuple[FileStat, bytes]:
        """Return a file's stat and its content, at most ``limit`` bytes.

        Both are of one open file, even if another one is put at ``path`` meanwhile.
        """
        return self.submit_open(path).get().submit_whole(limit).get()

    @abstractmethod
    def submit_open(self, path: str) -> Future[ReadHandle]:
        """Ask to open a file for reading, never through a link, never waiting for a pipe."""

    def create(self, path: str) -> WriteHandle:
        """Make a new file, 0600 from the start, and open it for writing."""
        return self.submit_create(path).get()

    @abstractmethod
    def submit_create(self, path: str) -> Future[WriteHandle]:
        """Ask for a file as :meth:`create` makes it."""

    @abstractmethod
    def submit_mkdir(self, path: str, mode: int) -> Future[None]:
        """Ask for a directory. If something is there the error is any ``OSError``."""

    @abstractmethod
    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""

    @abstractmethod
    def chmod(self, path: str, mode: int) -> None:
        """Change a directory's permission bits, never through a link."""

    @abstractmethod
    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change a directory's owner, never through a link."""

    def replace(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``, atomically replacing what is there."""
        self.submit_replace(source, target).get()

    @abstractmethod
    def submit_replace(self, source: str, target: str) -> Future[None]:
        """Ask to rename as :meth:`replace` does."""

    def rename(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``; ``FileExistsError`` if something is there."""
        self.submit_rename(source, target).get()

    @abstractmethod
    def submit_rename(self, source: str, target: str) -> Future[None]:
        """Ask to rename as :meth:`rename` does."""

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.submit_remove(path).get()

    @abstractmethod
    def submit_remove(self, path: str) -> Future[None]:
        """Ask to remove a file."""
