"""``explain``: each value of a host, where it was set, and what that place overrode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.options import (
    env_file_option,
    inventory_option,
    output_options,
)
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.output import Output
    from aegis_provision.operations.load import Environment


@click.command("explain")
@click.argument("host", shell_complete=completion.hosts)
@click.argument("key", required=False, shell_complete=completion.keys)
@inventory_option
@env_file_option
@output_options
def command(
    host: str,
    key: str | None,
    inventory: tuple[Path, ...],
    *,
    environment: Environment,
    output: Output,
) -> int:
    """Show each value of HOST, the place that set it, and what that place overrode.

    KEY is one of them: a setting (model), a session variable (ANTHROPIC_DEFAULT_MODEL), or
    env.NAME. Of your environment only names are shown, and whether they are set; no secret is
    needed.
    """
    from aegis_provision.operations.explain import explain_values
    from aegis_provision.operations.load import find_host, load_fleet, require_providers
    from aegis_provision.report.explain_report import explain_document, explanation_lines

    fleet = load_fleet(inventory, environment.environ, of_all=False)
    output.print_diagnostics(fleet.diagnostics)
    chosen = find_host(fleet, host)
    require_providers(fleet, [host])
    found = explain_values(fleet, chosen, key, environment)
    if output.format == "text":
        output.print_lines(explanation_lines(chosen, found))
    else:
        output.print_document(explain_document(chosen, found))
    return ExitCode.DONE
