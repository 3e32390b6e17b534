"""Plain text and JSON documents on the process's streams."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.cli.options import Format
    from aegis_provision.report.json_documents import Document


def echo(text: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Print ``text`` on stdout, or on stderr as what is said ``aside``, and flush it.

    Always through the process's own stream: click's own function goes around one whose encoding
    is ASCII, and writes UTF-8 there.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write(text + end)
    stream.flush()


def echo_utf8(text: str) -> None:
    """Print ``text`` on stdout as the UTF-8 bytes of a file, in any locale."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream in memory has none
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode())
    buffer.flush()


def print_document(content: Document, output_format: Format) -> None:
    """Print ``content`` on stdout: laid out for ``json``, on a line of its own for ``ndjson``."""
    from aegis_provision.report.json_documents import as_line, as_text

    echo(as_line(content) if output_format == "ndjson" else as_text(content))
