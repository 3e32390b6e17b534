"""``unpin``: leaves hosts to the providers of their groups again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion_values
from aegis_provision.cli.commands.pin import edit_and_show
from aegis_provision.cli.options import (
    dry_run_option,
    format_option,
    inventory_option,
    output_options,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.invocation import Output
    from aegis_provision.cli.options import Format


@click.command("unpin")
@click.argument("host", shell_complete=completion_values.patterns)
@inventory_option
@dry_run_option
@format_option
@output_options
def command(
    host: str,
    inventory: tuple[Path, ...],
    *,
    dry_run: bool,
    output_format: Format,
    output: Output,
) -> int:
    """Take the provider of their own from HOST, a host or a pattern as in --limit.

    Removes 'provider', the end and the reason of the pin, and the values that stand after the
    provider in the host's entry. An entry that 'pin' made for a host of a range goes as a whole.
    The inventory's files are edited in place and all else in them stays; the result is checked
    before it is written.
    """
    return edit_and_show(inventory, host, None, output, output_format, dry_run=dry_run)
