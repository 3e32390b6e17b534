"""JSON documents on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aegis_provision.cli.options import Format
    from aegis_provision.report.documents import Document


def print_document(content: Document, output_format: Format) -> None:
    """Print ``content`` on stdout: laid out for ``json``, on a line of its own for ``ndjson``."""
    from aegis_provision.report.documents import as_line, as_text

    click.echo(as_line(content) if output_format == "ndjson" else as_text(content))
