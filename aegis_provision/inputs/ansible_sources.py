"""Inventories that Ansible reads for us, as an operator names them: ``-i ansible:PATH``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

PREFIX = "ansible:"


def ansible_source(path: PurePath) -> str | None:
    """Return what an inventory names for Ansible to read, ``None`` for one that we read.

    That is empty where it leaves the choice to Ansible's configuration.
    """
    text = str(path)
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None


def absolute_path(path: PurePath, directory: PurePath) -> str:
    """Return an inventory's path as it is to be named from another directory than ``directory``.

    A list of hosts and Ansible's own choice are the same everywhere.
    """
    source = ansible_source(path)
    if source is None:
        return str(directory / path)
    if not source or "," in source:
        return str(path)
    return f"{PREFIX}{directory / source}"
