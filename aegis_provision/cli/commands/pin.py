"""``pin`` and ``unpin``: hosts get or lose a provider of their own, in the inventory's files."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.invocation import Invocation, note_written
from aegis_provision.cli.options import (
    inventory_option,
    output_options,
    policy_option,
)
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.output import Output
    from aegis_provision.inventory.pin_edits import PinRequest

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([dw])")
_DAYS = {"d": 1, "w": 7}
_dry_run_option = click.option("--dry-run", is_flag=True, help="Show the diff, and write nothing.")


@click.command("pin")
@click.argument("host", shell_complete=completion.patterns)
@click.argument("provider", shell_complete=completion.providers)
@click.option("--model", metavar="MODEL", help="The main model.")
@click.option("--fast-model", metavar="MODEL", help="The faster or cheaper model.")
@click.option("--base-url", metavar="URL", help="The base URL that sessions call.")
@click.option(
    "--timeout-ms",
    type=click.IntRange(1, 2_147_483_647),
    metavar="N",
    help="The request timeout in milliseconds.",
)
@click.option(
    "--auth-token",
    metavar="REFERENCE",
    help="Where the token is, as a reference: '${NAME}'. Never the token itself.",
)
@click.option(
    "--until",
    metavar="DATE",
    help="The last day of the pin (UTC), as YYYY-MM-DD or from today on: 14d, 6w.",
)
@click.option("--reason", metavar="TEXT", help="Why, in one line.")
@inventory_option
@policy_option
@_dry_run_option
@output_options
def command(
    host: str,
    provider: str,
    inventory: tuple[Path, ...],
    *,
    policy: tuple[Path, ...],
    until: str | None,
    reason: str | None,
    dry_run: bool,
    output: Output,
    **overrides: str | int | None,
) -> int:
    """Give HOST, a host or a pattern as in --limit, a PROVIDER of its own.

    Edits the inventory's file in place: the diff is the pin and nothing else. The file is the one
    that pins the host now, else the one with the host's own entry, else the one with its range,
    where the host gets an entry. The result is checked as a whole before it is written.
    'unpin HOST' gives the file back as it was. Pinning again to the same provider keeps what is
    not named.
    """
    from aegis_provision.inventory.pin_edits import PinRequest

    _check_reference(overrides["auth_token"])
    for name, value in (("PROVIDER", provider), *overrides.items()):
        _check_text(name, value)
    today = Invocation.current().environment.today
    request = PinRequest(
        provider=provider,
        overrides={key: value for key, value in overrides.items() if value is not None},
        until=_last_day(until, today) if until is not None else None,
        reason=_reason(reason),
    )
    return _edit_and_show(inventory, host, request, output, policies=policy, dry_run=dry_run)


@click.command("unpin")
@click.argument("host", shell_complete=completion.patterns)
@inventory_option
@policy_option
@_dry_run_option
@output_options
def unpin_command(
    host: str,
    inventory: tuple[Path, ...],
    *,
    policy: tuple[Path, ...],
    dry_run: bool,
    output: Output,
) -> int:
    """Take the provider of their own from HOST, a host or a pattern as in --limit.

    Removes 'provider', the end and the reason of the pin, and the values that stand after the
    provider in the host's entry. An entry that 'pin' made for a host of a range goes as a whole.
    The inventory's files are edited in place and all else in them stays; the result is checked
    before it is written.
    """
    return _edit_and_show(inventory, host, None, output, policies=policy, dry_run=dry_run)


def _edit_and_show(
    inventory: tuple[Path, ...],
    pattern: str,
    request: PinRequest | None,
    output: Output,
    *,
    policies: tuple[Path, ...],
    dry_run: bool,
) -> ExitCode:
    """Pin the hosts of ``pattern``, or unpin them without ``request``, and show what changed.

    Nothing is written with ``dry_run``. Raises :class:`InvalidInputError`, and :class:`Error`
    where a file can't be replaced.
    """
    from aegis_provision.files.atomic import replace_files
    from aegis_provision.operations.pin import edit_inventory
    from aegis_provision.report.pin_report import pin_document, pin_lines

    edits, replacements = edit_inventory(
        inventory, pattern, request, Invocation.current().environment, policies
    )
    output.print_diagnostics(edits.diagnostics)
    if not dry_run:
        replace_files(replacements, note_written)
    files = [(str(file.path), file.before, file.after) for file in replacements]
    if output.format == "text":
        provider = request.provider if request is not None else None
        output.print_lines(pin_lines(edits.changes, files, provider, dry_run=dry_run))
    else:
        content = pin_document(
            edits.changes, edits.files_by_host, files, edits.diagnostics, dry_run=dry_run
        )
        output.print_document(content)
    return ExitCode.DONE


def _check_text(name: str, value: str | int | None) -> None:
    if isinstance(value, str) and not (value and value.isprintable()):
        flag = name if name.isupper() else f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{flag}: is empty, or holds a control character")


def _check_reference(text: str | int | None) -> None:
    from aegis_provision.providers.templates import single_reference

    if text is not None and single_reference(str(text)) is None:
        # Not repeated: it may be the token.
        raise click.UsageError(
            "--auth-token: takes one reference, such as '${GLM_API_KEY}' in single quotes, and "
            "never the token; if it was one, take it out of your shell's history"
        )


def _reason(text: str | None) -> str:
    from aegis_provision.inventory.settings import reason_problem

    if text is None:
        return ""
    problem = reason_problem(text)
    if problem is not None:
        raise click.UsageError(f"--reason: {problem[0]}; {problem[1]}")
    return text


def _last_day(text: str, today: date) -> date:
    from aegis_provision.inventory.pins import parse_date

    period = _PERIOD.fullmatch(text)
    if period:
        return today + timedelta(days=int(period[1]) * _DAYS[period[2]])
    day = parse_date(text)
    if day is None:
        raise click.UsageError("--until: takes a day as YYYY-MM-DD, or a period such as 14d or 6w")
    if day < today:
        raise click.UsageError(f"--until: {day} is past; the pin would have ended already")
    return day
