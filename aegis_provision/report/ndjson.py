"""Events as JSON Lines, each the moment it happens, for programs that watch a run."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from aegis_provision.report.json_documents import (
    Document,
    apply_document,
    as_line,
    document,
    host_plan_content,
    host_result_content,
    plan_document,
    schedule_content,
)
from aegis_provision.report.status_document import host_status_content, status_document
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    HostChecked,
    HostFinished,
    HostPlanned,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    KeysAccepted,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    StepStarted,
    StopRequested,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.report.status_document import By
    from aegis_provision.rollout.events import Event


class EventStream:
    """Writes each event to ``stream`` as one line and flushes it.

    The last line holds all that the ``apply`` document does. ``clock`` tells the time in seconds
    since the epoch. A reader that has left is the caller's to handle, as with any print.
    """

    def __init__(self, stream: IO[str], *, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._run = ""
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._run = event.run
        content = event_content(event, run=self._run)
        if content is not None:
            self._write(content)

    def plan_finished(self, plans: Sequence[HostPlan]) -> None:
        """Write the last line of a plan that nobody carries out: all of the ``plan`` document."""
        self._write(_named("plan_finished", plan_document(plans)))

    def status_finished(self, statuses: Sequence[HostStatus], by: By | None) -> None:
        """Write the last line of a look at hosts: all of the ``status`` document."""
        self._write(_named("status_finished", status_document(statuses, by)))

    def _write(self, content: Document) -> None:
        at = {"at": timestamp(self._clock())}
        event = {"event": content.pop("event")}
        line = document("event", {**event, **at, **content})
        self._stream.write(as_line(line) + "\n")
        self._stream.flush()


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as ``2026-11-25T10:15:00.123Z``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def event_content(event: Event, *, run: str = "") -> Document | None:
    """Return what an event says, its own name first; ``None`` for one that says nothing."""
    match event:
        case ReadingStarted(hosts):
            return {"event": "reading_started", "count": hosts}
        case RunStarted(name, schedule, _):
            return {"event": "run_started", "run": name, "plays": schedule_content(schedule)}
        case PlayStarted(play):
            return {"event": "play_started", "play": play}
        case BatchStarted(play, batch, hosts):
            return {
                "event": "batch_started",
                "play": play,
                "batch": batch,
                "hosts": list(hosts),
            }
        case PauseStarted(seconds):
            return {"event": "pause_started", "seconds": seconds}
        case BudgetSpent(play, words, failed):
            return {
                "event": "budget_spent",
                "play": play,
                "message": words,
                "failed": list(failed),
            }
        case StopRequested(running):
            return {"event": "stop_requested", "running": running}
        case RunFinished(results, code):
            return _named("run_finished", apply_document(run, results, code))
        case _:
            return _of_host(event)


def _of_host(event: Event) -> Document | None:
    match event:
        case HostPlanned(plan):
            return {"event": "host_planned", **host_plan_content(plan)}
        case HostChecked(status):
            return {"event": "host_checked", **host_status_content(status)}
        case KeysAccepted(host, keys):
            taken = [
                {"name": key.name, "type": key.key_type, "fingerprint": key.fingerprint}
                for key in keys
            ]
            return {"event": "keys_accepted", "host": host, "keys": taken}
        case StepStarted(host, step, detail):
            return {
                "event": "step_started",
                "host": host,
                "step": step.value.replace(" ", "_"),
                "detail": detail,
            }
        case HostWritten(host):
            return {"event": "host_written", "host": host}
        case HostRestarted(host):
            return {"event": "host_restarted", "host": host}
        case HostRolledBack(host):
            return {"event": "host_rolled_back", "host": host}
        case HostFinished(play, result):
            return {"event": "host_finished", "play": play, **host_result_content(result)}
        case _:
            return None


def _named(name: str, whole: Document) -> Document:
    return {"event": name, **{key: value for key, value in whole.items() if key != "schema"}}
