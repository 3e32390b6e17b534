"""``render``: the file that would be written, for one host or for a provider alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.options import env_file_option, inventory_option, output_options_of_text
from aegis_provision.cli.output import echo_utf8
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.output import Output
    from aegis_provision.operations.load import Environment

MASK = "<secret>"


@click.command("render")
@click.argument("host", required=False, shell_complete=completion.hosts)
@click.option(
    "--provider",
    metavar="NAME",
    shell_complete=completion.providers,
    help="A recipe alone; needs no inventory.",
)
@click.option("--reveal", is_flag=True, help="Print the secrets too. Mind who is looking.")
@inventory_option
@env_file_option
@output_options_of_text
def command(
    host: str | None,
    provider: str | None,
    inventory: tuple[Path, ...],
    *,
    reveal: bool,
    environment: Environment,
    output: Output,
) -> int:
    """Print the file that would be written where a host has none yet.

    Tokens are masked unless you say --reveal. Nothing is printed where Aegis would drop the file
    or fail its sessions.
    """
    from aegis_provision.aegis.config_file import render, syntax_of
    from aegis_provision.operations.render import host_session, recipe_session
    from aegis_provision.providers.redaction import without_exposed

    if (host is None) == (provider is None):
        raise click.UsageError("name either a HOST or a recipe with --provider NAME")
    path = ""
    if provider is not None:
        session, diagnostics = recipe_session(inventory, provider, environment)
    else:
        session, path, diagnostics = host_session(inventory, host or "", environment)
    output.print_diagnostics(diagnostics)
    values = session.values if reveal else without_exposed(session.values)
    echo_utf8(render(values, mask=None if reveal else MASK, syntax=syntax_of(path)))
    return ExitCode.DONE
