"""``validate``: everything that can be checked without SSH and without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from aegis_provision.cli.diagnostics import print_diagnostics_to_stderr
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import findings_format_option, inventory_option, output_options
from aegis_provision.cli.output import print_document
from aegis_provision.cli.suggested_commands import completed_findings
from aegis_provision.documents.diagnostic import has_errors
from aegis_provision.errors import InvalidInputError
from aegis_provision.humanize import counted
from aegis_provision.inventory.pins import pin_findings
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.load import (
    Fleet,
    load_fleet,
    read_pattern_file,
    read_playbook,
)
from aegis_provision.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.playbook.plays import Playbook, Schedule


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found. There is no fleet, and so no schedule, where the inventory is wrong."""

    fleet: Fleet | None
    schedules: tuple[tuple[str, Schedule], ...]
    findings: tuple[Diagnostic, ...]


@click.command("validate")
@click.argument("playbooks", metavar="[PLAYBOOK]...", nargs=-1, type=click.Path(path_type=Path))
@inventory_option
@findings_format_option
@output_options
def command(
    playbooks: tuple[Path, ...],
    inventory: tuple[Path, ...],
    *,
    output_format: Format | Literal["sarif"],
    output: Output,
) -> int:
    """Check everything that needs neither SSH nor secrets.

    Reads the inventory with its group_vars and host_vars, checks it against the schema, resolves
    every host and every provider, and reports all errors at once; those of each PLAYBOOK over
    that inventory too.
    """
    checked = _check(playbooks, inventory)
    valid = checked.fleet is not None and not has_errors(checked.findings)
    if output_format == "sarif":
        from aegis_provision.report.sarif import sarif_log

        print_document(sarif_log(_completed(checked), __version__), "json")
        return ExitCode.DONE if valid else ExitCode.INVALID_INPUT
    if output_format != "text":
        _print_verdict_document(checked, output_format, valid=valid)
        return ExitCode.DONE if valid else ExitCode.INVALID_INPUT
    if checked.fleet is None or not valid:
        raise InvalidInputError(checked.findings)
    print_diagnostics_to_stderr(output, checked.findings)
    output.out.print(_verdict(checked.fleet))
    for name, schedule in checked.schedules:
        output.out.print(_verdict_of_playbook(name, schedule))
    return ExitCode.DONE


def _check(playbooks: Sequence[Path], inventory: Sequence[Path]) -> _Checked:
    read = [read_playbook(path) for path in playbooks]
    books = [book for book, _, _ in read if book is not None]
    findings = tuple(item for _, _, found in read for item in found)
    try:
        fleet = load_fleet(inventory, Invocation.current().environ)
    except InvalidInputError as problem:
        return _Checked(None, (), (*problem.diagnostics, *findings))
    schedules, found = _schedules(books, fleet)
    pins = pin_findings(fleet.inventory.hosts.values(), Invocation.current().environment.today)
    findings = (*fleet.findings, *fleet.unset, *pins, *findings, *found)
    return _Checked(fleet, schedules, findings)


def _schedules(
    books: Sequence[Playbook], fleet: Fleet
) -> tuple[tuple[tuple[str, Schedule], ...], tuple[Diagnostic, ...]]:
    schedules: list[tuple[str, Schedule]] = []
    findings: list[Diagnostic] = []
    for book in books:
        from aegis_provision.playbook.schedule import make_schedule

        schedule, found = make_schedule(
            book, fleet.inventory, chosen=None, read_file=read_pattern_file
        )
        findings.extend(found)
        schedules.append((book.name, schedule))
    return tuple(schedules), tuple(findings)


def _verdict(fleet: Fleet) -> str:
    inventory = fleet.inventory
    used = {spec.provider for spec in fleet.specs.values()}
    pins = sum(host.pinned for host in inventory.hosts.values())
    return (
        f"Valid: {counted(len(inventory.hosts), 'host')}, "
        f"{counted(len(inventory.groups) - 1, 'group')}, "
        f"{counted(len(used), 'provider')} in use, {counted(pins, 'pin')}."
    )


def _completed(checked: _Checked) -> tuple[Diagnostic, ...]:
    return completed_findings(checked.findings, Invocation.current().given)


def _verdict_of_playbook(name: str, schedule: Schedule) -> str:
    from aegis_provision.humanize import escape_control

    batches = sum(len(play.batches) for play in schedule.plays)
    return (
        f"{escape_control(name)}: {counted(len(schedule.plays), 'play')}, "
        f"{counted(batches, 'batch')}, {counted(len(schedule.hosts), 'host')}."
    )


def _print_verdict_document(checked: _Checked, output_format: Format, *, valid: bool) -> None:
    from aegis_provision.report.diagnostics import diagnostics_fields
    from aegis_provision.report.json_documents import document

    body = {
        "valid": valid,
        "hosts": len(checked.fleet.inventory.hosts) if checked.fleet is not None else 0,
        "playbooks": [
            {
                "playbook": name,
                "plays": [
                    {"name": item.play.name, "batches": [list(hosts) for hosts in item.batches]}
                    for item in schedule.plays
                ],
            }
            for name, schedule in checked.schedules
        ],
        **diagnostics_fields(_completed(checked)),
    }
    print_document(document("validate", body), output_format)
