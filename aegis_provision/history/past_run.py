"""What a record says of a run: the truth up to its last whole line."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.json_codec import DecodeError, parse_moment, parse_object
from aegis_provision.history import record_v1
from aegis_provision.history.run_header import parse_header
from aegis_provision.rollout.events import (
    BatchStarted,
    HostFinished,
    PlayStarted,
    ReadingStarted,
    RunStarted,
    decode_event,
)
from aegis_provision.rollout.host_run_state import cut_off
from aegis_provision.rollout.results import INTERRUPTED_EXIT_CODE
from aegis_provision.rollout.run_state import PersistentMap, RunState, reduce
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.history.run_header import HostIdentity, RunHeader
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_run_state import HostRunState

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
    def hosts(self) -> Mapping[str, HostRunState]:
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

    @property
    def hosts_to_retry(self) -> tuple[str, ...]:
        """Return the hosts that did not end well or were not attempted, in the schedule's order.

        Those that a crashed run left without an end are among them.
        """
        return tuple(
            name for name, host in self.hosts.items() if host.result is None or not host.result.ok
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
        header, old = parse_header(lines)
        started = RunStarted(header.run, header.schedule, ())
        state = reduce(RunState(), started, header.started.timestamp())
        for number, line in enumerate(lines[2:], start=3):  # noqa: B007 - named in the error
            content: Mapping[str, Any] = parse_object(line)
            if old:
                content = record_v1.upgrade(content, header.schedule)
            event = decode_event(content)
            at = parse_moment(content.get("at"), '"at"').timestamp()
            if event is not None:
                _check(event, state)
                state = reduce(state, event, at)
    except DecodeError as problem:
        return DamagedRun(run, f"line {number}: {problem}")
    if state.exit_code is not None:
        status = status_of_end(state.exit_code)
    else:
        status = RunStatus.RUNNING if held else RunStatus.CRASHED
    hosts = PersistentMap.of((name, cut_off(host)) for name, host in state.hosts.items())
    return PastRun(header, status, state._replace(hosts=hosts))


def _check(event: Event, state: RunState) -> None:
    """Check that ``event`` is about what the schedule has. Raises :class:`DecodeError`."""
    match event:
        case RunStarted() | ReadingStarted():
            raise DecodeError("the run began twice")
        case PlayStarted(play) | HostFinished(int(play)) if not 0 <= play < _plays(state):
            raise DecodeError("there is no such play")
        case BatchStarted(play, batch) if (play, batch) not in state.batches:
            raise DecodeError("there is no such batch")
    host = event.result.host if isinstance(event, HostFinished) else getattr(event, "host", None)
    if host is not None and host not in state.hosts:
        raise DecodeError("the host is not one of the schedule's")


def _plays(state: RunState) -> int:
    return len(state.schedule.plays) if state.schedule is not None else 0


def find_pending_restarts(runs: Iterable[PastRun]) -> Mapping[HostIdentity, str]:
    """Return the hosts where a restart is pending, each with the name of the run that left it so.

    The run that touched a host last decides: what it wrote, restored, or may have written before it
    died is pending until a restart. Runs may come in any order and may have overlapped.
    """
    last: dict[HostIdentity, tuple[float, str, bool]] = {}
    for past in runs:
        for name, host in past.hosts.items():
            run_host = past.header.hosts.get(name)
            if run_host is None or host.file.touched is None:
                continue
            touch = host.file.touched, past.header.run, host.file.restart_pending
            last[run_host.identity] = max(last.get(run_host.identity, touch), touch)
    return {identity: run for identity, (_, run, pending) in last.items() if pending}
