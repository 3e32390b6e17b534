"""The changes of an inventory's pins, as text and as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.inventory.ranges import truncate
from aegis_provision.report.diagnostics import diagnostics_fields
from aegis_provision.report.diff_text import diff_lines, diff_text
from aegis_provision.report.json_documents import document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.report.json_documents import Document

_WORDS = {
    "pinned": "pinned to {provider}",
    "repinned": "pin changed to {provider}",
    "unpinned": "unpinned",
}
_MOST_NAMES = 12

FileChange = tuple[str, bytes, bytes]
"""A file's name, and its content before and after."""


def pin_lines(
    changes: Mapping[str, str],
    files: Sequence[FileChange],
    provider: str | None,
    *,
    dry_run: bool,
) -> list[Text]:
    """Return the diff of each file, and a line for each kind of change.

    ``changes`` maps each host to its change; ``provider`` is the one they are pinned to.
    """
    lines = [line for name, before, after in files for line in diff_lines(name, before, after)]
    for change, words in _WORDS.items():
        hosts = [host for host, what in changes.items() if what == change]
        if hosts:
            names = ", ".join(truncate(hosts, _MOST_NAMES))
            lines.append(Text(f"{words.format(provider=provider)}: {names}", style="bold"))
    same = [host for host, what in changes.items() if what == "unchanged"]
    if same:
        what = "not pinned" if provider is None else f"pinned to {provider} already"
        lines.append(Text(f"{what}: {', '.join(truncate(same, _MOST_NAMES))}", style="dim"))
    if dry_run and files:
        lines.append(Text("Dry run: nothing was written."))
    return lines


def pin_document(
    changes: Mapping[str, str],
    places: Mapping[str, Sequence[str]],
    files: Sequence[FileChange],
    findings: Sequence[Diagnostic],
    *,
    dry_run: bool,
) -> Document:
    """Return the ``pin`` document, for ``pin`` and for ``unpin``."""
    return document(
        "pin",
        {
            "dry_run": dry_run,
            "hosts": [
                {"host": host, "change": change, "files": list(places.get(host, ()))}
                for host, change in changes.items()
            ],
            "files": [
                {"file": name, "diff": diff_text(name, before, after), "written": not dry_run}
                for name, before, after in files
            ],
            **diagnostics_fields(findings),
        },
    )
