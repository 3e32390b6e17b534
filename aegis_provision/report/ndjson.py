"""Events as JSON Lines, each the moment it happens, for programs that watch a run."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from aegis_provision.documents.json_codec import moment_at
from aegis_provision.report.apply_report import apply_document, host_result_content
from aegis_provision.report.doctor_report import host_checks_content
from aegis_provision.report.json_documents import Document, as_line, document
from aegis_provision.report.plan_report import host_plan_content, plan_document, schedule_content
from aegis_provision.report.session_report import listing_content, session_content
from aegis_provision.report.status_report import host_status_content, status_document
from aegis_provision.rollout.events import (
    HostChecked,
    HostDiagnosed,
    HostFinished,
    HostPlanned,
    KeysAccepted,
    RunFinished,
    RunStarted,
    SessionReported,
    SessionsListed,
    WriteBegun,
    encode_event,
    event_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.report.status_report import By
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
        """Write the last line of a plan that is not carried out: all of the ``plan`` document."""
        self._write({"event": "plan_finished", **_without_schema(plan_document(plans))})

    def status_finished(self, statuses: Sequence[HostStatus], by: By | None) -> None:
        """Write the last line of a look at hosts: all of the ``status`` document."""
        self._write({"event": "status_finished", **_without_schema(status_document(statuses, by))})

    def session_finished(self, content: Document) -> None:
        """Write the last line of sessions that were started or stopped: all of ``content``."""
        self._write({"event": "session_finished", **_without_schema(content)})

    def sessions_finished(self, content: Document) -> None:
        """Write the last line of sessions that were listed: all of ``content``."""
        self._write({"event": "sessions_finished", **_without_schema(content)})

    def doctor_finished(self, content: Document) -> None:
        """Write the last line of a diagnosis: all of ``content``, the ``doctor`` document."""
        self._write({"event": "doctor_finished", **_without_schema(content)})

    def _write(self, content: Document) -> None:
        at = {"at": moment_at(self._clock())}
        event = {"event": content.pop("event")}
        line = document("event", {**event, **at, **content})
        self._stream.write(as_line(line) + "\n")
        self._stream.flush()


def event_content(event: Event, *, run: str = "") -> Document | None:
    """Return what version 1 of the stream says of an event, ``None`` for one not in it.

    It says what a host has and how it ended as the other documents do, and else what a record says.
    """
    match event:
        case WriteBegun():
            return None
        case HostPlanned(plan):
            content = host_plan_content(plan)
        case HostChecked(status):
            content = host_status_content(status)
        case SessionReported(result):
            content = session_content(result)
        case SessionsListed(listing):
            content = listing_content(listing)
        case HostDiagnosed(host):
            content = host_checks_content(host)
        case RunStarted(name, schedule):
            content = {"run": name, "plays": schedule_content(schedule)}
        case HostFinished(play, result):
            content = {"play": play, **host_result_content(result)}
        case RunFinished(results, code):
            content = _without_schema(apply_document(run, results, code))
        case KeysAccepted(host, keys):
            accepted = [
                {"name": key.name, "type": key.key_type, "fingerprint": key.fingerprint}
                for key in keys
            ]
            content = {"host": host, "keys": accepted}
        case _:
            return encode_event(event)
    return {"event": event_name(type(event)), **content}


def _without_schema(content: Document) -> Document:
    return {key: value for key, value in content.items() if key != "schema"}
