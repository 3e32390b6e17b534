"""Schedules and inventories for tests, as short as they can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import has_errors
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.playbook.host_counts import parse_max_fail
from aegis_provision.playbook.plays import Play, Schedule, ScheduledPlay

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Inventory


def inventory_of(text: str) -> Inventory:
    """Return the inventory that ``text`` holds, which is valid."""
    file = InputFile("inventory", "", "inventory.yml", text.encode(), 0)
    inventory, found = load_inventory([file])
    assert inventory is not None
    assert not has_errors(found), found
    return inventory


def schedule_of(*plays: tuple[str, str]) -> Schedule:
    """Return a schedule of plays, each as its batches (``"a b|c"``) and its ``max_fail``."""
    return Schedule(
        tuple(
            ScheduledPlay(
                Play(f"play {index}", "all", max_fail=parse_max_fail(max_fail)),
                tuple(tuple(batch.split()) for batch in batches.split("|") if batch.strip()),
            )
            for index, (batches, max_fail) in enumerate(plays)
        )
    )
