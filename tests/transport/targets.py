"""Helpers for the tests of writing: a file on the host, plans for it, what is left beside it."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.errors import TransportError
from aegis_provision.inventory.host import Target
from aegis_provision.planning.ownership import desired_ownership
from aegis_provision.planning.plan import Write
from aegis_provision.transport.atomic_write import atomic_write
from aegis_provision.transport.data_dir import LOCK_EXPIRES_AFTER, ByPath, data_dir, seen_right
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.lock import LockOwner, take_lock
from aegis_provision.transport.remote_read import StateQuery, absolute_path

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.transport.atomic_write import WriteResult
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.host_session import HostSession

OLD = b'{"authToken": "old"}\n'
NEW = b'{"authToken": "old", "defaultSessionEnv": {"X": "new"}}\n'
OWNER = LockOwner("anna@desk")
DATA_DIR = ".aegis-provision"
DATA_FILES = {"lock", "staging", "previous", "previous.new", "previous.old", "clock"}


def target(path: Path | str, *, become_user: str | None = None) -> Target:
    """Return a target at ``path``."""
    return Target(
        "host", "127.0.0.1", None, None, "local", None, None, become_user, str(path), "search"
    )


def read_state(files: Filesystem, path: Path | str) -> RemoteState:
    """Read what is at ``path``."""
    there = target(path)
    return StateQuery(files, absolute_path(files, there), there.read_via).get()


def plan_write(actual: RemoteState, content: bytes = NEW) -> Write:
    """Return the write of ``content`` over what was found."""
    assert actual.directory is not None
    assert actual.problem is None
    wanted = desired_ownership(actual.file, actual.directory)
    return Write(actual.path, content, wanted.mode, wanted.uid, wanted.gid, actual.file)


def put(path: Path, content: bytes = OLD, mode: int = 0o600) -> None:
    """Put a file there by renaming, as an editor would."""
    fresh = path.with_name(f"{path.name}.edit")
    fresh.write_bytes(content)
    fresh.chmod(mode)
    fresh.replace(path)


def write_under_lock(files: Filesystem, write: Write, owner: LockOwner = OWNER) -> WriteResult:
    """Take the lock, carry ``write`` out and give the lock back."""
    seen = files.submit_lstat(data_dir(write.path))  # as a session looks when it reads
    at_once = seen_right(seen, write.uid, ByPath.IF_OWN)
    lock = take_lock(files, write, owner, at_once=at_once)
    try:
        written = atomic_write(lock, write, deadline(), is_last=True)
    except BaseException:
        lock.release(deadline())
        raise
    return replace(written, warnings=(*written.warnings, *lock.release(deadline())))


def attempt(
    files: Filesystem, write: Write, owner: LockOwner = OWNER
) -> WriteResult | TransportError:
    """Write, and return how it ended."""
    try:
        return write_under_lock(files, write, owner)
    except TransportError as problem:
        return problem


def write_over(session: HostSession, write: Write, deadline: Deadline) -> WriteResult:
    """Write over a session, under a lock of its own."""
    lock = session.lock(write, OWNER, deadline)
    try:
        return atomic_write(lock, write, deadline)
    finally:
        lock.release(deadline)


def write_now(files: Filesystem, path: Path, content: bytes = NEW) -> WriteResult:
    """Read and write, which must go well."""
    return write_under_lock(files, plan_write(read_state(files, path), content))


def leftovers(directory: Path) -> set[str]:
    """Return the names in our directory, none where there is none."""
    own = directory / DATA_DIR
    return set(os.listdir(own)) if own.is_dir() else set()  # noqa: PTH208 - names are wanted


def deadline() -> Deadline:
    """Return a deadline that leaves time enough."""
    return Deadline.after(20)


def age_lock(directory: Path) -> None:
    """Let the lock in our directory, if there is one, be older than any run."""
    lock = directory / DATA_DIR / "lock"
    if lock.exists():
        then = time.time() - LOCK_EXPIRES_AFTER - 5
        os.utime(lock, (then, then))


def mode_of(path: Path) -> int:
    """Return a file's permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)
