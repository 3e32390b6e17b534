"""An import, as text and as a JSON document: what was written, what to export, what is left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control, group_pairs
from aegis_provision.importing.result import ImportStatus
from aegis_provision.inventory.ranges import truncate
from aegis_provision.report.json_documents import document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from aegis_provision.importing.result import ImportedFleet, ImportResult, RequiredVariable
    from aegis_provision.report.json_documents import Document

_MOST_NAMES = 12
_EVERY = 1_000_000


def import_lines(
    path: str | None, fleet: ImportedFleet, results: Sequence[ImportResult], *, every_host: bool
) -> list[Text]:
    """Return the summary; ``path`` is ``None`` where nothing was written."""
    most = _EVERY if every_host else _MOST_NAMES
    return [
        *_written(path, fleet, results, most),
        *_variables(fleet.needed, most),
        *_by_message(
            "Left out:",
            "",
            [(_reason(item), item.host) for item in results if item.message],
            most,
        ),
        *_by_message(
            "Not in the inventory, and left as they are on the hosts:",
            "",
            [(name, item.host) for item in results for name in item.unmanaged],
            most,
        ),
        *_by_message(
            "Worth knowing:",
            "warning: ",
            [(words, item.host) for item in results for words in item.warnings],
            most,
        ),
    ]


def _reason(item: ImportResult) -> str:
    return (
        f"unreachable: {item.message}" if item.status is ImportStatus.UNREACHABLE else item.message
    )


def _written(
    path: str | None, fleet: ImportedFleet, results: Sequence[ImportResult], most: int
) -> Iterator[Text]:
    imported = [item for item in results if item.status is ImportStatus.IMPORTED]
    if path is None:
        yield Text("Nothing was written: no host could be taken over.", style="bold")
        return
    pins = sum(item.pinned for item in imported)
    yield Text(
        f"Wrote {escape_control(path)}: {len(imported)} of {counted(len(results), 'host')}, "
        f"{counted(len(set(fleet.providers.values())), 'provider')}, {counted(pins, 'pin')}.",
        style="bold",
    )
    used = Counter(fleet.providers.values())
    new = {recipe.name for recipe in fleet.recipes}
    width = max(len(name) for name in used)
    for name, hosts in used.most_common():
        names = [item.host for item in imported if item.provider == name]
        tail = "  (a new recipe)" if name in new else ""
        shown = ", ".join(truncate(names, most))
        yield Text(f"  {name:<{width}}  {counted(hosts, 'host')}: {shown}{tail}")


def _variables(needed: Sequence[RequiredVariable], most: int) -> Iterator[Text]:
    if not needed:
        return
    yield Text("What the inventory takes out of your environment:", style="bold")
    width = max(len(item.name) for item in needed)
    for item in needed:
        names = ", ".join(truncate(item.hosts, most))
        if item.is_set:
            words, style = f"set: it is the {item.holds} of {names}", ""
        else:
            words, style = f"export it before you plan: the {item.holds} of {names}", "yellow"
        yield Text(f"  {item.name:<{width}}  {words}", style=style)


def _by_message(
    title: str, prefix: str, messages: Sequence[tuple[str, str]], most: int
) -> Iterator[Text]:
    """Yield each of ``messages`` (the message, then its host) once, with all its hosts."""
    if messages:
        yield Text(title, style="bold")
    for message, hosts in group_pairs(messages).items():
        names = ", ".join(truncate(hosts, most))
        yield Text(f"  {names}: {prefix}{escape_control(message)}", style="magenta")


def import_document(
    path: str | None,
    fleet: ImportedFleet,
    results: Sequence[ImportResult],
    builtin: Collection[str],
    exit_code: int,
) -> Document:
    """Return the ``import`` document. ``path`` is ``None`` where nothing was written.

    ``builtin`` names the recipes that the tool brings. Variables have names and no values.
    """
    used = Counter(fleet.providers.values())
    new = {recipe.name for recipe in fleet.recipes}
    counts = Counter(item.status for item in results)
    return document(
        "import",
        {
            "inventory": path,
            "hosts": [_host(item) for item in results],
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
                for item in fleet.needed
            ],
            "summary": {status.value: counts[status] for status in ImportStatus},
            "exit_code": exit_code,
        },
    )


def _host(item: ImportResult) -> Document:
    return {
        "host": item.host,
        "result": item.status.value,
        "provider": item.provider or None,
        "pinned": item.pinned,
        "unmanaged": list(item.unmanaged),
        "message": item.message,
        "warnings": list(item.warnings),
    }
