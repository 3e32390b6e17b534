"""``hosts``: the resolved inventory, as a list, a tree, or one host's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.invocation import Invocation
from aegis_provision.cli.options import (
    inventory_option,
    limit_option,
    output_options,
)
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.output import Output


@click.command("hosts")
@click.argument("pattern", required=False, shell_complete=completion.patterns)
@click.option("--graph", is_flag=True, help="The tree of groups, with providers and pins.")
@click.option(
    "--host",
    "one",
    metavar="HOST",
    shell_complete=completion.hosts,
    help="All settings of one host.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Of an inventory that Ansible reads, hosts without settings of ours too.",
)
@inventory_option
@limit_option
@output_options
def command(
    pattern: str | None,
    inventory: tuple[Path, ...],
    limit: str | None,
    *,
    graph: bool,
    every: bool,
    one: str | None,
    output: Output,
) -> int:
    """Show the hosts that PATTERN selects (all without one) and the provider of each.

    Needs no secrets. With --format json the result has the shape that Ansible expects of a
    dynamic inventory's --list, or of its --host.
    """
    from aegis_provision.operations.load import (
        find_host,
        load_fleet,
        require_providers,
        select_hosts,
    )
    from aegis_provision.report.hosts_report import (
        graph_lines,
        host_document,
        host_lines,
        hosts_document,
        list_lines,
    )

    if graph and (one is not None or output.format != "text"):
        raise click.UsageError("--graph goes neither with --host nor with a --format but text")
    if one is not None and (pattern is not None or limit is not None):
        raise click.UsageError("--host shows one host; it takes no PATTERN and no --limit")
    if every and (one or pattern or limit or graph or output.format != "text"):
        raise click.UsageError("--all lists all hosts as text; nothing else goes with it")
    fleet = load_fleet(inventory, Invocation.current().environ, of_all=False)
    output.print_diagnostics(fleet.diagnostics)
    if one is not None:
        host = find_host(fleet, one)
        require_providers(fleet, [one])
        if output.format == "text":
            output.print_lines(host_lines(host))
        else:
            output.print_document(host_document(host))
        return ExitCode.DONE
    limited = set(select_hosts(fleet.inventory, "--limit", limit))
    chosen = [name for name in select_hosts(fleet.inventory, "PATTERN", pattern) if name in limited]
    require_providers(fleet, chosen)
    if output.format != "text":
        output.print_document(hosts_document(fleet.inventory, chosen))
    elif graph:
        output.print_lines(graph_lines(fleet.inventory, chosen, output.width))
    else:
        output.print_lines(list_lines(fleet.inventory, chosen, with_others=every))
    return ExitCode.DONE
