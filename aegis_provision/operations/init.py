"""``init``: starters of an inventory and a playbook, and ready-made playbooks."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.errors import InputError
from aegis_provision.humanize import listed
from aegis_provision.inputs.inventory_names import DEFAULT_INVENTORY
from aegis_provision.packaged_files import playbooks

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAYBOOK = Path("playbook.yml")


def write_starter(directory: Path, on_write: Callable[[], None]) -> tuple[Path, Path]:
    """Write an inventory and a playbook into ``directory``, and return their paths.

    ``on_write`` is called before anything is written. Raises :class:`Error` where a file is there
    already, and then neither is written.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is no directory", "init takes a directory's name")
    inventory, playbook = directory / DEFAULT_INVENTORY, directory / _PLAYBOOK
    for path in (inventory, playbook):
        if path.exists() or path.is_symlink():
            raise _is_there(path, directory)
    for path in (inventory, playbook):
        starter = resources.files("aegis_provision.operations").joinpath("starter", path.name)
        try:
            on_write()
            directory.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                stream.write(starter.read_text(encoding="utf-8"))
        except FileExistsError:
            raise _is_there(path, directory) from None
        except OSError as problem:
            raise InputError(f"{path} can't be written: {problem.strerror}") from None
    return inventory, playbook


def write_playbook(name: str, directory: Path, on_write: Callable[[], None]) -> Path:
    """Write the ready-made playbook called ``name`` into ``directory``, and return its path.

    ``on_write`` is called before anything is written. Raises :class:`Error` for an unknown name,
    and where a file is there already.
    """
    known = playbooks()
    if name not in known:
        raise InputError(
            f"no ready-made playbook is called {quote(name)}",
            did_you_mean(name, known) or f"known: {listed(known)}",
        )
    path = directory / f"{name}.yml"
    # The first line leads from the directory of playbooks to that of the schemas.
    text = known[name].partition("\n")[2].removeprefix("#\n")
    try:
        on_write()
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text.replace(f"playbooks/{name}.yml", f"{name}.yml"))
    except FileExistsError:
        raise InputError(
            f"{path} is there already, and init replaces nothing", "edit it, or move it elsewhere"
        ) from None
    except OSError as problem:
        raise InputError(f"{path} can't be written: {problem.strerror}") from None
    return path


def _is_there(path: Path, directory: Path) -> InputError:
    fleet = str(directory / "fleet")
    return InputError(
        f"{path} is there already, and init replaces nothing",
        "edit it, or name another directory: aegis-provision init "
        f"{shlex.quote(f'./{fleet}' if fleet.startswith('-') else fleet)}",
    )
