"""``validate``: everything that can be checked without SSH and without secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    inventory_option,
    output_options_with_sarif,
    policy_option,
)
from aegis_provision.cli.suggested_commands import complete_hints
from aegis_provision.errors import InvalidInputError
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.cli.output import Output
    from aegis_provision.report.sarif import Places


@click.command("validate")
@click.argument("playbooks", metavar="[PLAYBOOK]...", nargs=-1, type=click.Path(path_type=Path))
@inventory_option
@policy_option
@click.option(
    "--sarif-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="What paths in SARIF are relative to. Without it: the top of the git checkout, or here.",
)
@output_options_with_sarif
def command(
    playbooks: tuple[Path, ...],
    inventory: tuple[Path, ...],
    *,
    policy: tuple[Path, ...],
    sarif_root: Path | None,
    output: Output,
) -> int:
    """Check everything that needs neither SSH nor secrets.

    Reads the inventory with its group_vars and host_vars, checks it against the schema, resolves
    every host and every provider, and reports all errors at once; those of each PLAYBOOK over
    that inventory too. A policy says what else must hold for an inventory.
    """
    from aegis_provision.operations.validate import validate
    from aegis_provision.report.sarif import sarif_log
    from aegis_provision.report.validate_report import validate_document, validate_lines

    invocation = Invocation.current()
    checked = validate(inventory, playbooks, invocation.environment, policy)
    fleet = checked.fleet
    if output.format == "text":
        if fleet is None or not checked.valid:
            raise InvalidInputError(checked.diagnostics)
        output.print_diagnostics(checked.diagnostics)
        used = {spec.provider for spec in fleet.specs.values()}
        output.print_lines(validate_lines(fleet.inventory, used, checked.schedules))
        return ExitCode.DONE
    diagnostics = complete_hints(checked.diagnostics, invocation.given)
    if output.format == "sarif":
        places = _places(sarif_root, inventory)
        output.print_document(sarif_log(diagnostics, __version__, places))
    else:
        valid_inventory = fleet.inventory if fleet is not None else None
        output.print_document(
            validate_document(valid_inventory, checked.schedules, diagnostics, valid=checked.valid)
        )
    return ExitCode.DONE if checked.valid else ExitCode.INVALID_INPUT


def _places(root: Path | None, inventory: tuple[Path, ...]) -> Places:
    from aegis_provision.inputs.inventory_names import ANSIBLE_PREFIX, DEFAULT_INVENTORY
    from aegis_provision.report.sarif import Places

    here = Path.cwd()
    if root is None:
        # Path.exists fails where a directory may not be looked into.
        above = (path for path in (here, *here.parents) if os.access(path / ".git", os.F_OK))
        root = next(above, here)
    entry = str(next(iter(inventory), DEFAULT_INVENTORY)).removeprefix(ANSIBLE_PREFIX)
    return Places(os.path.realpath(root), str(here), entry, os.path.realpath)
