"""Files of the operator's written as a whole or not at all, and of several all or none."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.listing import listed
from aegis_provision.errors import InputError, RefusedError
from aegis_provision.files.reading import LARGEST_FILE, read_beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file, what it held when it was read, and what it is to hold."""

    path: Path
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Staged:
    wanted: Replacement
    real: Path
    fresh: Path


def temporary_beside(path: Path) -> Path:
    """Return where what is to lie at ``path`` is written before it goes there."""
    # A name may be as long as the file system allows.
    return path.with_name(f".{path.name[:40]}.{os.getpid()}")


def check_writable(path: Path, mode: int) -> None:
    """Make sure that a file can be made beside ``path``. Raises ``OSError``."""
    fresh = temporary_beside(path)
    os.close(_create(fresh, mode))
    fresh.unlink()


def write_new(
    path: Path,
    data: bytes,
    mode: int,
    check: Callable[[], None] = lambda: None,
    on_write: Callable[[], None] = lambda: None,
) -> None:
    """Write a file to ``path``, with ``mode``, in the place of what is there.

    ``check`` is called when all is written, and raises where nothing may go there; ``on_write``
    just before the file goes to its place. Raises ``OSError`` too; nothing has changed then.
    """
    fresh = temporary_beside(path)
    try:
        with os.fdopen(_create(fresh, mode), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        check()
        on_write()
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def replace_files(
    replacements: Sequence[Replacement], on_write: Callable[[], None] = lambda: None
) -> None:
    """Put each file's new content in its place: owner and mode stay, a symbolic link too.

    Each is written beside its place first, and all are compared once more with what was read;
    then they are renamed, one by one. Raises :class:`Error`, and nothing has changed
    where a file can't be written or somebody else has changed one meanwhile. Between that look
    and the rename is a moment that no file system closes; among those who use this tool a lock on
    the file does.
    """
    staged: list[_Staged] = []
    try:
        for wanted in replacements:
            staged += (_stage(wanted),)
        with ExitStack() as locks:
            # In one order for everybody, so that nobody waits for each other.
            for real in sorted({item.real for item in staged}):
                locks.enter_context(_locked(real))
            for item in staged:
                _compare(item)
            done: list[Path] = []
            for item in staged:
                on_write()
                _rename(item, done)
                done.append(item.wanted.path)
    finally:
        for item in staged:
            item.fresh.unlink(missing_ok=True)


def _stage(wanted: Replacement) -> _Staged:
    try:
        real = wanted.path.resolve(strict=True)
        found = real.stat()
        if not found.st_mode & 0o222 or not os.access(real, os.W_OK):
            raise PermissionError("it is read-only")
        descriptor, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    except OSError as problem:
        raise _unwritable(wanted.path, problem) from None
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(wanted.after)
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.fstat(descriptor).st_gid):
                os.fchown(descriptor, found.st_uid, found.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            stream.flush()
            os.fsync(descriptor)
    except BaseException as problem:
        fresh.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise _unwritable(wanted.path, problem) from None
        raise
    return _Staged(wanted, real, fresh)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file that is at ``path`` now, as far as its file system has locks.

    Whoever waited for it finds another file there, and with other content.
    """
    descriptor = None
    with suppress(OSError):  # it is gone, or not to be read: the comparison tells
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if descriptor is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _compare(item: _Staged) -> None:
    try:
        now = read_beginning(item.real, LARGEST_FILE + 1)
    except OSError:
        now = None
    if now != item.wanted.before:
        raise RefusedError(
            f"{item.wanted.path} was changed by somebody else meanwhile; nothing was written",
            "run the command again",
        )


def _rename(item: _Staged, done: Sequence[Path]) -> None:
    try:
        item.fresh.replace(item.real)
    except OSError as problem:
        raise _unwritable(item.wanted.path, problem, done) from None
    # Not every file system lets a directory be synchronised; the file itself is safe.
    with suppress(OSError):
        directory = os.open(item.real.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _unwritable(path: Path, problem: OSError, done: Sequence[Path] = ()) -> InputError:
    written = f"; written before it: {listed(map(str, done))}" if done else ""
    return InputError(
        f"{path} can't be written: {problem.strerror or problem}{written}",
        "it must be yours to write, and so must be its directory",
    )
