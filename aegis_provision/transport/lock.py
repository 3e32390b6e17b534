"""The lock that keeps two operators from writing one file at once.

A file made exclusively in our own directory on the host; it says who holds it and since when. An
expired one is broken by renaming it to a name that nobody else uses and then looking at what was
moved, so that of two who break it at once only one goes on. Age is told by the host's clock alone.
"""

from __future__ import annotations

import json
import posixpath
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.errors import Locked, Unreachable
from aegis_provision.transport.futures import then

if TYPE_CHECKING:
    from aegis_provision.transport.filesystem import FileStat, Filesystem, ReadHandle, WriteHandle
    from aegis_provision.transport.futures import Future

EXPIRES_AFTER = 600
"""Seconds after which a lock's holder is taken for dead."""

_MOST_AHEAD = 60
"""Seconds by which a lock may be younger than the host's own time: more was a wrong clock's."""

_SURELY_OURS = 60
"""Seconds after its birth, or its last renewal, for which a lock need not be looked at again."""

_LARGEST = 4096
_TRIES = 3
_STEP = "lock"
# One that goes on while this machine sleeps: the host's does, and with it the lock's age.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class _Holder:
    text: bytes
    mtime: int

    def words(self) -> str:
        try:
            content = json.loads(self.text)
            return f"held by {_safe(content['owner'])} since {_safe(content['since'])}"
        except (ValueError, KeyError, TypeError):
            return "held by somebody who did not leave a name"


@dataclass(slots=True)
class Lock:
    """A lock that is held, and was made young at ``taken`` by our own clock.

    ``stream`` is its open file, ``None`` where it was taken over another connection; ``lost`` says
    that it was seen to be somebody else's.
    """

    files: Filesystem
    path: str
    text: bytes
    taken: float
    stream: WriteHandle | None = None
    lost: bool = False

    def over(self, files: Filesystem) -> Lock:
        """Return the same lock over another connection."""
        return Lock(files, self.path, self.text, self.taken)

    def renew(self) -> None:
        """Make the lock young again. Raises ``OSError`` and :class:`Unreachable`.

        Its time is set on the open file: where somebody broke the lock, nobody else's is touched.
        The host's time is that of the lock's birth, by the host's clock, and what passed since.
        """
        if self.stream is None or not self._is_surely_ours():
            return
        now = _now()
        self.stream.touch(self.stream.submit_facts().get().mtime + round(now - self.taken))
        self.taken = now

    def ask(self) -> Future[ReadHandle]:
        """Ask to open the lock's file as it is now."""
        return self.files.submit_open(self.path)

    def ask_content(self, asked: Future[ReadHandle]) -> Future[tuple[FileStat, bytes]]:
        """Ask for the content of the file that :meth:`request` asked for."""
        return then(asked, lambda found: found.submit_whole(_LARGEST))

    def is_still_ours(self, asked: Future[tuple[FileStat, bytes]] | None = None) -> bool:
        """Tell whether nobody broke the lock. Raises ``OSError`` where that can't be told.

        ``asked`` is for the lock's content, where that was asked ahead.
        """
        try:
            _, text = (asked or self.ask_content(self.ask())).get()
            self.lost = text != self.text
        except FileNotFoundError:
            self.lost = True
        return not self.lost

    def release(self) -> None:
        """Give the lock back, if it is still ours.

        Where that can't be told it stays, and expires. Raises ``OSError`` and
        :class:`Unreachable`.
        """
        if self.stream is not None:
            with suppress(OSError, Unreachable):
                self.stream.close_nowait()
        if self._is_surely_ours():
            self.files.remove(self.path)

    def _is_surely_ours(self) -> bool:
        """Tell whether nobody broke the lock. One that is young is nobody's to break.

        Raises what :meth:`is_still_ours` does.
        """
        if not self.lost and 0 <= _now() - self.taken < _SURELY_OURS:
            return True
        return self.is_still_ours()


def take_lock(files: Filesystem, directory: str, owner: str) -> Lock:
    """Take the lock in ``directory`` for ``owner``.

    Raises :class:`Locked` where another holds it, and ``OSError``.
    """
    path = posixpath.join(directory, "lock")
    lock = Lock(files, path, _text(owner), _now())
    if _create(lock):
        return lock
    holder = _holder(files, path)
    if holder is not None:
        age = _server_time(files, path) - holder.mtime
        if -_MOST_AHEAD <= age <= EXPIRES_AFTER:
            raise _held(path, holder.words(), EXPIRES_AFTER - age)
        _break(files, path, holder)
    if _create(lock):
        return lock
    raise _held(path)


def _text(owner: str) -> bytes:
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    content = {"owner": owner, "since": since, "nonce": secrets.token_hex(16)}
    return (json.dumps(content) + "\n").encode()


def _create(lock: Lock) -> bool:
    try:
        stream = _made(lock.files, lock.path)
    except FileExistsError:
        return False
    try:
        stream.submit_write(lock.text).get()
    except OSError:  # a full disk, say: a lock without a name would keep everybody out
        with suppress(OSError, Unreachable):
            stream.close()
        with suppress(OSError, Unreachable):
            lock.files.remove(lock.path)
        raise
    lock.stream = stream
    return True


def _holder(files: Filesystem, path: str) -> _Holder | None:
    try:
        facts, text = files.read_whole(path, _LARGEST)  # of one lock, though another may come
        return _Holder(text, facts.mtime)
    except FileNotFoundError:
        return None


def _made(files: Filesystem, path: str) -> WriteHandle:
    """Return a file that was made, as :meth:`~.filesystem.Filesystem.create` does.

    SFTP has no word for "it is there": where another operator takes theirs away before it is looked
    for, that is only a failure, and tried again.
    """
    for _ in range(_TRIES - 1):
        try:
            return files.create(path)
        except OSError as problem:
            if problem.errno is not None:
                raise
    return files.create(path)


def _server_time(files: Filesystem, lock: str) -> int:
    """Return the host's time: that of a file made just now beside ``lock``."""
    path = posixpath.join(posixpath.dirname(lock), "clock")
    for _ in range(_TRIES):
        try:
            stream = _made(files, path)
        except FileExistsError:  # left by a run that died, or another asks for the time too
            with suppress(FileNotFoundError):
                files.remove(path)
            continue
        with stream:
            now = stream.submit_facts().get().mtime
        with suppress(FileNotFoundError):
            files.remove(path)
        return now
    raise _held(lock)


def _break(files: Filesystem, path: str, expired: _Holder) -> None:
    err = posixpath.join(posixpath.dirname(path), f"broken.{secrets.token_hex(8)}")
    try:
        files.replace(path, err)
    except FileNotFoundError:
        return
    if files.read(err, _LARGEST) == expired.text:
        files.remove(err)
        return
    # Somebody broke the expired lock first, and this is the live one that they took since. Where
    # it can't go back because a third has come, its holder will see so before the rename.
    with suppress(OSError):
        files.rename(err, path)
        raise _held(path)
    files.remove(err)
    raise _held(path)


def _held(
    path: str, words: str = "another operator was quicker", seconds: int = EXPIRES_AFTER
) -> Locked:
    return Locked(
        _STEP,
        f"another run is writing here ({words})",
        f"wait until it is done; a dead run's lock, {path}, is broken in {max(1, seconds)} seconds",
    )


def _safe(text: object) -> str:
    return "".join(char for char in str(text)[:120] if char.isprintable())
