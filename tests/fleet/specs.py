"""The hosts of an inventory's text, with what their sessions are to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.providers.recipes import resolve_providers
from aegis_provision.providers.session_variables import session_specs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.inventory.host import Inventory
    from aegis_provision.providers.session_variables import SessionSpec


def specified(text: str) -> tuple[Inventory, Mapping[str, SessionSpec]]:
    """Return the inventory that ``text`` is, which has no errors, and its hosts' specs by name."""
    file = InputFile("inventory", "", "inventory.yml", text.encode(), 0)
    inventory, diagnostics = load_inventory([file])
    assert inventory is not None, diagnostics
    assert not diagnostics
    recipes, _ = resolve_providers(inventory)
    specs, _ = session_specs(inventory, recipes)
    return inventory, specs
