"""``pin`` and ``unpin``: from the files of an inventory to the files as they are to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import (
    Diagnostic,
    Severity,
    drop_followups,
    has_errors,
    note,
)
from aegis_provision.errors import InvalidInputError
from aegis_provision.files.atomic import Replacement
from aegis_provision.inputs.inventory_files import read_inventory_files
from aegis_provision.inventory.pin_edits import edit_pins, side_effects
from aegis_provision.operations.load import inventory_paths, resolve_fleet, select_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.pin_edits import PinChange, PinRequest
    from aegis_provision.operations.load import Fleet


@dataclass(frozen=True, slots=True)
class PinOutcome:
    """What an edit makes of the files and of the hosts, before anything is written.

    ``diagnostics`` are warnings and notes; ``places`` names each host's files.
    """

    changes: Mapping[str, PinChange]
    places: Mapping[str, tuple[str, ...]]
    files: tuple[Replacement, ...]
    diagnostics: tuple[Diagnostic, ...]


def edit_inventory(
    named: Sequence[Path], pattern: str, request: PinRequest | None, environ: Mapping[str, str]
) -> PinOutcome:
    """Return the files with the hosts of ``pattern`` pinned, or unpinned where there is none.

    The result is read and checked as a whole. Raises :class:`InvalidInputError` where it would
    have errors that were not there before or change anything that was not asked for, and
    :class:`Error` for a pattern that selects nothing.
    """
    files, diagnostics = read_inventory_files(inventory_paths(named), environ)
    fleet, diagnostics = resolve_fleet(files, diagnostics)
    if fleet is None:
        raise InvalidInputError(drop_followups(diagnostics))
    hosts = select_hosts(fleet.inventory, "HOST", pattern)
    # A link in host_vars/ is one more name of a file: an edit changes the hosts of every name.
    real_paths = {file.name: str(Path(file.name).resolve()) for file in files if not file.printed}
    edits = edit_pins(fleet.inventory, fleet.files, hosts, request, real_paths)
    if has_errors(edits.diagnostics):
        raise InvalidInputError(edits.diagnostics)
    contents = {real_paths[name]: data for name, data in edits.contents.items()}
    after = tuple(
        file if file.printed else replace(file, data=contents.get(real_paths[file.name], file.data))
        for file in files
    )
    if contents:
        _check(fleet, diagnostics, after, hosts, request)
    replacements = {
        file.name: Replacement(Path(file.name), file.data, edits.contents[file.name])
        for file in files
        if not file.printed and edits.contents.get(file.name, file.data) != file.data
    }
    return PinOutcome(edits.changes, edits.places, tuple(replacements.values()), edits.diagnostics)


def _check(
    fleet: Fleet,
    diagnostics: Sequence[Diagnostic],
    after: Sequence[InputFile],
    hosts: Sequence[str],
    request: PinRequest | None,
) -> None:
    """Raise :class:`InvalidInputError` where the files ``after`` are not what they should be."""
    result, found = resolve_fleet(after)
    fresh = _new_errors(diagnostics, found)
    if not fresh and result is not None:
        fresh = list(side_effects(fleet.inventory, result.inventory, hosts, request))
    if fresh or result is None:
        words = "nothing was written, because of what would be wrong afterwards"
        raise InvalidInputError([*drop_followups(fresh), note("not-written", words)])


def _new_errors(before: Sequence[Diagnostic], after: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the errors that were not there before, wherever they stood."""
    known = Counter(identity for item in before for identity in _identities(item))
    fresh: list[Diagnostic] = []
    for item in after:
        identities = _identities(item)
        known.subtract(identities)
        if item.severity is Severity.ERROR and any(known[each] < 0 for each in identities):
            fresh.append(item)
    return fresh


def _identities(item: Diagnostic) -> list[tuple[object, ...]]:
    """Return what makes a diagnostic the same before and after an edit, for each of its hosts."""
    file = item.span.source.name if item.span else None
    return [(item.code, item.message, file, host) for host in item.hosts or ("",)]
