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
    error,
    has_errors,
    note,
)
from aegis_provision.errors import InvalidInputError
from aegis_provision.files.atomic import Replacement
from aegis_provision.inputs.inventory_files import read_inventory_files
from aegis_provision.inventory.pin_edits import BY_HAND, pin_hosts, side_effects, unpin_hosts
from aegis_provision.operations.load import inventory_paths, resolve_fleet, select_hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.inventory.files import InputFile
    from aegis_provision.inventory.pin_edits import PinChange, PinEdits, PinRequest
    from aegis_provision.operations.load import Fleet


@dataclass(frozen=True, slots=True)
class PinOutcome:
    """What an edit makes of the files and of the hosts, before anything is written.

    ``findings`` are warnings and notes; ``places`` names each host's files.
    """

    changes: Mapping[str, PinChange]
    places: Mapping[str, tuple[str, ...]]
    files: tuple[Replacement, ...]
    findings: tuple[Diagnostic, ...]


def edit_inventory(
    named: Sequence[Path], pattern: str, request: PinRequest | None, environ: Mapping[str, str]
) -> PinOutcome:
    """Return the files with the hosts of ``pattern`` pinned, or unpinned where there is none.

    The result is read and checked as a whole. Raises :class:`InvalidInputError` where it would
    have errors that were not there before or change anything that was not asked for, and
    :class:`Error` for a pattern that selects nothing.
    """
    files, findings = read_inventory_files(inventory_paths(named), environ)
    fleet, findings = resolve_fleet(files, findings)
    if fleet is None:
        raise InvalidInputError(drop_followups(findings))
    hosts = select_hosts(fleet, "HOST", pattern)
    if request is None:
        pinning = unpin_hosts(fleet.inventory, fleet.files, hosts)
    else:
        pinning = pin_hosts(fleet.inventory, fleet.files, hosts, request)
    if has_errors(pinning.findings):
        raise InvalidInputError(pinning.findings)
    after = _edited(files, pinning)
    if pinning.contents:
        _check(fleet, findings, after, hosts, request)
    replacements = _replacements(files, after, pinning)
    return PinOutcome(pinning.changes, pinning.places, replacements, pinning.findings)


def _edited(files: Sequence[InputFile], pinning: PinEdits) -> tuple[InputFile, ...]:
    """Return ``files`` with the edits done; what is one file under several names changes in all.

    A link in ``host_vars/`` is such a name: whoever edits one host's file edits another's too, and
    a check of the result must see that. Raises :class:`InvalidInputError`.
    """
    problems: list[Diagnostic] = []
    fresh: dict[Path, InputFile] = {}
    for file in _first_of_each_name(files):
        if file.name in pinning.contents:
            data = pinning.contents[file.name]
            known = fresh.setdefault(_real(file), replace(file, data=data))
            if known.data != data:
                problems.append(_two_edits_of_one_file(known.name, file.name))
    if problems:
        raise InvalidInputError(problems)
    return tuple(
        replace(file, data=fresh[_real(file)].data)
        if not file.printed and _real(file) in fresh
        else file
        for file in files
    )


def _first_of_each_name(files: Sequence[InputFile]) -> Iterable[InputFile]:
    """Return ``files`` once each: two inventories of one directory share their variable files."""
    return {file.name: file for file in reversed(files) if not file.printed}.values()


def _real(file: InputFile) -> Path:
    return Path(file.name).resolve()


def _two_edits_of_one_file(one: str, other: str) -> Diagnostic:
    words = f"{one} and {other} are one file, and each would be edited in another way"
    return error("cannot-edit", words, hint=BY_HAND)


def _replacements(
    files: Sequence[InputFile], after: Sequence[InputFile], pinning: PinEdits
) -> tuple[Replacement, ...]:
    """Return what is to be written: each file once, under the name by which it was edited."""
    found: dict[Path, Replacement] = {}
    for old, new in zip(files, after, strict=True):
        if old.name in pinning.contents and old.data != new.data:
            found.setdefault(_real(old), Replacement(Path(old.name), old.data, new.data))
    return tuple(found.values())


def _check(
    fleet: Fleet,
    findings: Sequence[Diagnostic],
    after: Sequence[InputFile],
    hosts: Sequence[str],
    request: PinRequest | None,
) -> None:
    """Raise :class:`InvalidInputError` where the files ``after`` are not what they should be."""
    result, found = resolve_fleet(after)
    fresh = _new_errors(findings, found)
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
    """Return what makes a finding the same before and after an edit, for each of its hosts."""
    file = item.span.source.name if item.span else None
    return [(item.code, item.message, file, host) for host in item.hosts or ("",)]
