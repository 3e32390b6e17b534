"""``init``: a starter inventory that validates as it stands."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

import click

from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.failure import CommandFailedError
from aegis_provision.cli.fleet import DEFAULT_INVENTORY


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
def command(directory: Path) -> int:
    """Write a starter inventory into DIRECTORY (here, if none is named).

    A file that is there already is never replaced.
    """
    target = directory / DEFAULT_INVENTORY
    starter = resources.files("aegis_provision.cli").joinpath("starter", "inventory.yml")
    if directory.exists() and not directory.is_dir():
        raise CommandFailedError(
            ExitCode.INVALID_INPUT, f"{directory} is no directory", "init takes a directory's name"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as stream:
            stream.write(starter.read_text(encoding="utf-8"))
    except FileExistsError:
        raise CommandFailedError(
            ExitCode.INVALID_INPUT,
            f"{target} is there already, and init replaces nothing",
            "edit it, or name another directory: "
            f"aegis-provision init {shlex.quote(str(directory / 'fleet'))}",
        ) from None
    except OSError as problem:
        raise CommandFailedError(
            ExitCode.INVALID_INPUT, f"{target} can't be written: {problem.strerror}"
        ) from None
    click.echo(f"Wrote {target}. Put your hosts into it, then:")
    for command in ("validate", "plan"):
        click.echo(f"  aegis-provision {command} -i {shlex.quote(str(target))}")
    return ExitCode.DONE
