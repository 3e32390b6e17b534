"""The reference of commands, made out of the commands' own help."""

from __future__ import annotations

import click

from aegis_provision.cli.main import PROGRAM, SUMMARIES, program

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
    parts.extend(_section(f"{PROGRAM} {name}", help_of((name,))) for name in SUMMARIES)
    return "\n".join(parts)


def help_of(path: tuple[str, ...]) -> str:
    """Return the help of the command at ``path``, as wide as a document."""
    settings = program.context_settings
    context = click.Context(program, info_name=PROGRAM, terminal_width=WIDTH, **settings)
    command: click.Command = program
    for name in path:
        found = program.get_command(context, name)
        if found is None:
            raise ValueError(f"there is no command {name}")
        command = found
        context = command.context_class(command, parent=context, info_name=name)
    return command.get_help(context)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
