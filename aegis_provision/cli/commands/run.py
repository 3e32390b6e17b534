"""``run``: a command on this machine, on a provider's file, for as long as it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.options import (
    env_file_option,
    inventory_option,
    output_options_of_text,
)
from aegis_provision.cli.output import echo
from aegis_provision.humanize import escape_control, listed

if TYPE_CHECKING:
    from aegis_provision.cli.output import Output
    from aegis_provision.files.private_directory import PrivateDirectory
    from aegis_provision.operations.load import Environment

_END = "--"


class _WithCommand(click.Command):
    """A command that is followed by another, after ``--``: what that is given is not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``. Raises :class:`click.UsageError` for further words before ``--``."""
        after = len(args) - args.index(_END) - 1 if _END in args else 0
        rest = super().parse_args(ctx, args)
        words: tuple[str, ...] = ctx.params.get("command_line") or ()
        if len(words) > after and not ctx.resilient_parsing:
            raise click.UsageError(
                f"the command to run goes after '{_END}': {ctx.command_path} "
                f"{ctx.params['name']} {_END} {escape_control(words[0])}",
                ctx,
            )
        return rest


@click.command("run", cls=_WithCommand)
@click.argument("name", metavar="PROVIDER|HOST", shell_complete=completion.providers_and_hosts)
@click.argument("command_line", metavar="[-- COMMAND ...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--base",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the other keys of this file of Aegis', JSON or YAML; it is not changed.",
)
@click.option("--host", is_flag=True, help="The name is a host's, even if a recipe has it too.")
@inventory_option
@env_file_option
@output_options_of_text
def command(
    name: str,
    command_line: tuple[str, ...],
    base: Path | None,
    inventory: tuple[Path, ...],
    *,
    host: bool,
    environment: Environment,
    output: Output,
) -> int:
    """Start a server here on a provider, for as long as it runs; the file goes with it.

    The file is the one that 'render' prints for the recipe or the host. It lies where only you can
    read it, and 'COMMAND ... --config FILE' is started; without a COMMAND, and where its first
    word begins with '-', that is 'ag'. COMMAND gets your environment without the variables that
    the provider's values and tokens come from, and without what sessions would follow rather than
    the file.

    Its input, output and signals are its own, and its exit status is passed on: 128 and the
    signal's number where one ended it, 127 where there is no such program, 126 where it can't be
    started.
    """
    from aegis_provision.cli.child_process import run_command, signals_held
    from aegis_provision.files.private_directory import (
        make_private_directory,
        remove_abandoned,
        runtime_directories,
    )
    from aegis_provision.operations.run import (
        CONFIG_FLAG,
        command_words,
        find_target,
        names_config,
        prepare_run,
    )

    if names_config(command_line):
        raise click.UsageError(
            f"the command names a {CONFIG_FLAG} of its own, and Aegis would read that instead; "
            "--base FILE keeps that file's other keys"
        )
    words = command_words(command_line)
    target = find_target(inventory, name, environment, host=host)
    prepared = prepare_run(target, environment.environ, base)
    output.print_diagnostics(prepared.diagnostics)
    if output.verbosity and prepared.left_out:
        output.info(f"Left out of the environment: {listed(prepared.left_out)}")
    places = runtime_directories(environment.environ, os.geteuid())
    with signals_held() as held:
        remove_abandoned(places)
        directory = make_private_directory(places)
        try:
            file = directory.write(prepared.name, prepared.content)
            if output.verbosity:
                output.info(f"Starting {escape_control(words[0])} on {file}")
            return run_command((*words, CONFIG_FLAG, str(file)), prepared.environ, held)
        finally:
            _remove(directory)


def _remove(directory: PrivateDirectory) -> None:
    try:
        directory.remove()
    except OSError as problem:
        reason = problem.strerror or problem
        echo(
            f"error: {directory.path}, which holds the token, can't be removed: {reason}", err=True
        )
