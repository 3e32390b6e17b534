"""The man page, made out of the commands' own help: man(7) macros, as every system renders them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import load_command
from aegis_provision.cli.main import PROGRAM, program
from aegis_provision.operations.exit_codes import ExitCode
from tests.docs.reference import command_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = f"""\
.\\" Made by 'make docs' out of the commands' help; do not edit.
.TH {PROGRAM.upper()} 1
.SH NAME
{PROGRAM} \\- bring a fleet of Aegis hosts to the LLM providers that an inventory names for them
.SH SYNOPSIS
.B {PROGRAM}
.I COMMAND
[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]
.SH DESCRIPTION
An inventory says which provider each host should use;
.B plan
shows what would change on the hosts, and
.B apply
writes it over SSH. Secrets come from the environment.
"""
_CODES = {
    ExitCode.DONE: "done; nothing to do is done too",
    ExitCode.BUG: "a bug in the program, or the result could not be printed",
    ExitCode.CHANGES_PENDING: "changes are pending (with --detailed-exitcode)",
    ExitCode.INVALID_INPUT: "the input is wrong",
    ExitCode.HOST_FAILED: "a host is in error, was refused, failed or was rolled back",
    ExitCode.HOST_UNREACHABLE: "a host was unreachable, and none failed",
    ExitCode.REFUSED: "refused before any write",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.COMMAND_NOT_STARTED: "run: the command can't be started",
    ExitCode.COMMAND_NOT_FOUND: "run: there is no such program",
    ExitCode.INTERRUPTED: "interrupted",
}
_TAIL = """\
.SH ENVIRONMENT
Most flags have a variable, which their description names. Templates of an inventory read further
ones.
.B aegis-provision providers
lists those of the recipes.
.TP
.B XDG_STATE_HOME
where the records of runs lie; without it ~/.local/state.
.TP
.B SSH_AUTH_SOCK
the agent whose keys are offered, unless the ssh config names another.
.TP
.B NO_COLOR
no colour, unless \\-\\-color says otherwise.
.SH FILES
.TP
.I inventory.yml
the inventory, where none is named.
.TP
.I policy.yml
beside the inventory: what it is held to.
.TP
.IR ~/.ssh/config ", " ~/.ssh/known_hosts
as for
.BR ssh (1).
.SH SEE ALSO
.BR ssh (1),
.BR ssh_config (5)
"""


def man_page() -> str:
    """Return the page in roff."""
    parts = [_HEAD, ".SH COMMANDS\n"]
    parts += [_command(path) for path in command_paths()]
    parts.append(".SH EXIT STATUS\n")
    parts += [f".TP\n.B {code.value}\n{_roff(words)}\n" for code, words in _CODES.items()]
    return "".join([*parts, _TAIL])


def _command(path: tuple[str, ...]) -> str:
    # click keeps the flag for help once it is asked for: so it is asked for as the program does.
    context = click.Context(program, info_name=PROGRAM, **program.context_settings)
    command = load_command(path[0])
    if len(path) > 1 and isinstance(command, click.Group):
        command = command.commands[path[1]]
    with click.Context(command, parent=context, info_name=path[-1]) as own:
        usage = " ".join(command.collect_usage_pieces(own))
        flags_of = (item for item in command.get_params(own) if isinstance(item, click.Option))
        records = [item.get_help_record(own) for item in flags_of]
    text = [f".SS {_roff(' '.join(path))} {_roff(usage)}\n", *_paragraphs(command.help or "")]
    text += [f".TP\n.B {_roff(flags)}\n{_roff(words)}\n" for flags, words in filter(None, records)]
    return "".join(text)


def _paragraphs(help_text: str) -> Iterator[str]:
    for paragraph in help_text.strip().split("\n\n"):
        words = " ".join(paragraph.replace("\b", "").split())
        yield f".PP\n{_roff(words)}\n"


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", " ".join(escaped.split()))


if __name__ == "__main__":
    click.echo(man_page(), nl=False)
