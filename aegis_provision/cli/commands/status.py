"""``status``: what was last written on the hosts, what is there, and what is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import click

from aegis_provision.cli.exits import exit_of_status
from aegis_provision.cli.findings import show_findings
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    ConnectionFlags,
    connection_options,
    detailed_exitcode_option,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    no_secrets_option,
    output_options,
)
from aegis_provision.cli.past_runs import owed_restarts
from aegis_provision.cli.planned import Scope, prepare
from aegis_provision.cli.printing import print_document
from aegis_provision.providers.fill import fill_secret
from aegis_provision.providers.secret import Secret
from aegis_provision.report.status_document import By

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.inventory.model import Host
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
    environ: Mapping[str, str],
    no_secrets: bool,
    flags: ConnectionFlags,
    by: By | None,
    detailed_exitcode: bool,
    output_format: Format,
    output: Output,
) -> int:
    """Tell how every host stands; nothing is written.

    Compares what was last written on a host, what is there now, and what the inventory wants.
    'drifted' is what somebody changed since, 'pending' what the inventory changed; a host may be
    both. Names keys, never values.
    """
    from aegis_provision.cli.watching import watching
    from aegis_provision.rollout.status import check_fleet

    owed = owed_restarts(Invocation.current().environ)
    scope = Scope(inventory, limit, no_secrets=no_secrets)
    job = prepare(scope, environ, flags, owed=owed)
    show_findings(output, job.findings)
    works = tuple(
        # All that helps to tell whether a restart is owed, as far as it is there.
        replace(
            work,
            api_token=None if no_secrets else _api_token(work.host, environ),
            owed=owed.at(work.host.target),
        )
        for work in job.works
    )
    with watching(output, output_format, forks=flags.forks) as watch:
        statuses = check_fleet(works, job.reach, watch.emit)
    if watch.stream is not None:
        watch.stream.status_finished(statuses, by)
    else:
        _print(output, statuses, by, output_format)
    return exit_of_status(statuses, detailed=detailed_exitcode)


def _api_token(host: Host, environ: Mapping[str, str]) -> Secret | None:
    reference = host.service.api_token
    token = fill_secret(str(reference.value), environ) if reference is not None else None
    return token if isinstance(token, Secret) else None


def _print(
    output: Output, statuses: Sequence[HostStatus], by: By | None, output_format: Format
) -> None:
    from aegis_provision.report.console import print_lines, text_width
    from aegis_provision.report.status_document import status_document
    from aegis_provision.report.status_text import provider_lines, secret_lines, status_lines

    if output_format == "json":
        print_document(status_document(statuses, by), output_format)
        return
    console = output.result
    width, every_host = text_width(console), output.verbosity > 0
    if by == "provider":
        lines = provider_lines(statuses)
    elif by == "secret":
        lines = secret_lines(statuses, width=width, every_host=every_host)
    else:
        lines = status_lines(statuses, width=width, every_host=every_host)
    print_lines(console, lines)
