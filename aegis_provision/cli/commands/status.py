"""``status``: what was last written on the hosts, what is there, and what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from aegis_provision.cli.diagnostics import print_diagnostics_to_stderr
from aegis_provision.cli.options import (
    connection_options,
    detailed_exitcode_option,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    no_secrets_option,
    output_options,
)
from aegis_provision.cli.output import print_document
from aegis_provision.operations.exit_codes import status_exit_code
from aegis_provision.operations.plan import RunSelection, load_and_schedule
from aegis_provision.operations.status import prepare_status, status
from aegis_provision.report.status_report import By

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.planning.status import HostStatus


@click.command("status")
@inventory_option
@limit_option
@env_file_option
@no_secrets_option
@connection_options
@click.option(
    "--by",
    type=click.Choice(get_args(By)),
    help="Count instead of listing: hosts per provider, or what they hold of each token.",
)
@detailed_exitcode_option
@format_option
@output_options
def command(
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    environment: Environment,
    no_secrets: bool,
    connection: ConnectionOptions,
    by: By | None,
    detailed_exitcode: bool,
    output_format: Format,
    output: Output,
) -> int:
    """Tell how every host stands; nothing is written.

    Compares what was last written on a host, what is there now, and what the inventory wants.
    'drifted' is what was changed there since, 'pending' what the inventory changed; a host may be
    both. Names keys, never values.
    """
    from aegis_provision.cli.observers import observe_run

    selection = RunSelection(limit, secrets=not no_secrets)
    scheduled = load_and_schedule(inventory, selection, environment)
    job = prepare_status(scheduled, environment, connection)
    print_diagnostics_to_stderr(output, job.findings)
    with observe_run(output, output_format, forks=connection.forks) as observers:
        statuses = status(job, observers.emit)
    if observers.stream is not None:
        observers.stream.status_finished(statuses, by)
    else:
        _print(output, statuses, by, output_format)
    return status_exit_code(statuses, detailed=detailed_exitcode)


def _print(
    output: Output, statuses: Sequence[HostStatus], by: By | None, output_format: Format
) -> None:
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.status_report import (
        provider_lines,
        secret_lines,
        status_document,
        status_lines,
    )

    if output_format == "json":
        print_document(status_document(statuses, by), output_format)
        return
    console = output.out
    width, every_host = text_width(console), output.verbosity > 0
    if by == "provider":
        lines = provider_lines(statuses)
    elif by == "secret":
        lines = secret_lines(statuses, width=width, every_host=every_host)
    else:
        lines = status_lines(statuses, width=width, every_host=every_host)
    print_lines(console, lines)
