"""Writes a run's record while the run goes on.

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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from aegis_provision.errors import USE_XDG_STATE_HOME, StateDirError
from aegis_provision.files.atomic import sync_directory
from aegis_provision.history.digests import file_digest
from aegis_provision.history.json_fields import encode, moment
from aegis_provision.history.run_header_codec import header_lines
from aegis_provision.history.state_dir import load_key, prepare_state_dir
from aegis_provision.planning.restore import resulting_file
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    PauseStarted,
    PlayStarted,
    RunFinished,
    RunStarted,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import HostResult, later_result
from aegis_provision.rollout.write_log import WriteLogError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.history.run_header import RunHeader
    from aegis_provision.history.state_dir import StateDir
    from aegis_provision.planning.plan import HostPlan, Write
    from aegis_provision.rollout.events import Event

_OWNER_ONLY = 0o600


def open_record(places: StateDir, header: RunHeader) -> RunRecord:
    """Begin the record of the run that ``header`` describes.

    Makes the state directory where it is missing. A record appears under its name with its header
    in it and its lock taken, or not at all. Raises :class:`StateDirError`.
    """
    prepare_state_dir(places)
    key = load_key(places)
    path = places.record(header.run)
    try:
        return _begin(path, header_lines(header), key)
    except FileExistsError:
        raise StateDirError(f"there is a record {path} already", "try again") from None
    except (OSError, WriteLogError) as problem:
        words = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise StateDirError(f"the run's record, {path}, can't be begun: {words}") from None


def _begin(path: Path, header: bytes, key: bytes) -> RunRecord:
    """Make the record at ``path``. Raises :class:`WriteLogError` and ``OSError``."""
    # Whoever makes this name is alone in making the record, until it has its final name.
    unfinished = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    record = RunRecord(path, os.open(unfinished, flags, _OWNER_ONLY), key)
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
    """A record that is being written: a :class:`WriteLog`, and an observer of a run's events.

    A context manager; it may be used from several threads. Once a line could not be appended no
    other is, so that the record stays true up to there: ``problem`` then says why, and no further
    write may begin.
    """

    def __init__(self, path: Path, descriptor: int, key: bytes) -> None:
        self.problem: str | None = None
        self._path = path
        self._descriptor = descriptor
        self._key = key
        self._closed = False
        self._size = 0
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self._secrets: dict[str, tuple[str, ...]] = {}
        self._first_steps: dict[str, float] = {}
        self._results: dict[str, HostResult] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the record. Without a :class:`RunFinished` before it counts as crashed."""
        with self._lock:
            if not self._closed:
                os.close(self._descriptor)
            self._closed = True

    def begin(self, header: bytes) -> None:
        """Take the lock, append the header and flush it.

        Raises :class:`WriteLogError` and ``OSError``.
        """
        with self._lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._append_bytes(header):
                raise WriteLogError(self.problem or "")
            os.fsync(self._descriptor)

    def before_write(self, host: str, write: Write) -> None:
        """Note what ``write`` is about to replace and with what. Raises :class:`WriteLogError`.

        Of variables it notes the names of those that are sensitive and change, as the plans of
        :class:`RunStarted` say.
        """
        before, after = self._file(write.base), self._file(resulting_file(write))
        with self._lock:
            secrets = self._secrets.get(host, ())
            self._append("write", host=host, before=before, after=after, secrets=secrets)
            if self.problem is not None:
                raise WriteLogError(
                    f"the run's record, {self._path}, can't be written: {self.problem}",
                    f"make room there, or {USE_XDG_STATE_HOME}; then apply again",
                )

    def _file(self, file: RemoteFile | None) -> Mapping[str, object] | None:
        return (
            None
            if file is None
            else {
                "digest": file_digest(self._key, file.content),
                "mode": f"{file.mode:04o}",
                "uid": file.uid,
                "gid": file.gid,
            }
        )

    def __call__(self, event: Event) -> None:
        """Take one event; never raises for a record that can't be written."""
        with self._lock:
            match event:
                case RunStarted(plans=plans):
                    self._secrets = {plan.host: _sensitive(plan) for plan in plans}
                case StepStarted(host):
                    self._first_steps.setdefault(host, time.monotonic())
                case HostFinished(play, result):
                    earlier = self._results.get(result.host)
                    self._results[result.host] = later_result(earlier, result)
                    self._append_result(play, result)
                case RunFinished(results, exit_code):
                    self._end(results, exit_code)
            if (plain := _plain_line(event)) is not None:
                name, fields = plain
                self._append(name, **fields)

    def _end(self, results: tuple[HostResult, ...], exit_code: int) -> None:
        """Append how hosts ended that nobody told of (not attempted, unknown), then the end."""
        for result in results:
            if self._results.get(result.host) != result:
                self._append_result(None, result)
        counts = Counter(result.status.value for result in results)
        self._append("end", exit_code=exit_code, counts=counts)
        with suppress(OSError):
            os.fsync(self._descriptor)

    def _append_result(self, play: int | None, result: HostResult) -> None:
        begun = self._first_steps.pop(result.host, None)
        self._append(
            "finished",
            play=play,
            host=result.host,
            status=result.status.value,
            message=result.message,
            hint=result.hint,
            seconds=None if begun is None else round(time.monotonic() - begun, 3),
        )

    def _append(self, event: str, **fields: object) -> None:
        line: Mapping[str, object] = {
            "event": event,
            "at": moment(datetime.now(UTC)),
            "t": round(time.monotonic() - self._opened, 3),
            **fields,
        }
        self._append_bytes(encode(line))

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


def _sensitive(plan: HostPlan) -> tuple[str, ...]:
    return tuple(change.key for change in plan.changes if change.sensitive)


def _plain_line(event: Event) -> tuple[str, Mapping[str, object]] | None:
    """Return the line of an event that is noted as it is, ``None`` for any other."""
    match event:
        case PlayStarted(play):
            return "play", {"play": play}
        case BatchStarted(play, batch, hosts):
            return "batch", {"play": play, "batch": batch, "hosts": len(hosts)}
        case StepStarted(host, step):
            return "step", {"host": host, "step": step.value}
        case HostWritten(host):
            return "written", {"host": host}
        case HostRestarted(host):
            return "restarted", {"host": host}
        case HostRolledBack(host):
            return "rolled_back", {"host": host}
        case PauseStarted(seconds):
            return "pause", {"seconds": seconds}
        case BudgetSpent(play, words, failed):
            return "budget", {"play": play, "words": words, "failed": failed}
        case StopRequested(running):
            return "stop", {"running": running}
    return None
