"""Lines of records, made by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aegis_provision.documents.json_codec import json_line, moment
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    FileChange,
    FileDigest,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    PlayStarted,
    RunFinished,
    Step,
    StepStarted,
    WriteBegun,
    encode_event,
)
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import STARTED

if TYPE_CHECKING:
    from aegis_provision.rollout.events import Event

Line = dict[str, object]


def line(event: Event, second: float = 1.0) -> Line:
    """Return the line of an event ``second`` seconds after the run's start."""
    return {"at": moment(STARTED + timedelta(seconds=second)), **encode_event(event)}


def file(name: str) -> FileDigest:
    """Return a file whose digest says ``name``."""
    return FileDigest(f"hmac-sha256:{name:0<64}", "0600", 1000, 1000)


def write(host: str, second: float = 1.0, *, before: str = "0", after: str = "1") -> Line:
    change = FileChange(file(before), file(after), ("ANTHROPIC_AUTH_TOKEN",))
    return line(WriteBegun(host, change), second)


def finished(host: str, status: Status, second: float = 1.0, message: str = "") -> Line:
    return line(HostFinished(0, HostResult(host, status, message)), second)


def end(exit_code: int = 0, second: float = 9.0, **counts: int) -> Line:
    return {**line(RunFinished((), exit_code), second), "summary": counts}


FINISHED_RUN = b"".join(
    json_line(item)
    for item in (
        line(PlayStarted(0)),
        line(BatchStarted(0, 0, ("a",))),
        line(StepStarted("a", Step.CONNECT)),
        write("a", 1.5),
        line(HostWritten("a"), 2.0),
        line(HostRestarted("a"), 3.0),
        finished("a", Status.APPLIED, 3.5),
        line(PlayStarted(1), 3.5),
        line(BatchStarted(1, 0, ("b", "c")), 3.5),
        line(StepStarted("b", Step.CONNECT), 3.5),
        line(StepStarted("c", Step.CONNECT), 4.0),
        write("b", 4.5),
        line(HostWritten("b"), 5.0),
        line(HostRestarted("b"), 5.1),
        line(StepStarted("b", Step.ROLL_BACK), 5.2),
        line(HostRolledBack("b"), 5.5),
        line(HostRestarted("b"), 5.6),
        finished("b", Status.ROLLED_BACK, 6.0, "health: no answer"),
        line(BudgetSpent(1, "1 of 4 hosts failed, 0 may", ("b",)), 6.0),
        finished("c", Status.UNREACHABLE, 6.5, "connect: refused"),
        finished("d", Status.NOT_ATTEMPTED, 7.0, "the budget was spent"),
        end(4, applied=1, rolled_back=1, unreachable=1, not_attempted=1),
    )
)
"""All but the header of a run that stopped in its second play."""
