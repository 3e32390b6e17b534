"""Plans and results as JSON documents; their schemas are in ``schemas/``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from aegis_provision.planning.plan import Action, change_content
from aegis_provision.rollout.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import StrEnum

    from aegis_provision.inventory.pins import Pin
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.rollout.results import HostResult

Document = dict[str, Any]


def document(kind: str, body: Mapping[str, Any]) -> Document:
    """Return ``body`` under the schema name of ``kind``."""
    return {"schema": f"aegis-provision/{kind}/v1", **body}


def as_text(content: Document) -> str:
    """Return a document as indented JSON text, without a final newline."""
    return _escape_del(json.dumps(content, indent=2))


def as_line(content: Document) -> str:
    """Return a document as JSON text on one line, without a newline."""
    return _escape_del(json.dumps(content))


def _escape_del(text: str) -> str:
    """Escape DEL, the one control character that JSON in ASCII leaves as it is."""
    return text.replace("\x7f", "\\u007f")


def schedule_document(schedule: Schedule) -> Document:
    """Return the ``schedule`` document: the hosts of a run, in plays and batches."""
    body = {"plays": schedule_content(schedule), "hosts": list(schedule.hosts)}
    return document("schedule", body)


def plan_document(plans: Sequence[HostPlan]) -> Document:
    """Return the ``plan`` document. A sensitive change has ``null`` on both sides."""
    return document(
        "plan",
        {
            "hosts": [host_plan_content(plan) for plan in plans],
            "summary": _summary(Action, (plan.action for plan in plans)),
        },
    )


def apply_document(run: str, results: Sequence[HostResult], exit_code: int) -> Document:
    """Return the ``apply`` document of the run named ``run``."""
    return document(
        "apply",
        {
            "run": run,
            "hosts": [host_result_content(result) for result in results],
            "summary": _summary(Status, (result.status for result in results)),
            "exit_code": exit_code,
        },
    )


def host_plan_content(plan: HostPlan) -> Document:
    """Return one host's plan as it stands in a document."""
    return {
        "host": plan.host,
        "provider": plan.provider,
        "pin": None if plan.pin is None else _pin(plan.pin),
        "path": plan.path,
        "action": plan.action.value,
        "changes": [change_content(change) for change in plan.changes],
        "unknown": list(plan.unknown),
        "message": message_of(plan.message, plan.hint),
        "warnings": list(plan.warnings),
        "restart_owed": plan.restart_owed,
    }


def _pin(pin: Pin) -> Document:
    day = pin.last_day
    return {"until": None if day is None else day.isoformat(), "reason": pin.reason}


def host_result_content(result: HostResult) -> Document:
    """Return one host's result as it stands in a document."""
    return {
        "host": result.host,
        "status": result.status.value,
        "message": message_of(result.message, result.hint),
        "warnings": list(result.warnings),
    }


def schedule_content(schedule: Schedule) -> list[Document]:
    """Return the plays of a schedule as they stand in a document, each with its batches."""
    return [
        {
            "name": scheduled.play.name,
            "pattern": scheduled.play.hosts,
            "serial": [str(share) for share in scheduled.play.serial],
            "max_fail": str(scheduled.play.max_fail),
            "pause": scheduled.play.pause,
            "batches": [list(batch) for batch in scheduled.batches],
        }
        for scheduled in schedule.plays
    ]


def message_of(message: str, hint: str) -> str:
    """Return ``message`` and ``hint`` as one text."""
    return f"{message}; try: {hint}" if hint else message


def _summary(values: type[StrEnum], items: Iterable[StrEnum]) -> dict[str, int]:
    counts = Counter(items)
    return {value.value: counts[value] for value in values}
