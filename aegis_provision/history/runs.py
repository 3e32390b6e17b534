"""Finds, lists and reads the records of past runs."""

from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.json_codec import DecodeError, parse_object
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import NoSuchRunError, StateDirError
from aegis_provision.files.reading import opened, read_bounded
from aegis_provision.history import record_v1
from aegis_provision.history.past_run import (
    DamagedRun,
    PastRun,
    RunStatus,
    parse_run,
    status_of_end,
)
from aegis_provision.history.run_header import HEADER_CODEC, RunKind, is_v1
from aegis_provision.history.state_dir import check
from aegis_provision.rollout.events import RunFinished, event_name
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import BinaryIO

    from aegis_provision.history.state_dir import StateDir

LAST = "last"
"""Stands for the newest run wherever a run is named."""

_TOUCHING = tuple(
    f'"event":"{event}"'.encode()
    for event in ("write_begun", "host_restarted", "write", "restarted")
)
"""What a record holds that touched a host: of this version, and of 0.1.0."""

_STEP = b'"event":"step'
_ROLL_BACK = b'"step":"roll'

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_TAIL = 64 * 1024
_LISTED = 4
_LARGEST = 256 * 1024 * 1024
_LONGEST_LINE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in sum. ``counts`` has how many hosts ended with which status (see ``PastRun``).

    ``playbook`` is its path, ``None`` for none.
    """

    run: str
    kind: RunKind
    undoes: str | None
    retries: str | None
    operator: str
    started: datetime
    ended: datetime
    playbook: str | None
    limit: str
    hosts: int
    status: RunStatus
    counts: Mapping[str, int]
    exit_code: int | None


def run_names(directory: StateDir) -> tuple[str, ...]:
    """Return the names of all runs, newest first: they begin with the time they started.

    Raises :class:`StateDirError`.
    """
    if not check(directory):
        return ()
    try:
        names = [path.stem for path in directory.runs.iterdir() if path.suffix == ".jsonl"]
    except OSError as problem:
        raise StateDirError(f"{directory.runs} can't be read: {problem.strerror}") from None
    return tuple(sorted((name for name in names if _NAME.fullmatch(name)), reverse=True))


def find_run(names: Sequence[str], name: str) -> str:
    """Return the one of ``names`` (newest first) that ``name`` means: by name, beginning, or
    as ``last``. Raises :class:`NoSuchRunError`.
    """
    if not names:
        raise NoSuchRunError("there are no runs yet", "'apply' makes the first")
    if name == LAST:
        return names[0]
    matching = [run for run in names if name and run.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        hint = did_you_mean(name, names)
        raise NoSuchRunError(
            f"there is no run {quote(name)}", hint or "list them with 'aegis-provision history'"
        )
    few = ", ".join(matching[:_LISTED]) + (", ..." if len(matching) > _LISTED else "")
    raise NoSuchRunError(
        f"{len(matching)} runs begin with {quote(name)}: {few}", "say more of its name"
    )


def read_run(directory: StateDir, name: str) -> PastRun | DamagedRun:
    """Return what the record of the run ``name`` says; a damaged record is a value too."""
    try:
        data, held = _read(directory, name)
    except OSError as problem:
        return _unreadable(name, problem)
    return parse_run(name, data, held=held)


def read_summary(directory: StateDir, name: str) -> RunSummary | DamagedRun:
    """Return the run ``name`` in sum. Of one that is finished only both ends are read."""
    try:
        with opened(directory.record(name)) as stream:
            summary = parse_summary(stream.readline(_LONGEST_LINE), _last_line(stream))
    except OSError as problem:
        return _unreadable(name, problem)
    if summary is not None:
        return summary
    past = read_run(directory, name)
    return past if isinstance(past, DamagedRun) else summary_of(past)


def runs_that_touched(directory: StateDir, names: Sequence[str]) -> Iterator[PastRun]:
    """Yield those of the runs ``names`` that wrote a file or restarted Aegis anywhere.

    Most runs find nothing to do: they are recognised without being parsed. Steps that change no
    file, half of all lines, are left out: the runs do not say how long hosts took. Damaged records
    are left out, too.
    """
    for name in names:
        try:
            data, held = _read(directory, name)
        except OSError:
            continue
        if any(mark in data for mark in _TOUCHING):
            lines = data.splitlines(keepends=True)
            data = b"".join(line for line in lines if _STEP not in line or _ROLL_BACK in line)
            past = parse_run(name, data, held=held)
            if isinstance(past, PastRun):
                yield past


def _read(directory: StateDir, name: str) -> tuple[bytes, bool]:
    """Return a record, and whether a living process is writing it. Raises ``OSError``."""
    path = directory.record(name)
    with opened(path) as stream:
        held = False
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(stream, fcntl.LOCK_UN)
        except BlockingIOError:
            held = True
        return read_bounded(path, stream, _LARGEST), held


def _unreadable(name: str, problem: OSError) -> DamagedRun:
    return DamagedRun(name, f"the record can't be read: {problem.strerror}")


def _last_line(stream: BinaryIO) -> bytes:
    """Return the last whole line, or what is left of it where it is very long."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    lines = stream.read(_TAIL).split(b"\n")
    return lines[-2] if len(lines) > 1 else b""


def summary_of(past: PastRun) -> RunSummary:
    """Return ``past`` in sum."""
    header = past.header
    return RunSummary(
        run=header.run,
        kind=header.kind,
        undoes=header.undoes,
        retries=header.retries,
        operator=header.operator,
        started=header.started,
        ended=past.ended,
        playbook=header.playbook.path if header.playbook else None,
        limit=header.limit,
        hosts=len(past.hosts),
        status=past.status,
        counts=past.counts,
        exit_code=past.state.exit_code,
    )


def parse_summary(first: bytes, last: bytes) -> RunSummary | None:
    """Return the summary of a finished run out of the first and the last line of its record.

    ``None`` for any other: then the whole record has to be read.
    """
    try:
        head: Mapping[str, Any] = parse_object(first)
        end: Mapping[str, Any] = parse_object(last)
        if is_v1(head):
            head, end = record_v1.upgrade_header(head), record_v1.upgrade(end)
        exit_code = end.get("exit_code")
        if end.get("event") != event_name(RunFinished) or exit_code is None:
            return None
        match head:
            case {"playbook": {"path": path}}:
                head = {**head, "playbook": path}
        content = {
            **head,
            "ended": end.get("at"),
            "status": status_of_end(exit_code).value,
            "counts": end.get("summary"),
            "exit_code": exit_code,
        }
        return HEADER_CODEC.decode(RunSummary, content)
    except DecodeError:
        return None
