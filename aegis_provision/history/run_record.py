"""Writes a run's record while the run goes on: its events, one line each, after a header.

The record is a file of JSON lines that is only ever appended to, one system call per line: after
``kill -9`` at any moment it holds whole lines, the last of which may be torn, and so it is the
truth up to that moment. It is flushed to the disk when it is opened and when the run ends, not in
between: a killed process loses nothing that it handed to the kernel. Only a power cut on the
operator's machine can lose the newest lines, and against that the host itself keeps its previous
file. The lock on the record is held as long as this process lives: a record without an end whose
lock is free is that of a run that crashed.

Names, digests and statuses are written, never a value.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from aegis_provision.documents.json_codec import json_line, moment_at
from aegis_provision.errors import USE_XDG_STATE_HOME, StateDirError
from aegis_provision.files.atomic import sync_directory
from aegis_provision.history.run_header import header_lines
from aegis_provision.history.state_dir import load_key, prepare_state_dir
from aegis_provision.planning.digests import DigestKey
from aegis_provision.rollout.events import (
    HostChecked,
    HostDiagnosed,
    HostFinished,
    HostPlanned,
    ReadingStarted,
    RunFinished,
    RunStarted,
    WriteBegun,
    encode_event,
)
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.rollout.results import HostResult, later_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aegis_provision.history.run_header import RunHeader
    from aegis_provision.history.state_dir import StateDir
    from aegis_provision.rollout.events import Event, FileChange

_OWNER_ONLY = 0o600


def open_record(
    directory: StateDir, header: RunHeader, clock: Callable[[], float] = time.time
) -> RunRecord:
    """Begin the record of the run that ``header`` describes.

    Makes the state directory where it is missing. A record appears under its name with its header
    in it and its lock taken, or not at all. ``clock`` tells the time of events, in seconds since
    the epoch. Raises :class:`StateDirError`.
    """
    prepare_state_dir(directory)
    key = load_key(directory)
    path = directory.record(header.run)
    try:
        return _begin(path, header_lines(header), key, clock)
    except FileExistsError:
        raise StateDirError(f"there is a record {path} already", "try again") from None
    except (OSError, RecordError) as problem:
        words = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise StateDirError(f"the run's record, {path}, can't be begun: {words}") from None


def _begin(path: Path, header: bytes, key: bytes, clock: Callable[[], float]) -> RunRecord:
    """Make the record at ``path``. Raises :class:`RecordError` and ``OSError``."""
    # Only one process can make this name, and it alone makes the record until it is renamed.
    unfinished = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    record = RunRecord(path, os.open(unfinished, flags, _OWNER_ONLY), key, clock)
    try:
        record.begin(header)
        _give_name(unfinished, path)
    except BaseException:
        record.close()
        with suppress(OSError):
            unfinished.unlink()
        raise
    return record


def _give_name(unfinished: Path, path: Path) -> None:
    if path.exists():
        raise FileExistsError
    unfinished.rename(path)
    sync_directory(path.parent)


class RunRecord:
    """A record that is being written: an observer of a run's events.

    A context manager; it may be used from several threads. Once a line could not be appended no
    other is, so that the record stays true up to there: ``problem`` then says why, and no further
    write may begin. ``digest`` makes the digests of files in it.
    """

    def __init__(self, path: Path, descriptor: int, key: bytes, clock: Callable[[], float]) -> None:
        self.problem: str | None = None
        self._path = path
        self.digest = DigestKey.of(key)
        self._descriptor = descriptor
        self._clock = clock
        self._closed = False
        self._size = 0
        self._lock = threading.Lock()
        self._secrets: dict[str, tuple[str, ...]] = {}
        self._results: dict[str, HostResult] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the record. Without a :class:`RunFinished` before it counts as crashed."""
        with self._lock:
            if not self._closed:
                os.close(self._descriptor)
            self._closed = True

    def begin(self, header: bytes) -> None:
        """Take the lock, append the header and flush it.

        Raises :class:`RecordError` and ``OSError``.
        """
        with self._lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._append_bytes(header):
                raise RecordError(self.problem or "")
            os.fsync(self._descriptor)

    def before_write(self, host: str, change: FileChange) -> WriteBegun:
        """Record what a write is about to replace and with what. Raises :class:`RecordError`.

        ``change`` has the digests of ``digest``. Of variables those are named that are sensitive
        and change, as the plans of :class:`RunStarted` say.
        """
        with self._lock:
            event = WriteBegun(host, replace(change, secrets=self._secrets.get(host, ())))
            self._append(event)
            if self.problem is not None:
                raise RecordError(
                    f"the run's record, {self._path}, can't be written: {self.problem}",
                    f"make room there, or {USE_XDG_STATE_HOME}; then apply again",
                )
        return event

    def __call__(self, event: Event) -> None:
        """Take one event; never raises for a record that can't be written."""
        with self._lock:
            match event:
                case RunStarted(plans=plans):  # it is in the header
                    self._secrets = {
                        plan.host: tuple(change.key for change in plan.changes if change.sensitive)
                        for plan in plans
                    }
                case ReadingStarted() | HostPlanned() | HostChecked() | HostDiagnosed():
                    pass  # from before the run
                case WriteBegun():
                    pass  # recorded already
                case RunFinished():
                    self._end(event)
                case HostFinished(_, result):
                    earlier = self._results.get(result.host)
                    self._results[result.host] = later_result(earlier, result)
                    self._append(event)
                case _:
                    self._append(event)

    def _end(self, event: RunFinished) -> None:
        """Append the results that had no event (not attempted, unknown), then the end."""
        now = self._clock()
        for result in event.results:
            if self._results.get(result.host) != result:
                self._append(HostFinished(None, result), now)
        counts = Counter(result.status.value for result in event.results)
        self._append(event, now, summary=counts)
        with suppress(OSError):
            os.fsync(self._descriptor)

    def _append(self, event: Event, now: float | None = None, **more: object) -> None:
        content = encode_event(event)
        at = moment_at(self._clock() if now is None else now)
        self._append_bytes(json_line({"event": content["event"], "at": at, **content, **more}))

    def _append_bytes(self, data: bytes) -> bool:
        if self.problem is None and self._closed:
            self.problem = "it is closed"
        if self.problem is not None:
            return False
        try:
            written = os.write(self._descriptor, data)
        except OSError as problem:
            self.problem = problem.strerror or "it failed"
            return False
        if written < len(data):
            self.problem = "only a part of a line could be written (is the disk full?)"
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            return False
        self._size += written
        return True
