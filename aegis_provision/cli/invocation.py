"""One call of the program: its environment, where its output goes, and how it is asked to look."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import IO, TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from aegis_provision.operations.load import Environment
    from aegis_provision.report.console import Color

_COMMANDS = {"import": ("import_", "command"), "unpin": ("pin", "unpin_command")}
"""The module and the name of those that do not follow the rule."""


@dataclass
class Invocation:
    """What a command knows of the world outside, and how the operator wants to be told of it.

    ``given`` are the flags of the command line that a suggested one repeats, as they were typed
    (see :mod:`.suggested_commands`). ``wrote`` says that something of the operator's or on a host
    may have been changed already.
    """

    environ: Mapping[str, str]
    color: Color = "auto"
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wrote: bool = False

    @property
    def no_color(self) -> bool:
        """Whether ``NO_COLOR`` is set (and not empty, https://no-color.org)."""
        return bool(self.environ.get("NO_COLOR"))

    @cached_property
    def environment(self) -> Environment:
        """What operations know of the operator's side, without an env file."""
        from aegis_provision.operations.load import Environment

        variables = {name: utf8_text(value) for name, value in self.environ.items()}
        return Environment(self.environ, variables, datetime.now(UTC))

    @classmethod
    def current(cls) -> Invocation:
        """Return the invocation of the click command that is running."""
        return cast("Invocation", click.get_current_context().find_root().obj)


def load_command(name: str) -> click.Command:
    """Return the command called ``name``; its module is imported only now."""
    module, attribute = _COMMANDS.get(name, (name, "command"))
    found = import_module(f"aegis_provision.cli.commands.{module}")
    return cast("click.Command", getattr(found, attribute))


def note_written() -> None:
    """Note that the running command begins to change something; an interrupt must not deny it."""
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(invocation := context.find_root().obj, Invocation):
        invocation.wrote = True


def utf8_text(value: str) -> str:
    """Return a variable's value, or an argument, as the UTF-8 text that its bytes are.

    Where Python takes the locale for ASCII it has halves of surrogate pairs instead (PEP 383), and
    no file could hold them. Other bytes are left as they are. Not for paths: those go back to the
    system as they came.
    """
    if value.isascii():
        return value
    try:
        return os.fsencode(value).decode("utf-8")
    except UnicodeError:
        return value


@dataclass(frozen=True)
class Output:
    """Where a command prints: ``out`` is stdout, ``err`` is stderr."""

    color: Color
    no_color: bool
    verbosity: int
    quiet: bool

    @cached_property
    def out(self) -> Console:
        """The console for the result and nothing else."""
        return self._console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """The console for progress, warnings, errors and prompts."""
        return self._console(sys.stderr)

    def info(self, words: str) -> None:
        """Tell the operator something on stderr that is no result, unless they asked for quiet."""
        if not self.quiet:
            self.err.print(words, markup=False, highlight=False, soft_wrap=True)

    def _console(self, stream: IO[str]) -> Console:
        from aegis_provision.report.console import make_console

        return make_console(stream, self.color, no_color=self.no_color)
