"""``init``: a starter inventory and playbook that validate as they stand."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

import click

from aegis_provision.cli.invocation import note_written
from aegis_provision.cli.output import echo
from aegis_provision.cli.suggested_commands import operand
from aegis_provision.errors import InputError
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.load import DEFAULT_INVENTORY

STARTER_PLAYBOOK = Path("playbook.yml")


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
def command(directory: Path) -> int:
    """Write a starter inventory and playbook into DIRECTORY (here, if none is named).

    A file that is there already is never replaced: then neither is written.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is no directory", "init takes a directory's name")
    inventory, playbook = directory / DEFAULT_INVENTORY, directory / STARTER_PLAYBOOK
    for target in (inventory, playbook):
        if target.exists() or target.is_symlink():
            raise _is_there(target, directory)
    for target in (inventory, playbook):
        _write(target, directory)
    named = shlex.quote(str(inventory))
    echo(f"Wrote {inventory} and {playbook}. Put your hosts into the first, then:")
    rollout = shlex.quote(operand(str(playbook)))
    echo(f"  aegis-provision validate -i {named} {rollout}")
    echo(f"  aegis-provision plan -i {named}")
    echo(f"  aegis-provision apply -i {named} {rollout}")
    return ExitCode.DONE


def _write(target: Path, directory: Path) -> None:
    starter = resources.files("aegis_provision.cli").joinpath("starter", target.name)
    try:
        note_written()
        directory.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as stream:
            stream.write(starter.read_text(encoding="utf-8"))
    except FileExistsError:
        raise _is_there(target, directory) from None
    except OSError as problem:
        raise InputError(f"{target} can't be written: {problem.strerror}") from None


def _is_there(target: Path, directory: Path) -> InputError:
    return InputError(
        f"{target} is there already, and init replaces nothing",
        "edit it, or name another directory: "
        f"aegis-provision init {shlex.quote(operand(str(directory / 'fleet')))}",
    )
