"""The inventory that counts where none is named; shells ask for it at each Tab, so it is alone."""

from __future__ import annotations

from pathlib import Path

DEFAULT_INVENTORY = Path("inventory.yml")
