"""``status``: what was last written on the hosts, what is there, and what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.options import (
    detailed_exitcode_option,
    fleet_options,
    no_secrets_option,
    output_options_with_markdown,
)
from aegis_provision.cli.output import echo_utf8
from aegis_provision.operations.exit_codes import status_exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.report.status_report import By


@click.command("status")
@fleet_options
@no_secrets_option
@click.option(
    "--by",
    type=click.Choice(["provider", "secret"]),
    help="Count instead of listing: hosts per provider, or what they hold of each token.",
)
@detailed_exitcode_option
@output_options_with_markdown
def command(
    *,
    options: FleetOptions,
    no_secrets: bool,
    by: By | None,
    detailed_exitcode: bool,
    output: Output,
) -> int:
    """Tell how every host stands; nothing is written.

    Compares what was last written on a host, what is there now, and what the inventory wants.
    'drifted' is what was changed there since, 'pending' what the inventory changed; a host may be
    both. Names keys, never values.
    """
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.operations.plan import RunSelection, schedule_run
    from aegis_provision.operations.status import prepare_status, status

    if by is not None and output.format == "markdown":
        raise click.UsageError(
            "--by counts, and there is no Markdown for it: leave one of them out"
        )
    selection = RunSelection(options.limit, secrets=not no_secrets, is_held=False)
    scheduled = schedule_run(options.inventory, selection, options.environment)
    job = prepare_status(scheduled, options.environment, options.connection)
    output.print_diagnostics(job.diagnostics)
    with observe_run(output, forks=options.connection.forks) as observers:
        statuses = status(job, observers.emit)
    if observers.stream is not None:
        observers.stream.status_finished(statuses, by)
    else:
        _print(output, statuses, by)
    return status_exit_code(statuses, detailed=detailed_exitcode)


def _print(output: Output, statuses: Sequence[HostStatus], by: By | None) -> None:
    from aegis_provision.report.status_report import (
        provider_lines,
        secret_lines,
        status_document,
        status_lines,
    )

    if output.format == "json":
        output.print_document(status_document(statuses, by))
    elif output.format == "markdown":
        from aegis_provision.report.markdown_comments import status_comment

        echo_utf8(status_comment(statuses))
    elif by == "provider":
        output.print_lines(provider_lines(statuses))
    else:
        lines = secret_lines if by == "secret" else status_lines
        output.print_lines(lines(statuses, width=output.width, every_host=output.every_host))
