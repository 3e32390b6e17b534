"""Reads the files that make up the inventories an operator names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.cli.file_content import file_content
from aegis_provision.documents.diagnostic import Diagnostic, error
from aegis_provision.inventory.files import InputFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Literal

    Kind = Literal["inventory", "group_vars", "host_vars"]

_ENDINGS = frozenset({".yml", ".yaml", ".json"})
_VARIABLES: tuple[Literal["group_vars", "host_vars"], ...] = ("group_vars", "host_vars")


def gather(paths: Sequence[Path]) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Return every file of the inventories at ``paths``, read, and what could not be.

    A path is a file or a directory of YAML files; ``group_vars/`` and ``host_vars/`` lie beside
    the file, or in the directory. Names are as the operator wrote them. A file that belongs to
    several of ``paths`` counts for the last of them.
    """
    reader = _Reader()
    for rank, path in enumerate(paths):
        reader.add(path, rank)
    last = {(file.kind, file.subject, file.name): file for file in reader.files}
    return tuple(last.values()), tuple(reader.findings)


class _Reader:
    def __init__(self) -> None:
        self.files: list[InputFile] = []
        self.findings: list[Diagnostic] = []

    def add(self, path: Path, rank: int) -> None:
        if not path.is_dir():
            self._read(path, "inventory", "", rank)
            self._add_variables(path.parent, rank)
            return
        found = list(self._yaml_in(path))
        if not found:
            self._refuse(
                "no-inventory",
                f"the directory {path} holds no inventory",
                "put a .yml, .yaml or .json file into it",
            )
        for file in found:
            self._read(file, "inventory", "", rank)
        self._add_variables(path, rank)

    def _add_variables(self, directory: Path, rank: int) -> None:
        for kind in _VARIABLES:
            for entry in self._listed(directory / kind):
                if entry.is_dir():
                    for file in self._yaml_in(entry):
                        self._read(file, kind, entry.name, rank)
                elif _is_yaml(entry):
                    self._read(entry, kind, entry.name.removesuffix(entry.suffix), rank)
                elif _is_visible(entry):
                    # As in Ansible a file needs no ending; in a host's name dots are no ending.
                    self._read(entry, kind, entry.name, rank, certain=not entry.suffix)

    def _yaml_in(self, directory: Path) -> Iterator[Path]:
        return (
            entry for entry in self._listed(directory) if _is_yaml(entry) and not entry.is_dir()
        )

    def _listed(self, directory: Path) -> list[Path]:
        try:
            return sorted(directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as problem:
            self._refuse("unreadable", f"{directory} can't be read: {problem.strerror}")
            return []

    def _read(
        self, path: Path, kind: Kind, subject: str, rank: int, *, certain: bool = True
    ) -> None:
        try:
            data = file_content(path)
        except FileNotFoundError:
            what = "leads nowhere" if path.is_symlink() else "does not exist"
            self._refuse(
                "no-inventory",
                f"the inventory {path} {what}",
                "name another with -i, or write a starter with 'aegis-provision init'",
            )
        except OSError as problem:
            self._refuse("unreadable", f"{path} can't be read: {problem.strerror or problem}")
        else:
            if data.startswith(b"#!"):
                self._refuse(
                    "script",
                    f"{path} is a script, and inventories that are run are not supported",
                    "save what it prints as YAML",
                )
                return
            self.files.append(InputFile(kind, subject, str(path), data, rank, certain))

    def _refuse(self, code: str, message: str, hint: str = "") -> None:
        self.findings.append(error(code, message, hint=hint))


def _is_yaml(path: Path) -> bool:
    return path.suffix in _ENDINGS and _is_visible(path)


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith("~")
