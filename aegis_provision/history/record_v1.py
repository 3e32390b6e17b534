"""Lines of the records that version 0.1.0 wrote, as this version writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import JsonFields, LineError
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


_NONE = Schedule(())
_OF_RESULT = ("host", "status", "message", "hint")
_OF_CHANGE = ("before", "after", "secrets")


def upgrade_header(first: JsonFields) -> JsonFields:
    """Return the first line of a record as this version would have written it."""
    return JsonFields({**first.content, "started": first.content.get("at")})


def upgrade(line: JsonFields, schedule: Schedule = _NONE) -> JsonFields:
    """Return any other line of a record with ``schedule`` as this version would have written it.

    Raises :class:`LineError`.
    """
    event, content = line.text("event"), line.content
    added: Mapping[str, object] = {}
    match event:
        case "schedule":
            added = {"schedule": {"plays": _plays(line)}, "hosts": _hosts(line)}
        case "batch":
            added = {"hosts": list(_batch(schedule, line.whole("play"), line.whole("batch")))}
        case "step":
            added = {"step": line.text("step").replace(" ", "_"), "detail": ""}
        case "write":
            added = {"change": {key: content.get(key) for key in _OF_CHANGE}}
        case "finished":
            result = {key: content.get(key) for key in _OF_RESULT}
            added = {"result": {**result, "warnings": [], "locked": False}}
        case "budget":
            added = {"message": content.get("words")}
        case "end":
            added = {"summary": content.get("counts")}
    return JsonFields({**content, **added, "event": _NAMES.get(event, event)})


def _plays(line: JsonFields) -> list[Mapping[str, object]]:
    return [
        {"play": item.content, "batches": item.content.get("batches")}
        for item in line.parts("plays")
    ]


def _hosts(line: JsonFields) -> Mapping[str, object]:
    return {
        name: {"identity": item.content, "provider": item.content.get("provider")}
        for name, item in line.items("hosts")
    }


def _batch(schedule: Schedule, play: int, batch: int) -> tuple[str, ...]:
    for index, scheduled in enumerate(schedule.plays):
        if index == play and 0 <= batch < len(scheduled.batches):
            return scheduled.batches[batch]
    raise LineError("there is no such batch")
