"""What is known of one host in a run: its steps, how it ended, and which file it has.

The states here are named tuples: of the immutable types, they are the quickest to copy with a
change, and a fleet's history holds millions of events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aegis_provision.rollout.events import (
    FileChange,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    Step,
    StepStarted,
    WriteBegun,
)
from aegis_provision.rollout.results import HostResult, Status, later_result

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING_WRITTEN = frozenset(
    {Status.UNCHANGED, Status.REFUSED, Status.UNREACHABLE, Status.NOT_ATTEMPTED}
)
"""How a host ends whose write was begun and changed nothing (see ``transport.host_session``)."""

HostEvent = StepStarted | WriteBegun | HostWritten | HostRestarted | HostRolledBack | HostFinished
"""The events of one host in a run."""


class FileState(NamedTuple):
    """A host's file and whether it is in effect, as far as the events tell.

    ``write`` is what the run did to the file as a whole, ``None`` where nothing was written.
    ``written``: the file was the new one, checked; ``rolled_back``: it is the one from before
    again; ``unknown``: either may be there, as no event tells how a write or a rollback ended.
    ``restarted``: Aegis was restarted since the file last changed; ``restart_pending``: it was not.
    ``touched`` is the time of the last write or restart, ``None`` where there was neither.

    ``pending`` is a write that has begun (at ``pending_since``) and not ended, ``rolling_back`` the
    same of a rollback. ``before_write`` is what ``restart_pending`` and ``touched`` were before the
    last write.
    """

    write: FileChange | None = None
    written: bool = False
    restarted: bool = False
    rolled_back: bool = False
    unknown: bool = False
    restart_pending: bool = False
    touched: float | None = None
    pending: FileChange | None = None
    pending_since: float = 0.0
    rolling_back: bool = False
    before_write: tuple[bool, float | None] | None = None

    @property
    def can_be_rolled_back(self) -> bool:
        """Tell whether the file there may be one that this run wrote, other than it found it.

        Where only a mode was put right, there is no content to bring back.
        """
        return (
            self.write is not None
            and self.write.changes_content
            and (not self.rolled_back or self.unknown)
        )


_NO_FILE = FileState()
_NO_RESULTS: Mapping[int, HostResult] = {}


class StepSpan(NamedTuple):
    """A step of a host in a play, from when to when; ``end`` is ``None`` while it goes on."""

    play: int
    step: Step
    detail: str
    start: float
    end: float | None = None


class HostRunState(NamedTuple):
    """One host in a run. All times are those of the events.

    ``result`` is how it ended so far, ``None`` for not yet; ``results`` how it ended in each play.
    ``begun`` is when the work on it began that goes on, ``None`` where none does; ``finished`` when
    work on it last ended; ``seconds`` how long work on it took in all, from first steps to ends.
    """

    host: str
    result: HostResult | None = None
    results: Mapping[int, HostResult] = _NO_RESULTS
    begun: float | None = None
    spans: tuple[StepSpan, ...] = ()
    finished: float | None = None
    seconds: float | None = None
    file: FileState = _NO_FILE

    @property
    def status(self) -> Status | None:
        """Return how the host ended, ``None`` where it has not."""
        return self.result.status if self.result is not None else None

    def steps(self, play: int) -> tuple[StepSpan, ...]:
        """Return the host's steps in a play."""
        return tuple(span for span in self.spans if span.play == play)


def reduce_host(host: HostRunState, event: HostEvent, at: float, play: int) -> HostRunState:
    """Return what is known of ``host`` after ``event``; ``play`` is the one that goes on."""
    match event:
        case StepStarted():
            return _step_started(host, event, at, play)
        case HostFinished():
            return _finished(host, event, at)
        case _:
            return host._replace(file=_reduce_file(host.file, event, at))


def _reduce_file(
    file: FileState, event: WriteBegun | HostWritten | HostRestarted | HostRolledBack, at: float
) -> FileState:
    match event:
        case WriteBegun(_, change):
            return file._replace(pending=change, pending_since=at)
        case HostWritten():
            return _write_ended(file, at)._replace(written=True, unknown=False)
        case HostRestarted():
            return file._replace(
                restarted=True, restart_pending=False, touched=at, before_write=None
            )
        case HostRolledBack():
            file = file._replace(rolling_back=False, unknown=False, rolled_back=True)
            return _changed(file, at)


def run_ended(host: HostRunState, at: float) -> HostRunState:
    """Return what is known of ``host`` once the run is over: no step goes on."""
    if host.begun is None:
        return host
    return host._replace(begun=None, spans=_ended(host.spans, at))


def cut_off(host: HostRunState) -> HostRunState:
    """Return ``host`` if no event follows: what has begun may have taken place."""
    file = host.file
    if file.pending is not None:
        file = _write_ended(file, file.pending_since)._replace(unknown=True)
    if file.rolling_back:
        file = file._replace(unknown=True)
    return host._replace(file=file) if file is not host.file else host


def _step_started(host: HostRunState, event: StepStarted, at: float, play: int) -> HostRunState:
    spans = (*_ended(host.spans, at), StepSpan(play, event.step, event.detail, at))
    file = host.file
    if event.step is Step.ROLL_BACK:
        file = _changed(file._replace(rolling_back=True), at)
    return host._replace(begun=at if host.begun is None else host.begun, spans=spans, file=file)


def _finished(host: HostRunState, event: HostFinished, at: float) -> HostRunState:
    result, results, seconds = event.result, host.results, host.seconds
    if event.play is not None:
        results = {**results, event.play: result}
        result = later_result(host.result, result)
    if host.begun is not None:
        seconds = round((seconds or 0.0) + max(0.0, at - host.begun), 3)
    return host._replace(
        result=result,
        results=results,
        begun=None,
        spans=_ended(host.spans, at),
        finished=at,
        seconds=seconds,
        file=_file_finished(host.file, event.result.status, at),
    )


def _file_finished(file: FileState, status: Status, at: float) -> FileState:
    """Return what is known of a file once the work on its host ended with ``status``."""
    if file.pending is not None and status in _NOTHING_WRITTEN:
        file = file._replace(pending=None)
    elif file.pending is not None:
        file = _write_ended(file, at)._replace(unknown=True)
    if file.rolling_back:
        back = status is Status.ROLLED_BACK
        file = file._replace(rolling_back=False, unknown=not back, rolled_back=back)
    if file.before_write is None:
        return file
    if status is Status.APPLIED:
        # Nothing that Aegis reads at its start was changed: a restart is pending if it was before.
        pending, touched = file.before_write
        file = file._replace(restart_pending=pending, touched=touched)
    return file._replace(before_write=None)


def _write_ended(file: FileState, at: float) -> FileState:
    """Return ``file`` after the write that has begun: it took place, or may have."""
    change = file.pending
    if change is None:
        return file
    write = change
    if file.write is not None and not file.rolled_back:
        names = dict.fromkeys((*file.write.secrets, *change.secrets))
        write = FileChange(file.write.before, change.after, tuple(names))
    file = file._replace(write=write, pending=None, rolled_back=False)
    if not change.changes_content:
        return file
    return _changed(file._replace(before_write=(file.restart_pending, file.touched)), at)


def _changed(file: FileState, at: float) -> FileState:
    return file._replace(restarted=False, restart_pending=True, touched=at)


def _ended(spans: tuple[StepSpan, ...], at: float) -> tuple[StepSpan, ...]:
    if not spans or spans[-1].end is not None:
        return spans
    return (*spans[:-1], spans[-1]._replace(end=at))
