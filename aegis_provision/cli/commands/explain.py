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
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.suggestion import did_you_mean
from aegis_provision.errors import InputError
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.load import find_host, load_fleet
from aegis_provision.providers.explain import Explanation, explain, matching

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    from aegis_provision.report.explain_report import explain_document, explanation_lines

    fleet = load_fleet(inventory, environment.environ)
    output.print_diagnostics(fleet.findings)
    chosen = find_host(fleet, host)
    is_set = {name for name, value in environment.variables.items() if value}
    found = explain(chosen, fleet.inventory, fleet.recipes, is_set)
    if key is not None:
        found = _only(found, key)
    if output.format == "text":
        output.print_lines(explanation_lines(chosen, found))
    else:
        output.print_document(explain_document(chosen, found))
    return ExitCode.DONE


def _only(found: Sequence[Explanation], key: str) -> tuple[Explanation, ...]:
    chosen = matching(found, key)
    if not chosen:
        known = dict.fromkeys(
            name for item in found for name in (item.key, item.variable) if name is not None
        )
        raise InputError(
            f"the host has no value {quote(key)}",
            did_you_mean(key, known) or f"known: {', '.join(known)}",
        )
    return chosen
