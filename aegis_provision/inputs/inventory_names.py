"""Inventories as an operator names them: ``-i PATH``, ``-i ansible:PATH``, or none.

Shells ask for these at each Tab, so that this module loads nothing of what reads inventories.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

DEFAULT_INVENTORY = Path("inventory.yml")
"""The inventory that counts where none is named."""

ANSIBLE_PREFIX = "ansible:"
"""What the name of an inventory begins with if Ansible reads it for us."""


def ansible_source(path: PurePath) -> str | None:
    """Return what an inventory names for Ansible to read, ``None`` for one that we read.

    That is empty where it leaves the choice to Ansible's configuration. A ``~`` at its beginning is
    filled in as Ansible does: no shell does so after a colon.
    """
    text = str(path)
    if not text.startswith(ANSIBLE_PREFIX):
        return None
    source = text.removeprefix(ANSIBLE_PREFIX)
    if source.startswith("~") and "," not in source:
        with suppress(RuntimeError):
            return str(Path(source).expanduser())
    return source


def absolute_path(path: PurePath, directory: PurePath) -> str:
    """Return an inventory's path as it is to be named from another directory than ``directory``.

    A list of hosts and Ansible's own choice are the same everywhere.
    """
    source = ansible_source(path)
    if source is None:
        return str(directory / path)
    if not source or "," in source:
        return str(path)
    return f"{ANSIBLE_PREFIX}{directory / source}"
