"""``init``: starters of an inventory and a playbook, and ready-made playbooks."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from aegis_provision.cli.invocation import note_written
from aegis_provision.cli.output import echo
from aegis_provision.cli.suggested_commands import operand
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.init import write_playbook, write_starter
from aegis_provision.packaged_files import playbooks


def _complete_playbooks(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in playbooks() if name.startswith(incomplete)]


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--playbook",
    "ready_made",
    metavar="NAME",
    shell_complete=_complete_playbooks,
    help="Write this ready-made playbook alone: canary-then-waves, token-rotation and others.",
)
def command(directory: Path, *, ready_made: str | None) -> int:
    """Write a starter inventory and playbook into DIRECTORY (here, if none is named).

    A file that is there already is never replaced: then neither is written.
    """
    if ready_made is not None:
        path = write_playbook(ready_made, directory, note_written)
        echo(f"Wrote {path}. Put your groups into it, then:")
        echo(f"  aegis-provision validate {shlex.quote(operand(str(path)))}")
        return ExitCode.DONE
    inventory, playbook = write_starter(directory, note_written)
    named = shlex.quote(str(inventory))
    rollout = shlex.quote(operand(str(playbook)))
    echo(f"Wrote {inventory} and {playbook}. Put your hosts into the first, then:")
    echo(f"  aegis-provision validate -i {named} {rollout}")
    echo(f"  aegis-provision plan -i {named}")
    echo(f"  aegis-provision apply -i {named} {rollout}")
    return ExitCode.DONE
