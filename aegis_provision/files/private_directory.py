"""A directory for one process's secret: its owner's alone, and removed with the process.

It lies in the user's runtime directory, which is in memory and goes with the login (XDG Base
Directory Specification 0.8), or else in the temporary one. The process holds a lock on it
(flock(2)), which the system takes away however the process ends. So what is not locked was left
behind by one that was killed, and the next process removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import InputError
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PREFIX = "aegis-provision-run-"
"""How the names of all such directories begin."""

_PRIVATE = 0o700
_OWNER_ONLY = 0o600
_OTHERS_WRITE = 0o022
_MOST_TRIES = 100
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PrivateDirectory:
    """A directory of mode 0700, which this process has locked through ``descriptor``."""

    path: Path
    descriptor: int

    def write(self, name: str, content: bytes) -> Path:
        """Make the file ``name``, 0600 from its birth; return its path. Raises ``OSError``."""
        descriptor = os.open(name, _NEW_FILE, _OWNER_ONLY, dir_fd=self.descriptor)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, _OWNER_ONLY)  # the umask may have taken bits away
            stream.write(content)
        return self.path / name

    def remove(self) -> None:
        """Remove it with all that is in it, and give up the lock. Raises ``OSError``."""
        try:
            _remove(self.path)
        finally:
            os.close(self.descriptor)


def runtime_directories(environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Return where such a directory may lie, the best place first; none need be there.

    ``XDG_RUNTIME_DIR``, what systemd has in its place, and the temporary directory.
    """
    temporary = environ.get("TMPDIR", "")
    named = (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}", temporary, "/tmp")  # noqa: S108
    return tuple(path for path in dict.fromkeys(map(Path, named)) if path.is_absolute())


def make_private_directory(places: Sequence[Path]) -> PrivateDirectory:
    """Make a directory in the first of ``places`` that will do; it is the caller's to remove.

    A place will do where no other user can replace our files: only we write there, or it is sticky
    as ``/tmp`` is. Raises :class:`InputError` where none will.
    """
    reasons = []
    for place in places:
        try:
            reason = _unfit(place)
            if reason is None:
                return _made(place)
        except OSError as problem:
            reason = problem.strerror or str(problem)
        reasons.append(f"{place}: {reason}")
    raise InputError(
        "there is no place for a file that only you may read",
        "set XDG_RUNTIME_DIR or TMPDIR to a directory of yours, with mode 0700",
        reasons,
    )


def remove_abandoned(places: Sequence[Path]) -> None:
    """Remove the directories in ``places`` whose process is gone.

    Only those that are named so, belong to us, and are not locked. One that can't be removed
    stays: nothing is raised.
    """
    for path in _left_in(places):
        with suppress(OSError):
            descriptor = os.open(path, _DIRECTORY)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_at(path, descriptor):
                        _remove(path)
            finally:
                os.close(descriptor)


def _left_in(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        with suppress(OSError):
            yield from sorted(path for path in place.iterdir() if path.name.startswith(PREFIX))


def _unfit(place: Path) -> str | None:
    """Return why no secret may lie in ``place``. Raises ``OSError`` where it can't be told."""
    facts = place.stat()
    if not stat.S_ISDIR(facts.st_mode):
        return "it is not a directory"
    if facts.st_uid not in {0, os.geteuid()}:
        return f"it belongs to another user (uid {facts.st_uid})"
    if facts.st_mode & _OTHERS_WRITE and not facts.st_mode & stat.S_ISVTX:
        return f"others can replace what is in it (mode {stat.S_IMODE(facts.st_mode):04o})"
    return None


def _made(place: Path) -> PrivateDirectory:
    for _ in range(_MOST_TRIES):
        path = place / f"{PREFIX}{secrets.token_hex(8)}"
        path.mkdir(mode=_PRIVATE)
        try:
            path.chmod(_PRIVATE)  # the umask may have taken bits away
            descriptor = os.open(path, _DIRECTORY)
        except FileNotFoundError:
            continue  # another process took it for one that was left behind
        try:
            with suppress(
                OSError
            ):  # a file system without locks: no other run can take it for a lost one
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                return PrivateDirectory(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise FileExistsError(f"{PREFIX}* is taken away again and again")


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether ``path`` leads to the directory behind ``descriptor``, not yet removed."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(facts, os.fstat(descriptor))


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
