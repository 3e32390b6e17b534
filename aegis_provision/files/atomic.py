"""Local files, written as a whole or not at all; of several files all or none."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.errors import InputError, RefusedError
from aegis_provision.files.reading import LARGEST_FILE, read_beginning
from aegis_provision.humanize import listed
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file, what it held when it was read, and what it is to hold."""

    path: Path
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Staged:
    replacement: Replacement
    real: Path
    temporary: Path


def check_writable(path: Path, mode: int) -> None:
    """Make sure that a file can be made beside ``path``. Raises ``OSError``."""
    temporary, descriptor = _create_beside(path, mode)
    os.close(descriptor)
    temporary.unlink()


def write_new(
    path: Path,
    data: bytes,
    mode: int,
    check: Callable[[], None] = lambda: None,
    on_write: Callable[[], None] = lambda: None,
) -> None:
    """Write a file to ``path``, with ``mode``, in place of what is there; it survives a power cut.

    ``check`` is called when all is written, and raises where nothing may go there; ``on_write``
    just before the file goes to its place. Raises ``OSError`` too; nothing has changed then.
    """
    temporary, descriptor = _create_beside(path, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        check()
        on_write()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names in ``directory`` survive a power cut, as far as its file system can do that.

    Nothing is raised: a directory that may not be read can't be synchronised, and some file
    systems synchronise none. The rename has happened in any case.
    """
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _create_beside(path: Path, mode: int) -> tuple[Path, int]:
    """Create an empty file in the directory of ``path``; return its path and descriptor."""
    # Cut: the file's own name may be as long as the file system allows.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return temporary, os.open(temporary, flags, mode)


def replace_files(
    replacements: Sequence[Replacement], on_write: Callable[[], None] = lambda: None
) -> None:
    """Put each file's new content in its place: owner and mode stay, a symbolic link too.

    Each is written beside its place first, and all are compared once more with what was read;
    then ``on_write`` is called, and they are renamed, one by one. Raises :class:`Error`, and
    nothing has changed, where a file can't be written or another program has changed one
    meanwhile. Between that comparison and the rename is a moment that no file system closes;
    between two runs of this tool a lock on the file does.
    """
    staged: list[_Staged] = []
    try:
        for replacement in replacements:
            staged += (_stage(replacement),)
        with ExitStack() as locks:
            # Always in the same order, so that two processes never wait for each other.
            for real in sorted({item.real for item in staged}):
                locks.enter_context(_locked(real))
            for item in staged:
                _compare(item)
            on_write()
            done: list[Path] = []
            for item in staged:
                try:
                    item.temporary.replace(item.real)
                except OSError as problem:
                    raise _unwritable(item.replacement.path, problem, done) from None
                sync_directory(item.real.parent)
                done.append(item.replacement.path)
    finally:
        for item in staged:
            item.temporary.unlink(missing_ok=True)


def _stage(replacement: Replacement) -> _Staged:
    try:
        real = replacement.path.resolve(strict=True)
        found = real.stat()
        if not found.st_mode & 0o222 or not os.access(real, os.W_OK):
            raise PermissionError("it is read-only")
        temporary, descriptor = _create_beside(real, _OWNER_ONLY)
    except OSError as problem:
        raise _unwritable(replacement.path, problem) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(replacement.after)
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.fstat(descriptor).st_gid):
                os.fchown(descriptor, found.st_uid, found.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            stream.flush()
            os.fsync(descriptor)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise _unwritable(replacement.path, problem) from None
        raise
    return _Staged(replacement, real, temporary)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file that is at ``path`` now, as far as its file system has locks.

    A process that waited for it finds another file there, with other content.
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
    if now != item.replacement.before:
        path = item.replacement.path
        raise RefusedError(
            f"{path} was changed by another program meanwhile; nothing was written",
            "run the command again",
        )


def _unwritable(path: Path, problem: OSError, done: Sequence[Path] = ()) -> InputError:
    written = f"; written before it: {listed(map(str, done))}" if done else ""
    return InputError(
        f"{path} can't be written: {problem.strerror or problem}{written}",
        "it must be yours to write, and so must be its directory",
    )
