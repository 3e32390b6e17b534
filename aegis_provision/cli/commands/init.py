"""``init``: a starter inventory and playbook that validate as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from aegis_provision.cli.invocation import note_written
from aegis_provision.cli.output import echo
from aegis_provision.cli.suggested_commands import operand
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.init import write_starter


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
def command(directory: Path) -> int:
    """Write a starter inventory and playbook into DIRECTORY (here, if none is named).

    A file that is there already is never replaced: then neither is written.
    """
    inventory, playbook = write_starter(directory, note_written)
    named = shlex.quote(str(inventory))
    rollout = shlex.quote(operand(str(playbook)))
    echo(f"Wrote {inventory} and {playbook}. Put your hosts into the first, then:")
    echo(f"  aegis-provision validate -i {named} {rollout}")
    echo(f"  aegis-provision plan -i {named}")
    echo(f"  aegis-provision apply -i {named} {rollout}")
    return ExitCode.DONE
