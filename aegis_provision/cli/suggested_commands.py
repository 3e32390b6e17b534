"""Command lines that messages suggest, with the flags that were typed on this one.

Flags from ``AEGIS_PROVISION_*`` variables are left out: they hold for the next command too.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import load_command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic

CARRIED = frozenset(
    {
        "inventory",
        "limit",
        "env_file",
        "ssh_config",
        "known_hosts",
        "host_key",
        "timeout",
        "deadline",
        "forks",
        "workers",
        "executor",
        "scheduler",
    }
)
"""The flags that a suggested command line repeats, where its command has them."""

DECIDED_BY_A_PLAN = frozenset({"inventory", "limit", "serial", "max_fail", "recreate", "retry"})
"""The flags that a saved plan has decided."""

_SUGGESTED = re.compile(r"'aegis-provision ([a-z]+)([^']*)'")
_STANDARD_INPUT = frozenset({"-", "/dev/stdin"})
_DESCRIPTOR = re.compile(r"/dev/fd/|/proc/[^/]+/fd/")
_UNSAFE = re.compile(r"([^\w@%+=:,./-])", re.ASCII)


def command_line(
    given: Mapping[str, Sequence[str]], command: str, *words: str, without: Collection[str] = ()
) -> str:
    """Return ``aegis-provision COMMAND WORDS`` with what was ``given``, quoted for a POSIX shell.

    ``words`` are the command's own arguments; ``without`` names flags that it has and that must
    not be repeated. What came through a pipe can't be read again and is left out
    (see :func:`piped`).
    """
    flags = _flags(given, (command, *words), without)
    return shlex.join(["aegis-provision", command, *words, *flags])


def apply_line(given: Mapping[str, Sequence[str]], path: Path, *flags: str) -> str:
    """Return the command line that applies the saved plan at ``path``, with ``flags``.

    It has the flags that were ``given``, except those that the plan has decided.
    """
    words = (*flags, operand(str(path)))
    return command_line(given, "apply", *words, without=DECIDED_BY_A_PLAN)


def operand(path: str) -> str:
    """Return ``path`` so that no command takes it for a flag."""
    return f"./{path}" if path.startswith("-") else path


def completed(text: str, given: Mapping[str, Sequence[str]]) -> str:
    """Return ``text`` with the flags that were ``given`` in every command line that it quotes.

    Those lines stand in single quotes (``'aegis-provision validate'``), so what is put into them is
    quoted with backslashes.
    """

    def complete(found: re.Match[str]) -> str:
        line = (found[1] + found[2]).split()
        flags = [_UNSAFE.sub(r"\\\1", word) for word in _flags(given, line, ())]
        return f"'{' '.join(['aegis-provision', found[1] + found[2], *flags])}'"

    return _SUGGESTED.sub(complete, text)


def complete_hints(
    diagnostics: Sequence[Diagnostic], given: Mapping[str, Sequence[str]]
) -> tuple[Diagnostic, ...]:
    """Return ``diagnostics`` with their hints :func:`completed`."""
    return tuple(
        replace(item, hint=completed(item.hint, given)) if item.hint else item
        for item in diagnostics
    )


def piped(given: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the flags, as they are typed, whose file came through a pipe."""
    return tuple(_typed(name) for name, values in given.items() if any(map(_is_pipe, values)))


def _flags(
    given: Mapping[str, Sequence[str]], words: Sequence[str], without: Collection[str]
) -> Iterator[str]:
    """Yield the flags of ``given`` that the command has which ``words`` begin with."""
    command = load_command(words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.commands.get(words[1], command)
    taken = CARRIED.intersection(param.name for param in command.params)
    for name, values in given.items():
        if name in taken and name not in without and not any(map(_is_pipe, values)):
            for value in values:
                yield from (_typed(name), value)


def _typed(name: str) -> str:
    short = {"inventory": "-i", "limit": "-l", "forks": "-f"}
    return short.get(name) or f"--{name.replace('_', '-')}"


def _is_pipe(value: str) -> bool:
    if value in _STANDARD_INPUT or _DESCRIPTOR.match(value):
        return True
    try:
        return Path(value).is_fifo()
    except (OSError, ValueError):
        return False
