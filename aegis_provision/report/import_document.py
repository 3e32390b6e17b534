"""What was taken over, as a JSON document."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aegis_provision.importing.result import ImportStatus
from aegis_provision.report.json_documents import document

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aegis_provision.importing.result import ImportedFleet, ImportResult
    from aegis_provision.report.json_documents import Document


def import_document(
    path: str | None,
    adoption: ImportedFleet,
    ends: Sequence[ImportResult],
    builtin: Collection[str],
    exit_code: int,
) -> Document:
    """Return the ``import`` document. ``path`` is ``None`` where nothing was written.

    ``builtin`` names the recipes that the tool brings. Variables have names and no values.
    """
    used = Counter(adoption.providers.values())
    new = {recipe.name for recipe in adoption.recipes}
    counts = Counter(end.status for end in ends)
    return document(
        "import",
        {
            "inventory": path,
            "hosts": [_host(end) for end in ends],
            "providers": [
                {
                    "name": name,
                    "origin": "new" if name in new else "builtin" if name in builtin else "yours",
                    "hosts": hosts,
                }
                for name, hosts in used.most_common()
            ],
            "variables": [
                {
                    "name": item.name,
                    "set": item.is_set,
                    "holds": item.holds,
                    "hosts": list(item.hosts),
                }
                for item in adoption.needed
            ],
            "summary": {status.value: counts[status] for status in ImportStatus},
            "exit_code": exit_code,
        },
    )


def _host(end: ImportResult) -> Document:
    return {
        "host": end.host,
        "result": end.status.value,
        "provider": end.provider or None,
        "pinned": end.pinned,
        "unmanaged": list(end.unmanaged),
        "message": end.message,
        "warnings": list(end.warnings),
    }
