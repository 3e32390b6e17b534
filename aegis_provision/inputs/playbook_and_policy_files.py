"""Reads the playbook and the policy that an operator names, or says why one can't be read.

Most inventories have no policy, and many commands no playbook: what understands either is loaded
once there is a file, so that ``plan`` starts sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.files.reading import read_beginning

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.playbook.plays import Playbook
    from aegis_provision.policy.rules import Policy


def read_playbook(
    path: Path,
) -> tuple[Playbook | None, SourceFile | None, tuple[Diagnostic, ...]]:
    """Return the playbook at ``path``, its file as a record names it, and what is wrong with it.

    The name is as the operator wrote it. The playbook is ``None`` where it has no play. Never
    raises for what may be at a path.
    """
    from aegis_provision.history.run_header import source_file
    from aegis_provision.playbook.load import load_playbook

    hint = "an inventory goes to -i; 'aegis-provision init' writes a starter of both"
    data = _read(path, "no-playbook", "the playbook", hint)
    if isinstance(data, Diagnostic):
        return None, None, (data,)
    playbook, diagnostics = load_playbook(str(path), data)
    return playbook, source_file(str(path), data), diagnostics


def read_policy(path: Path) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    """Return the policy at ``path``, and what is wrong with it; with an error there is none.

    The name is as the operator wrote it. Never raises for what may be at a path.
    """
    from aegis_provision.policy.load import load_policy

    data = _read(path, "no-policy", "the policy", "name another with --policy")
    return (None, (data,)) if isinstance(data, Diagnostic) else load_policy(str(path), data)


def _read(path: Path, absent: str, what: str, hint: str) -> bytes | Diagnostic:
    """Return what the file holds, one byte more than any document may have at most."""
    try:
        return read_beginning(path, LARGEST_FILE + 1)
    except FileNotFoundError:
        fault = "leads nowhere" if path.is_symlink() else "does not exist"
        return error(absent, f"{what} {path} {fault}", hint=hint)
    except OSError as problem:
        return error("unreadable", f"{what} {path} can't be read: {problem.strerror or problem}")
