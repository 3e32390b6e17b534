"""What a record says of a run: the truth up to its last whole line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.history.json_fields import JsonFields, LineError
from aegis_provision.history.past_host import HostReplay, PastHost
from aegis_provision.history.run_header_codec import parse_header, word
from aegis_provision.rollout.events import Step
from aegis_provision.rollout.results import INTERRUPTED_EXIT_CODE, HostResult, Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aegis_provision.history.run_header import RunHeader


UNKNOWN = "unknown"
"""Stands among statuses for a host that a run left without one."""


class RunState(StrEnum):
    """Whether a run came to its end.

    ``INTERRUPTED``: it was asked to stop, and ended in order. ``CRASHED``: it has no end, and
    nobody is carrying it out any more.
    """

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as its record tells it.

    ``hosts`` holds every host of the schedule in its order. ``ended`` is the time of the last
    line. ``exit_code`` is ``None`` where there was no end. ``budget`` says in words that the
    failure budget was spent, empty where it was not; ``stopped`` that the operator asked to stop.
    ``batches_begun`` counts the batches begun in each play.
    """

    header: RunHeader
    state: RunState
    hosts: Mapping[str, PastHost]
    ended: datetime
    exit_code: int | None = None
    budget: str = ""
    stopped: bool = False
    batches_begun: tuple[int, ...] = ()

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


def state_of_end(exit_code: int) -> RunState:
    """Return the state of a run that ended with ``exit_code``."""
    return RunState.INTERRUPTED if exit_code == INTERRUPTED_EXIT_CODE else RunState.FINISHED


def parse_run(run: str, data: bytes, *, held: bool) -> PastRun | DamagedRun:
    """Return what the record ``data`` of ``run`` says.

    ``held`` tells whether the record's lock was held *before* ``data`` was read: a run that ends
    in between must not look as if it had crashed. What comes after the last end of a line is a
    torn line, and ignored.
    """
    lines = data.split(b"\n")[:-1]
    number = 1
    try:
        first, second = (JsonFields.of(line) for line in _header_of(lines))
        story = _Replay(parse_header(first, second))
        for number, line in enumerate(lines[2:], start=3):  # noqa: B007 - told in the error
            story.take(JsonFields.of(line))
    except LineError as problem:
        return DamagedRun(run, f"line {number}: {problem}")
    return story.told(held=held)


def _header_of(lines: list[bytes]) -> list[bytes]:
    if len(lines) < 2:
        raise LineError("the header is not whole")
    return lines[:2]


@dataclass(slots=True)
class _Replay:
    """A record's lines, taken one after the other."""

    header: RunHeader
    hosts: dict[str, HostReplay] = field(init=False)
    ended: datetime = field(init=False)
    batches: list[int] = field(init=False)
    exit_code: int | None = None
    budget: str = ""
    stopped: bool = False

    def __post_init__(self) -> None:
        self.hosts = {name: HostReplay(name) for name in self.header.schedule.hosts}
        self.ended = self.header.started
        self.batches = [0] * len(self.header.schedule.plays)

    def take(self, line: JsonFields) -> None:
        """Take the next line. Kinds of lines that this version does not know are passed over."""
        event, self.ended = line.text("event"), line.when("at")
        match event:
            case "batch":
                self._take_batch(line)
            case "budget":
                self.budget = line.text("words")
            case "stop":
                self.stopped = True
            case "end":
                self.exit_code = line.whole("exit_code")
            case "write" | "written" | "restarted" | "rolled_back" | "finished" | "step":
                self._take_host(event, line)

    def _take_batch(self, line: JsonFields) -> None:
        play = line.whole("play")
        if not 0 <= play < len(self.batches):
            raise LineError("there is no such play")
        self.batches[play] += 1

    def _take_host(self, event: str, line: JsonFields) -> None:
        name = line.text("host")
        host = self.hosts.get(name)
        if host is None:
            raise LineError("the host is not one of the schedule's")
        match event:
            case "write":
                host.begin_write(line)
            case "written":
                host.written(self.ended)
            case "restarted":
                host.restarted(self.ended)
            case "rolled_back":
                host.rolled_back(self.ended)
            case "step":
                host.step(line.text("step") == Step.ROLL_BACK.value, self.ended)
            case "finished":
                result = HostResult(
                    name,
                    word(Status, line, "status"),
                    line.text("message"),
                    line.text("hint"),
                )
                seconds = line.number("seconds") if line.has("seconds") else None
                host.finished(result, self.ended, seconds, final=not line.has("play"))

    def told(self, *, held: bool) -> PastRun:
        """Return all of it."""
        if self.exit_code is not None:
            state = state_of_end(self.exit_code)
        else:
            state = RunState.RUNNING if held else RunState.CRASHED
        return PastRun(
            self.header,
            state,
            {name: host.told() for name, host in self.hosts.items()},
            self.ended,
            self.exit_code,
            self.budget,
            self.stopped,
            tuple(self.batches),
        )
