"""``import``: an inventory out of what the hosts have now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import note_written
from aegis_provision.cli.options import fleet_options_of_one_process, output_options
from aegis_provision.operations.exit_codes import import_exit_code

if TYPE_CHECKING:
    from aegis_provision.cli.options import FleetOptions
    from aegis_provision.cli.output import Output


@click.command("import")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="The inventory to write.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@fleet_options_of_one_process
@output_options
def command(out: Path, *, force: bool, options: FleetOptions, output: Output) -> int:
    """Write an inventory that says what the hosts have now; nothing is written on them.

    The inventory named with -i says where the hosts are; they need no provider there. Tokens stay
    where they are: the new inventory refers to variables, and the summary names them. With these
    set, 'plan' with the new inventory changes nothing. A host that no inventory can describe is
    left out, with the reason.
    """
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.operations.import_fleet import (
        check_out,
        ignored_on_the_way,
        import_fleet,
        inspect_hosts,
        load_import_source,
        write_inventory,
    )
    from aegis_provision.providers.recipes import builtin_recipes
    from aegis_provision.report.import_report import import_document, import_lines

    environment, connection = options.environment, options.connection
    check_out(out, force=force)
    source = load_import_source(options.inventory, options.limit, environment.environ)
    ignored = ignored_on_the_way(source, environment, connection)
    output.print_diagnostics((*source.diagnostics, *ignored))
    with observe_run(output, forks=connection.forks, events=False) as observers:
        inspected = inspect_hosts(source, environment, connection, observers.emit)
    outcome = import_fleet(source, inspected, environment.variables, out)
    if outcome.text is not None:
        write_inventory(out, outcome.text, force=force, on_write=note_written)
    code = import_exit_code(outcome.results)
    path = str(out) if outcome.text is not None else None
    fleet, results = outcome.fleet, outcome.results
    if output.format == "text":
        output.print_lines(import_lines(path, fleet, results, every_host=output.every_host))
    else:
        output.print_document(import_document(path, fleet, results, builtin_recipes(), code))
    return code
