"""Finds and reads the records of past runs."""

from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import marker
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.suggestion import did_you_mean
from aegis_provision.errors import NoSuchRunError, StateDirError
from aegis_provision.files.reading import opened, read_bounded
from aegis_provision.history.past_run import DamagedRun, PastRun, parse_run
from aegis_provision.history.run_summary import RunSummary, parse_summary, summary_of
from aegis_provision.history.state_dir import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from aegis_provision.history.state_dir import StateDir

LAST = "last"
"""Stands for the newest run wherever a run is named."""

_TOUCHING = tuple(map(marker, ("write_begun", "host_restarted", "write", "restarted")))
"""What a record holds that touched a host: of this version, and of 0.1.0."""

_STEP = b'"event":"step'
_ROLL_BACK = b'"step":"roll'

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_TAIL = 64 * 1024
_LISTED = 4
_LARGEST = 256 * 1024 * 1024
_LONGEST_LINE = 16 * 1024 * 1024


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
