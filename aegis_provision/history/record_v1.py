"""Lines of the records that version 0.1.0 wrote, as this version writes them.

What is not as it must be is left for the decoder to report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_provision.documents.json_codec import DecodeError
from aegis_provision.playbook.plays import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "aegis-provision/run/v1"

_NAMES: Mapping[str, str] = {
    "schedule": "run_started",
    "play": "play_started",
    "batch": "batch_started",
    "step": "step_started",
    "write": "write_begun",
    "written": "host_written",
    "restarted": "host_restarted",
    "rolled_back": "host_rolled_back",
    "finished": "host_finished",
    "pause": "pause_started",
    "budget": "budget_spent",
    "stop": "stop_requested",
    "end": "run_finished",
}
_NO_SCHEDULE = Schedule(())


def upgrade_header(first: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first line of a record as this version would have written it."""
    return {**first, "started": first.get("at")}


def upgrade(line: Mapping[str, Any], schedule: Schedule = _NO_SCHEDULE) -> Mapping[str, Any]:
    """Return any other line of a record with ``schedule`` as this version would have written it.

    Raises :class:`DecodeError`.
    """
    added: Mapping[str, object] = {}
    match line:
        case {"event": "schedule", "plays": [*plays], "hosts": {**hosts}}:
            added = {
                "schedule": {
                    "plays": [{"play": play, "batches": _get(play, "batches")} for play in plays]
                },
                "hosts": {
                    name: {"identity": host, "provider": _get(host, "provider")}
                    for name, host in hosts.items()
                },
            }
        case {"event": "batch", "play": int(play), "batch": int(batch)}:
            added = {"hosts": list(_batch(schedule, play, batch))}
        case {"event": "step", "step": str(step)}:
            added = {"step": step.replace(" ", "_"), "detail": ""}
        case {"event": "write"}:
            added = {"change": line}
        case {"event": "finished"}:
            added = {"result": {**line, "warnings": [], "locked": False, "passed": True}}
        case {"event": "budget"}:
            added = {"message": line.get("words")}
        case {"event": "end"}:
            added = {"summary": line.get("counts")}
    event = line.get("event")
    if not isinstance(event, str):
        raise DecodeError('"event" is not text')
    return {**line, **added, "event": _NAMES.get(event, event)}


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _batch(schedule: Schedule, play: int, batch: int) -> tuple[str, ...]:
    for index, scheduled in enumerate(schedule.plays):
        if index == play and 0 <= batch < len(scheduled.batches):
            return scheduled.batches[batch]
    raise DecodeError("there is no such batch")
