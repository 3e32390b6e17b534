"""``validate``: everything that can be checked without SSH and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.exits import ExitCode
from aegis_provision.cli.failure import InvalidInputError
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.fleet import Fleet, load_fleet
from aegis_provision.cli.options import format_option, inventory_option, output_options

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.documents.diagnostic import Diagnostic


@click.command("validate")
@inventory_option
@format_option
@output_options
def command(inventory: tuple[Path, ...], *, as_json: bool, output: Output) -> int:
    """Check everything that needs neither SSH nor secrets.

    Reads the inventory with its group_vars and host_vars, checks it against the schema, resolves
    every host and every provider, and reports all errors at once.
    """
    if not as_json:
        fleet = load_fleet(inventory)
        show_findings(output, (*fleet.findings, *fleet.unset))
        output.result.print(_verdict(fleet))
        return ExitCode.DONE
    try:
        fleet = load_fleet(inventory)
    except InvalidInputError as problem:
        _print_document(problem.diagnostics, hosts=0, valid=False)
        return ExitCode.INVALID_INPUT
    _print_document((*fleet.findings, *fleet.unset), hosts=len(fleet.inventory.hosts), valid=True)
    return ExitCode.DONE


def _verdict(fleet: Fleet) -> str:
    inventory = fleet.inventory
    used = {spec.provider for spec in fleet.specs.values()}
    pins = sum(host.pinned for host in inventory.hosts.values())
    return (
        f"Valid: {_count(len(inventory.hosts), 'host')}, "
        f"{_count(len(inventory.groups) - 1, 'group')}, "
        f"{_count(len(used), 'provider')} in use, {_count(pins, 'pin')}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_document(findings: tuple[Diagnostic, ...], *, hosts: int, valid: bool) -> None:
    from aegis_provision.report.diagnostics import diagnostics_json
    from aegis_provision.report.documents import as_text, document

    body = {"valid": valid, "hosts": hosts, "diagnostics": diagnostics_json(findings)}
    click.echo(as_text(document("validate", body)))
