"""The state directory: where run records lie, and the key for the digests in them.

Checks that only the operator can write there.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import USE_XDG_STATE_HOME, StateDirError
from aegis_provision.files.atomic import write_new
from aegis_provision.files.reading import opened
from aegis_provision.transport.connect_options import NoHomeError, home_directory
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PRIVATE = 0o700
_OWNER_ONLY = 0o600
_OTHERS_WRITE = 0o022
_OTHERS = 0o077
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class StateDir:
    """The paths of everything that is stored between runs."""

    path: Path

    @property
    def runs(self) -> Path:
        """Return the directory of the records."""
        return self.path / "runs"

    @property
    def key(self) -> Path:
        """Return the file of the key that digests are made with."""
        return self.path / "hmac.key"

    def record(self, run: str) -> Path:
        """Return the file of the record of ``run``."""
        return self.runs / f"{run}.jsonl"


def state_dir(environ: Mapping[str, str]) -> StateDir:
    """Return the paths for ``environ``; touches nothing.

    ``XDG_STATE_HOME``, where it is absolute, else ``~/.local/state`` (XDG Base Directory
    Specification 0.8: a relative path is invalid and to be ignored). Raises :class:`StateDirError`
    where ``HOME`` is needed and is not absolute, or there is none.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if not Path(state).is_absolute():
        try:
            home = home_directory(environ)
        except NoHomeError as problem:
            raise StateDirError(
                f"{problem}, so there is no place for records", "set HOME or XDG_STATE_HOME"
            ) from None
        if not home.is_absolute():
            raise StateDirError(
                "HOME is no absolute path, and records lie in it", "set HOME or XDG_STATE_HOME"
            )
        return StateDir(home / ".local" / "state" / "aegis-provision")
    return StateDir(Path(state) / "aegis-provision")


def prepare_state_dir(directory: StateDir) -> None:
    """Make the directories, 0700, where they are missing, and check them.

    Raises :class:`StateDirError`, also if other users can write there: they could make a later run
    roll back or skip hosts.
    """
    try:
        directory.path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        for path in (directory.path, directory.runs):
            path.mkdir(mode=_PRIVATE, exist_ok=True)
    except OSError as problem:
        raise StateDirError(
            f"the directory for records, {directory.runs}, can't be made: {problem.strerror}",
        ) from None
    check(directory)


def check(directory: StateDir) -> bool:
    """Check the directories that are there; tell whether there are any records to read.

    Raises :class:`StateDirError` for what is not a directory of the operator's alone.
    """
    return all(_is_private(path) for path in (directory.path, directory.runs))


def _is_private(directory: Path) -> bool:
    try:
        facts = directory.stat()
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise StateDirError(f"{directory} can't be looked at: {problem.strerror}") from None
    if not stat.S_ISDIR(facts.st_mode):
        raise StateDirError(
            f"{directory} is not a directory", f"move it away, or {USE_XDG_STATE_HOME}"
        )
    if facts.st_uid != os.geteuid():
        raise StateDirError(
            f"{directory} belongs to another user (uid {facts.st_uid})",
            "set HOME or XDG_STATE_HOME to a directory of your own (sudo may keep another's)",
        )
    mode = stat.S_IMODE(facts.st_mode)
    if mode & _OTHERS_WRITE:
        raise StateDirError(
            f"{directory} can be written by others (mode {mode:04o})",
            f"chmod 700 {directory}",
        )
    return True


def load_key(directory: StateDir) -> bytes:
    """Return the key for digests, and make it the first time; the directories must exist.

    Of two processes at once one makes it and the other reads it. Raises :class:`StateDirError`.
    """
    try:
        with _locked(directory.path):
            if not directory.key.exists():
                write_new(directory.key, secrets.token_bytes(_KEY_BYTES), _OWNER_ONLY)
            return _read_key(directory.key)
    except OSError as problem:
        raise StateDirError(f"{directory.key} can't be made or read: {problem.strerror}") from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_key(path: Path) -> bytes:
    with opened(path) as stream:
        facts = os.fstat(stream.fileno())
        key = stream.read(_KEY_BYTES + 1)
    mode = stat.S_IMODE(facts.st_mode)
    if facts.st_uid != os.geteuid():
        raise StateDirError(f"{path} belongs to another user (uid {facts.st_uid})")
    if mode & _OTHERS:
        raise StateDirError(f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}")
    if len(key) != _KEY_BYTES:
        raise StateDirError(
            f"{path} is damaged: it does not hold {_KEY_BYTES} bytes",
            "restore it, or delete it: digests of earlier runs can't be compared then",
        )
    return key
