"""Finds, lists and reads the records of past runs."""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.json_codec import DecodeError, parse_object
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.suggestion import did_you_mean
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


def run_names(places: StateDir) -> tuple[str, ...]:
    """Return the names of all runs, newest first: they begin with the time they started.

    Raises :class:`StateDirError`.
    """
    if not check(places):
        return ()
    try:
        found = [path.stem for path in places.runs.iterdir() if path.suffix == ".jsonl"]
    except OSError as problem:
        raise StateDirError(f"{places.runs} can't be read: {problem.strerror}") from None
    return tuple(sorted((name for name in found if _NAME.fullmatch(name)), reverse=True))


def find_run(names: Sequence[str], wanted: str) -> str:
    """Return the one of ``names`` (newest first) that ``wanted`` means: by name, beginning, or
    as ``last``. Raises :class:`NoSuchRunError`.
    """
    if not names:
        raise NoSuchRunError("there are no runs yet", "'apply' makes the first")
    if wanted == LAST:
        return names[0]
    found = [name for name in names if wanted and name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        hint = did_you_mean(wanted, names)
        raise NoSuchRunError(
            f"there is no run {quote(wanted)}", hint or "list them with 'aegis-provision history'"
        )
    few = ", ".join(found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
    raise NoSuchRunError(
        f"{len(found)} runs begin with {quote(wanted)}: {few}", "say more of its name"
    )


def read_run(places: StateDir, name: str) -> PastRun | DamagedRun:
    """Return what the record of the run ``name`` says; a damaged record is a value too."""
    try:
        with opened(places.record(name)) as stream:
            held = _is_held(stream)
            return parse_run(name, read_bounded(places.record(name), stream, _LARGEST), held=held)
    except OSError as problem:
        return DamagedRun(name, f"the record can't be read: {problem.strerror}")


def run_summaries(places: StateDir, names: Sequence[str]) -> Iterator[RunSummary | DamagedRun]:
    """Yield the runs ``names`` in sum. Of one that is finished only both ends are read."""
    for name in names:
        yield _summary(places, name)


def runs_that_touched(places: StateDir, names: Sequence[str]) -> Iterator[PastRun]:
    """Yield those of the runs ``names`` that wrote a file or restarted Aegis anywhere.

    The others are told from these without being parsed: most runs find nothing to do. So are steps
    that change no file, half of all lines: the runs do not say how long hosts took. Damaged
    records are left out.
    """
    for name in names:
        try:
            with opened(places.record(name)) as stream:
                held = _is_held(stream)
                data = read_bounded(places.record(name), stream, _LARGEST)
        except OSError:
            continue
        if any(mark in data for mark in _TOUCHING):
            lines = data.splitlines(keepends=True)
            data = b"".join(line for line in lines if _STEP not in line or _ROLL_BACK in line)
            past = parse_run(name, data, held=held)
            if isinstance(past, PastRun):
                yield past


def _summary(places: StateDir, name: str) -> RunSummary | DamagedRun:
    try:
        with opened(places.record(name)) as stream:
            quick = parse_summary(stream.readline(_LONGEST_LINE), _last_line(stream))
    except OSError as problem:
        return DamagedRun(name, f"the record can't be read: {problem.strerror}")
    if quick is not None:
        return quick
    past = read_run(places, name)
    return past if isinstance(past, DamagedRun) else summary_of(past)


def _last_line(stream: BinaryIO) -> bytes:
    """Return the last whole line, or what is left of it where it is very long."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    lines = stream.read(_TAIL).split(b"\n")
    return lines[-2] if len(lines) > 1 else b""


def _is_held(stream: BinaryIO) -> bool:
    """Tell whether a living process is writing the record."""
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(stream, fcntl.LOCK_UN)
    return False


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
