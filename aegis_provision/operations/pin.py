"""``pin`` and ``unpin``: from the files of an inventory to the files as they are to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import (
    Diagnostic,
    drop_followups,
    has_errors,
    note,
)
from aegis_provision.documents.yaml_reader import ReadOnce
from aegis_provision.errors import InvalidInputError
from aegis_provision.files.atomic import Replacement
from aegis_provision.inputs.inventory_files import read_inventory_files
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pin_edits import edit_pins, side_effects
from aegis_provision.operations.load import complete_fleet, inventory_paths, select_hosts
from aegis_provision.operations.policy import load_policies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.documents.yaml_reader import Read
    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.host import Inventory
    from aegis_provision.inventory.pin_edits import PinEdits, PinRequest
    from aegis_provision.operations.load import Environment, Fleet


def edit_inventory(
    named: Sequence[Path],
    pattern: str,
    request: PinRequest | None,
    environment: Environment,
    policies: Sequence[Path] = (),
) -> tuple[PinEdits, tuple[Replacement, ...]]:
    """Return what pins the hosts of ``pattern``, or unpins them without ``request``.

    That is what becomes of each host and of each file; nothing is written yet. The result is read
    and checked as a whole, against ``policies`` too, or without any those beside the inventory.
    Raises :class:`InvalidInputError` where it would have errors that were not there before or
    change anything that was not asked for, and :class:`Error` for a pattern that selects nothing.
    """
    paths = inventory_paths(named)
    files, diagnostics = read_inventory_files(paths, environment.environ)
    # Before and after the edit most files are the same, and so are their documents.
    read = ReadOnce()
    inventory, found = load_inventory(files, read=read) if files else (None, ())
    if inventory is None:
        raise InvalidInputError(drop_followups((*diagnostics, *found)))
    hosts = select_hosts(inventory, "HOST", pattern)
    fleet, further = complete_fleet(inventory, files, hosts)

    def broken_rules(fleet: Fleet) -> tuple[Diagnostic, ...]:
        bound, found = load_policies(replace(fleet, named=paths), policies)
        if has_errors(found):
            raise InvalidInputError(found)
        return bound.check(fleet, environment.today, only=hosts)

    # A link in host_vars/ is one more name of a file: an edit changes the hosts of every name.
    real_paths = {file.name: str(Path(file.name).resolve()) for file in files if not file.printed}
    edits = edit_pins(inventory, fleet.files, hosts, request, real_paths, read)
    if has_errors(edits.diagnostics):
        raise InvalidInputError(edits.diagnostics)
    if edits.contents:
        contents = {real_paths[name]: data for name, data in edits.contents.items()}
        after = [
            replace(file, data=contents.get(real_paths.get(file.name, ""), file.data))
            for file in files
        ]
        known = (*diagnostics, *found, *further, *broken_rules(fleet))
        _check(inventory, known, after, hosts, request, read, broken_rules)
    replacements = {
        file.name: Replacement(Path(file.name), file.data, edits.contents[file.name])
        for file in files
        if edits.contents.get(file.name, file.data) != file.data
    }
    return edits, tuple(replacements.values())


def _check(
    before: Inventory,
    known: Sequence[Diagnostic],
    files: Sequence[InputFile],
    hosts: Sequence[str],
    request: PinRequest | None,
    read: Read,
    broken_rules: Callable[[Fleet], tuple[Diagnostic, ...]],
) -> None:
    """Raise :class:`InvalidInputError` where the edited ``files`` are not what they should be.

    ``known`` is what was wrong before. Of other hosts than ``hosts`` no value may change, so that
    what is made of their values need not be looked at.
    """
    after, found = load_inventory(files, read=read)
    if after is not None:
        fleet, further = complete_fleet(after, files, hosts)
        found += further
        if not has_errors(found):
            found += broken_rules(fleet)
    before_it = {identity for item in known for identity in _identities(item)}
    fresh = [
        item for item in found if item.is_error and not before_it.issuperset(_identities(item))
    ]
    if not fresh and after is not None:
        fresh += side_effects(before, after, hosts, request)
    if fresh or after is None:
        words = "nothing was written, because of what would be wrong afterwards"
        raise InvalidInputError([*drop_followups(fresh), note("not-written", words)])


def _identities(item: Diagnostic) -> set[tuple[object, ...]]:
    """Return what makes a diagnostic the same before and after an edit, for each of its hosts."""
    file = item.span.source.name if item.span else None
    # What is too much of one provider begins with the number of hosts, which an edit changes.
    many = item.code == "policy-max-share"
    message = item.message.partition(" on ")[2] if many else item.message
    return {(item.code, message, file, host) for host in item.hosts or ("",)}
