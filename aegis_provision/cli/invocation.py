"""One call of the program: its environment, and what is known of it for messages."""

from __future__ import annotations

import os
from dataclasses import field
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, cast

import click

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.operations.load import Environment
    from aegis_provision.report.console import Color

_COMMANDS = {"import": ("import_", "command"), "unpin": ("pin", "unpin_command")}
"""The module and the name of those that do not follow the rule."""


@dataclass(slots=False)
class Invocation:
    """What a command knows of the world outside.

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
