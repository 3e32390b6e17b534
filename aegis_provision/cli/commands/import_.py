"""``import``: an inventory out of what the hosts have now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.diagnostics import print_diagnostics_to_stderr
from aegis_provision.cli.invocation import note_written
from aegis_provision.cli.options import (
    connection_options,
    env_file_option,
    format_option,
    inventory_option,
    limit_option,
    output_options,
)
from aegis_provision.cli.output import print_document
from aegis_provision.errors import InputError
from aegis_provision.operations.connection import connection_settings
from aegis_provision.operations.exit_codes import import_exit_code
from aegis_provision.operations.load import select_hosts

if TYPE_CHECKING:
    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment

_MODE = 0o644


@click.command("import")
@inventory_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="The inventory to write.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@limit_option
@env_file_option
@connection_options
@format_option
@output_options
def command(
    inventory: tuple[Path, ...],
    out: Path,
    limit: str | None,
    *,
    force: bool,
    environment: Environment,
    connection: ConnectionOptions,
    output_format: Format,
    output: Output,
) -> int:
    """Write an inventory that says what the hosts have now; nothing is written on them.

    The inventory named with -i says where the hosts are; they need no provider there. Tokens stay
    where they are: the new inventory refers to variables, and the summary names them. With these
    set, 'plan' with the new inventory changes nothing. A host that no inventory can describe is
    left out, with the reason.
    """
    from aegis_provision.cli.observers import observe_run
    from aegis_provision.operations.import_fleet import import_fleet, load_import_source
    from aegis_provision.providers.recipes import recipe_secrets
    from aegis_provision.rollout.inspection import inspect_fleet

    _check_free(out, force=force)
    hosts = load_import_source(inventory, environment.environ)
    chosen = select_hosts(hosts.inventory, "--limit", limit)
    print_diagnostics_to_stderr(output, hosts.findings)
    tokens = recipe_secrets(hosts.recipes, environment.variables)
    settings = connection_settings(connection, environment.environ, tokens)
    with observe_run(output, "text", forks=connection.forks) as observers:
        inspected = inspect_fleet(
            [hosts.inventory.hosts[name] for name in chosen], settings, observers.emit
        )
    taken = import_fleet(hosts, inspected, environment.variables, out)
    if taken.text is not None:
        _write(out, taken.text, force=force)
    code = import_exit_code(taken.ends)
    path = str(out) if taken.text is not None else None
    if output_format == "text":
        from aegis_provision.report.console import print_lines
        from aegis_provision.report.import_report import import_lines

        every = output.verbosity > 0
        lines = import_lines(path, taken.adoption, taken.ends, every_host=every)
        print_lines(output.out, lines)
    else:
        from aegis_provision.providers.recipes import builtin_recipes
        from aegis_provision.report.import_report import import_document

        content = import_document(path, taken.adoption, taken.ends, builtin_recipes(), code)
        print_document(content, output_format)
    return code


def _check_free(out: Path, *, force: bool) -> None:
    if out.is_dir():
        raise _refused(f"{out} is a directory", "name the file to write")
    if not force and (out.exists() or out.is_symlink()):
        raise _refused(f"{out} is there already", "name another file, or say --force to replace it")
    if not out.parent.is_dir():
        raise _refused(f"there is no directory {out.parent}", "make it first")


def _write(out: Path, text: str, *, force: bool) -> None:
    """Write the file as a whole or not at all. Raises :class:`Error`.

    One that is replaced keeps its owner and mode.
    """
    from aegis_provision.files.atomic import write_new

    if force and out.exists():
        _replace(out, text)
        return
    try:
        write_new(out, text.encode(), _MODE, lambda: _check_free(out, force=force), note_written)
    except OSError as problem:
        raise _refused(f"{out} can't be written: {problem.strerror}", "") from None


def _replace(out: Path, text: str) -> None:
    from aegis_provision.files.atomic import Replacement, replace_files
    from aegis_provision.files.reading import read_file

    try:
        before = read_file(out)
    except OSError as problem:
        raise _refused(f"{out} can't be read: {problem.strerror or problem}", "") from None
    replace_files([Replacement(out, before, text.encode())], note_written)


def _refused(message: str, hint: str) -> InputError:
    return InputError(f"--out: {message}", hint)
