"""Reads the playbooks that an operator names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.files.reading import read_beginning
from aegis_provision.history.run_header import source_file
from aegis_provision.playbook.load import load_playbook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.playbook.plays import Playbook


@dataclass(frozen=True, slots=True)
class PlaybookFile:
    """A playbook and the file it was read from, as a record names it."""

    playbook: Playbook
    source: SourceFile


def read_playbooks(
    paths: Sequence[Path],
) -> tuple[tuple[PlaybookFile, ...], tuple[Diagnostic, ...]]:
    """Return the playbooks at ``paths``, less those without a play, and what is wrong with them.

    Names are as the operator wrote them. Never raises for what may be at a path.
    """
    books: list[PlaybookFile] = []
    findings: list[Diagnostic] = []
    for path in paths:
        try:
            data = read_beginning(path, LARGEST_FILE + 1)
        except OSError as problem:
            findings.append(_unreadable(path, problem))
            continue
        book, found = load_playbook(str(path), data)
        findings.extend(found)
        if book is not None:
            books.append(PlaybookFile(book, source_file(str(path), data)))
    return tuple(books), tuple(findings)


def _unreadable(path: Path, problem: OSError) -> Diagnostic:
    if isinstance(problem, FileNotFoundError):
        what = "leads nowhere" if path.is_symlink() else "does not exist"
        hint = "an inventory goes to -i; 'aegis-provision init' writes a starter of both"
        return error("no-playbook", f"the playbook {path} {what}", hint=hint)
    return error("unreadable", f"{path} can't be read: {problem.strerror or problem}")
