"""The reference of commands, made out of the commands' own help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import load_command
from aegis_provision.cli.main import PROGRAM, SUMMARIES, program

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = f"""\
# Commands

What `{PROGRAM} COMMAND --help` says, for all of them. Made by `make docs`; do not edit.

Flags are stronger than their variables, and an empty variable is unset. `--yes` and `--host-key`
have none: they must be said. A variable for a flag that may be given several times holds its
values with `:` between them.
"""
WIDTH = 100


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [_HEAD, _section(PROGRAM, help_of(()))]
    parts.extend(_section(" ".join((PROGRAM, *path)), help_of(path)) for path in command_paths())
    return "\n".join(parts)


def command_paths() -> Iterator[tuple[str, ...]]:
    """Yield the path of each command, and after a group those of its own commands."""
    for name in SUMMARIES:
        yield (name,)
        command = load_command(name)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)


def help_of(path: tuple[str, ...]) -> str:
    """Return the help of the command at ``path``, as wide as a document."""
    settings = program.context_settings
    context = click.Context(program, info_name=PROGRAM, terminal_width=WIDTH, **settings)
    command: click.Command = program
    for name in path:
        found = command.get_command(context, name) if isinstance(command, click.Group) else None
        if found is None:
            raise ValueError(f"there is no command {name}")
        command = found
        context = command.context_class(command, parent=context, info_name=name)
    return command.get_help(context)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
