"""Plans and results as JSON documents, as the public contract lays them down."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from aegis_provision.planning.model import Action
from aegis_provision.rollout.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import StrEnum

    from aegis_provision.planning.model import Change, HostPlan
    from aegis_provision.rollout.outcome import HostResult

Document = dict[str, Any]


def document(kind: str, body: Mapping[str, Any]) -> Document:
    """Return ``body`` under the schema name of ``kind``."""
    return {"schema": f"aegis-provision/{kind}/v1", **body}


def as_text(content: Document) -> str:
    """Return a document as JSON text for a person and a program, without a final newline."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if text.isascii():
        return text
    # Some invisible characters turn text around on a terminal: they are escaped, as JSON allows.
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def plan_document(plans: Sequence[HostPlan]) -> Document:
    """Return the ``plan`` document. A sensitive change has ``null`` on both sides."""
    return document(
        "plan",
        {
            "hosts": [
                {
                    "host": plan.host,
                    "provider": plan.provider,
                    "path": plan.path,
                    "action": plan.action.value,
                    "changes": [_change(change) for change in plan.changes],
                    "message": _message(plan.message, plan.hint),
                    "warnings": list(plan.warnings),
                }
                for plan in plans
            ],
            "summary": _counted(Action, (plan.action for plan in plans)),
        },
    )


def apply_document(run: str, results: Sequence[HostResult], exit_code: int) -> Document:
    """Return the ``apply`` document of the run named ``run``."""
    return document(
        "apply",
        {
            "run": run,
            "hosts": [
                {
                    "host": result.host,
                    "status": result.status.value,
                    "message": _message(result.message, result.hint),
                    "warnings": list(result.warnings),
                }
                for result in results
            ],
            "summary": _counted(Status, (result.status for result in results)),
            "exit_code": exit_code,
        },
    )


def _message(message: str, hint: str) -> str:
    return f"{message}; try: {hint}" if hint else message


def _counted(words: type[StrEnum], seen: Iterable[StrEnum]) -> dict[str, int]:
    counts = Counter(seen)
    return {word.value: counts[word] for word in words}


def _change(change: Change) -> Document:
    return {
        "key": change.key,
        "change": change.kind.value,
        "before": change.before,
        "after": change.after,
        "sensitive": change.sensitive,
    }
