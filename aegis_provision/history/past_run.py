"""What a record says of a run: the truth up to its last whole line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import JsonFields, LineError
from aegis_provision.history import record_v1
from aegis_provision.history.run_header_codec import is_v1, parse_header
from aegis_provision.rollout.event_codec import decode_event
from aegis_provision.rollout.events import (
    BatchStarted,
    HostFinished,
    PlayStarted,
    ReadingStarted,
    RunStarted,
)
from aegis_provision.rollout.host_state import cut_off
from aegis_provision.rollout.persistent_map import PersistentMap
from aegis_provision.rollout.results import INTERRUPTED_EXIT_CODE
from aegis_provision.rollout.run_state import RunState, reduce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.history.run_header import RunHeader
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_state import HostState


UNKNOWN = "unknown"
"""Stands among statuses for a host that a run left without one."""


class RunStatus(StrEnum):
    """Whether a run came to its end.

    ``INTERRUPTED``: it was asked to stop, and ended in order. ``CRASHED``: it has no end, and its
    process is gone.
    """

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as its record tells it: what it set out to do, and the state after its last event.

    What had begun on a host and is not known to have ended counts as unknown in ``state``.
    """

    header: RunHeader
    status: RunStatus
    state: RunState

    @property
    def hosts(self) -> Mapping[str, HostState]:
        """Return every host of the schedule, in its order."""
        return self.state.hosts

    @property
    def ended(self) -> datetime:
        """Return the time of the last event."""
        return datetime.fromtimestamp(self.state.last, UTC)

    @property
    def batches_begun(self) -> tuple[int, ...]:
        """Return how many batches of each play were begun."""
        begun = Counter(play for (play, _), at in self.state.batches.items() if at is not None)
        return tuple(begun[play] for play in range(len(self.header.schedule.plays)))

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many hosts ended with which status; ``unknown`` counts those without one."""
        return Counter(
            host.status.value if host.status else UNKNOWN for host in self.hosts.values()
        )


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A record that can't be understood, and why."""

    run: str
    reason: str


def status_of_end(exit_code: int) -> RunStatus:
    """Return the status of a run that ended with ``exit_code``."""
    return RunStatus.INTERRUPTED if exit_code == INTERRUPTED_EXIT_CODE else RunStatus.FINISHED


def parse_run(run: str, data: bytes, *, held: bool) -> PastRun | DamagedRun:
    """Return what the record ``data`` of ``run`` says: the truth up to its last whole line.

    ``held`` tells whether the record's lock was held *before* ``data`` was read: a run that ends
    in between must not look as if it had crashed. What comes after the last end of a line is a
    torn line, and ignored. Events that this version does not know are passed over.
    """
    lines = data.split(b"\n")[:-1]
    number = 1
    try:
        first, second = (JsonFields.of(line) for line in _header_of(lines))
        header, old = parse_header(first, second), is_v1(first)
        started = RunStarted(header.run, header.schedule, ())
        state = reduce(RunState(), started, header.started.timestamp())
        for number, line in enumerate(lines[2:], start=3):  # noqa: B007 - told in the error
            content = JsonFields.of(line)
            if old:
                content = record_v1.upgrade(content, header.schedule)
            event, at = decode_event(content.content), content.when("at").timestamp()
            if event is not None:
                _check(event, state)
                state = reduce(state, event, at)
    except LineError as problem:
        return DamagedRun(run, f"line {number}: {problem}")
    if state.exit_code is not None:
        status = status_of_end(state.exit_code)
    else:
        status = RunStatus.RUNNING if held else RunStatus.CRASHED
    hosts = PersistentMap.of((name, cut_off(host)) for name, host in state.hosts.items())
    return PastRun(header, status, state._replace(hosts=hosts))


def _header_of(lines: list[bytes]) -> list[bytes]:
    if len(lines) < 2:
        raise LineError("the header is not whole")
    return lines[:2]


def _check(event: Event, state: RunState) -> None:
    """Check that ``event`` is about what the schedule has. Raises :class:`LineError`."""
    match event:
        case RunStarted() | ReadingStarted():
            raise LineError("the run began twice")
        case PlayStarted(play) | HostFinished(int(play)) if not _has_play(state, play):
            raise LineError("there is no such play")
        case BatchStarted(play, batch) if (play, batch) not in state.batches:
            raise LineError("there is no such batch")
    host = event.result.host if isinstance(event, HostFinished) else getattr(event, "host", None)
    if host is not None and host not in state.hosts:
        raise LineError("the host is not one of the schedule's")


def _has_play(state: RunState, play: int) -> bool:
    return state.schedule is not None and 0 <= play < len(state.schedule.plays)
