"""What is valid: an inventory and playbooks over it, as text and as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control
from aegis_provision.report.diagnostics import diagnostics_fields
from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Inventory
    from aegis_provision.playbook.plays import Schedule


def validate_lines(
    inventory: Inventory, providers: Collection[str], schedules: Sequence[tuple[str, Schedule]]
) -> list[Text]:
    """Return how much is valid: ``providers`` are those in use, ``schedules`` have names."""
    pins = sum(host.pinned for host in inventory.hosts.values())
    verdict = (
        f"Valid: {counted(len(inventory.hosts), 'host')}, "
        f"{counted(len(inventory.groups) - 1, 'group')}, "
        f"{counted(len(providers), 'provider')} in use, {counted(pins, 'pin')}."
    )
    return [Text(verdict), *(_schedule_line(name, schedule) for name, schedule in schedules)]


def _schedule_line(name: str, schedule: Schedule) -> Text:
    batches = sum(len(play.batches) for play in schedule.plays)
    return Text(
        f"{escape_control(name)}: {counted(len(schedule.plays), 'play')}, "
        f"{counted(batches, 'batch')}, {counted(len(schedule.hosts), 'host')}."
    )


def validate_document(
    inventory: Inventory | None,
    schedules: Sequence[tuple[str, Schedule]],
    diagnostics: Sequence[Diagnostic],
    *,
    valid: bool,
) -> Document:
    """Return the ``validate`` document; there is no ``inventory`` where it is wrong."""
    return document(
        "validate",
        {
            "valid": valid,
            "hosts": len(inventory.hosts) if inventory is not None else 0,
            "playbooks": [
                {
                    "playbook": name,
                    "plays": [
                        {"name": item.play.name, "batches": [list(hosts) for hosts in item.batches]}
                        for item in schedule.plays
                    ],
                }
                for name, schedule in schedules
            ],
            **diagnostics_fields(diagnostics),
        },
    )
