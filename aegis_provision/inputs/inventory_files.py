"""Reads the files that make up the inventories an operator names."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error, has_errors, warning
from aegis_provision.documents.syntax_errors import conversion
from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.files.reading import read_beginning
from aegis_provision.humanize import listed
from aegis_provision.inputs.inventory_names import ansible_source
from aegis_provision.inventory.files import POLICY_FILES, InputFile, content_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.inventory.files import FileKind

_ENDINGS = frozenset({".yml", ".yaml", ".json"})
# What Ansible skips in a directory, executable or not (its INVENTORY_IGNORE_EXTS, and the
# directories that it never looks into for inventories).
_PASSED_OVER = frozenset(
    {".bak", ".cfg", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rpm", ".rst", ".swp", ".txt"}
)
_NO_INVENTORIES = frozenset({"group_vars", "host_vars", "vars_plugins"})
# Inventories to Ansible, in formats that are not read here.
_OTHER_FORMATS = frozenset({".ini", ".toml"})
# What no operator means to be read: git's, a desktop's, an interpreter's.
_NOBODYS = (".git", ".keep", ".DS_Store", "__pycache__")
_MOST_NAMED = 5
_VARIABLES: tuple[FileKind, ...] = ("group_vars", "host_vars")


def read_inventory_files(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    *,
    run: bool = True,
    every_host: bool = False,
) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Return every file of the inventories at ``paths``, read, and what could not be.

    A path is a file, a script that is run (once), or a directory of those; ``group_vars/`` and
    ``host_vars/`` lie beside the file, or in the directory. Names are as the operator wrote them. A
    file that belongs to several of ``paths`` counts for the last of them. Scripts get ``environ``;
    without ``run`` they are left out. Of hosts that Ansible knows those without settings of ours
    are left out, but for ``every_host``.
    """
    reader = _Reader(environ if run else None)
    for rank, path in enumerate(paths):
        reader.add(path, rank)
    if run:
        reader.add_ansible(paths, environ, every_host=every_host)
    reader.tell_unread()
    last = {(file.kind, file.subject, file.name): file for file in reader.files}
    return tuple(last.values()), tuple(reader.diagnostics)


def belongs_to(path: Path, inventory: Path) -> bool:
    """Tell whether a new file at ``path`` would be read with ``inventory``, as a part of it."""
    inventory = Path(ansible_source(inventory) or inventory)
    directory = path.parent.resolve()
    beside = inventory if inventory.is_dir() else inventory.parent
    variables = [(beside / kind).resolve() for kind in _VARIABLES]
    if any(place in variables for place in (directory, *directory.parents)):
        return True
    return inventory.is_dir() and directory == inventory.resolve() and _is_yaml(path)


def variables_beside(path: Path) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Return the ``group_vars`` and ``host_vars`` that count for an inventory at ``path``."""
    reader = _Reader()
    reader.add_variables(path.parent, 0)
    return tuple(reader.files), tuple(reader.diagnostics)


class _Reader:
    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read files; run scripts too, with ``environ``, unless there is none."""
        self._environ = environ
        self.files: list[InputFile] = []
        self.diagnostics: list[Diagnostic] = []
        self._unread: dict[Path, dict[str, None]] = {}

    def tell_unread(self) -> None:
        """Warn of the files that are not read: once for each directory, and in one line."""
        for directory, names in self._unread.items():
            words = f"not read in {directory}: {listed(names, most=_MOST_NAMED)}"
            self.diagnostics.append(warning("passed-over", words, reminder=True))

    def _pass_over(self, path: Path) -> None:
        if not path.name.startswith(_NOBODYS):
            name = f"{path.name}/" if path.is_dir() else path.name
            self._unread.setdefault(path.parent, {})[name] = None

    def add(self, path: Path, rank: int) -> None:
        """Add the inventory at ``path``; where there is none, what lies beside it says nothing."""
        if ansible_source(path) is not None:
            return
        before = len(self.diagnostics)
        if path.is_dir():
            for file in self._inventories_of(path):
                self._add_inventory(file, rank)
            beside = path
        else:
            self._add_inventory(path, rank)
            beside = path.parent
        if not has_errors(self.diagnostics[before:]):
            self.add_variables(beside, rank)

    def add_ansible(
        self, paths: Sequence[Path], environ: Mapping[str, str], *, every_host: bool
    ) -> None:
        """Add what Ansible says of those of ``paths`` that are for it, all at once."""
        sources = {rank: ansible_source(path) for rank, path in enumerate(paths)}
        named = [source for source in sources.values() if source is not None]
        if not named:
            return
        from aegis_provision.inputs.ansible_inventory import read_ansible_inventory

        rank = max(rank for rank, source in sources.items() if source is not None)
        files, diagnostics = read_ansible_inventory(named, rank, environ, every_host=every_host)
        self.files.extend(files)
        self.diagnostics.extend(diagnostics)

    def _inventories_of(self, directory: Path) -> list[Path]:
        found = list(self._inventories_in(directory, directory, frozenset()))
        if not found:
            self._refuse(
                "no-inventory",
                f"the directory {directory} holds no inventory",
                "put a .yml, .yaml or .json file into it, or an executable script",
            )
        return found

    def _add_inventory(self, path: Path, rank: int) -> None:
        # On some file systems everything is executable, YAML too.
        if _is_script(path) and (path.suffix not in _ENDINGS or _begins_as_script(path)):
            self._run(path, rank)
        else:
            self._read(path, "inventory", "", rank)

    def _run(self, path: Path, rank: int) -> None:
        if self._environ is None:
            return
        before = [file for file in self.files if file.printed and file.name == str(path)]
        if before:
            self.files.extend(replace(file, rank=rank) for file in before)
            return
        from aegis_provision.inputs.inventory_scripts import run_script

        files, diagnostics = run_script(path, rank, self._environ)
        self.files.extend(files)
        self.diagnostics.extend(diagnostics)

    def _inventories_in(self, directory: Path, top: Path, above: frozenset[Path]) -> Iterator[Path]:
        """Yield the inventories in ``directory`` and below it, as Ansible would read them.

        ``above`` are the directories that it lies in: a link may lead back to one of them.
        """
        above |= {directory.resolve()}
        for entry in self._listed(directory):
            if directory == top and entry.name in POLICY_FILES:
                continue
            if not _is_visible(entry) or entry.suffix in _PASSED_OVER:
                self._pass_over(entry)
                continue
            if not entry.is_dir():
                before = len(self.diagnostics)
                if self._is_inventory(entry, nested=directory != top):
                    yield entry
                elif len(self.diagnostics) == before:
                    self._pass_over(entry)
            elif entry.name in _NO_INVENTORIES:
                if directory != top or entry.name not in _VARIABLES:
                    self._pass_over(entry)
            elif entry.resolve() not in above:
                yield from self._inventories_in(entry, top, above)

    def _is_inventory(self, path: Path, *, nested: bool) -> bool:
        """Tell whether a file of a directory is to be read or run; say so where it is surprising.

        Below the directory itself nothing is run, and a file's ending does not tell enough.
        """
        executable = _is_script(path) and path.suffix not in _OTHER_FORMATS
        if path.suffix in _ENDINGS and not nested:
            return True
        if executable and (path.suffix not in _ENDINGS or _begins_as_script(path)):
            if nested:
                self._skip(path, "a script in a directory below", f"name it: -i {path}")
            return not nested
        if _begins_as_script(path):
            hint = f"'chmod +x {path}', or move it elsewhere"
            self._skip(path, "a script that is not executable", hint)
            return False
        return self._holds_inventory(path)

    def _holds_inventory(self, path: Path) -> bool:
        """Tell whether a file holds an inventory that its name does not promise."""
        named = path.suffix in _ENDINGS or not path.suffix
        try:
            content = content_of(str(path), read_beginning(path, LARGEST_FILE + 1))
        except OSError as problem:
            if named:
                self._skip(path, f"not readable ({problem.strerror or problem})", "")
            return False
        if content == "inventory" and named:
            return True
        if content == "inventory":
            hint = "give it the ending .yml, or move it elsewhere"
            self._skip(path, f"no inventory by its ending {path.suffix}", hint)
        elif content == "ini" or path.suffix in _OTHER_FORMATS:
            which = "INI" if content == "ini" else path.suffix.removeprefix(".").upper()
            self._skip(path, f"an inventory in {which} format", conversion(str(path)))
        elif named:
            self._skip(path, "no inventory", "move it elsewhere")
        return False

    def _skip(self, path: Path, what: str, hint: str) -> None:
        words = f"{path} is {what}, so it is passed over"
        self.diagnostics.append(warning("passed-over", words, hint=hint))

    def add_variables(self, directory: Path, rank: int) -> None:
        """Add the files of ``group_vars`` and ``host_vars`` in ``directory``."""
        for kind in _VARIABLES:
            for entry in self._listed(directory / kind):
                if not _is_visible(entry):
                    self._pass_over(entry)
                    continue
                if entry.is_dir():
                    for file in self._variables_in(entry, frozenset()):
                        self._read(file, kind, entry.name, rank)
                elif _is_yaml(entry):
                    self._read(entry, kind, entry.name.removesuffix(entry.suffix), rank)
                else:
                    # As in Ansible a file needs no ending; in a host's name dots are no ending.
                    self._read(entry, kind, entry.name, rank, certain=not entry.suffix)

    def _variables_in(self, directory: Path, above: frozenset[Path]) -> Iterator[Path]:
        """Yield the files of one group or host, as Ansible reads them.

        That is: of any depth, with an ending of YAML or none; a directory has none.
        """
        above |= {directory.resolve()}
        for entry in self._listed(directory):
            if not _is_visible(entry):
                self._pass_over(entry)
                continue
            if not entry.is_dir():
                if entry.suffix in _ENDINGS or not entry.suffix:
                    yield entry
                else:
                    self._pass_over(entry)
            elif entry.suffix:
                hint = "rename it without the dot, or move it elsewhere"
                self._skip(entry, "a directory with an ending", hint)
            elif entry.resolve() not in above:
                yield from self._variables_in(entry, above)

    def _listed(self, directory: Path) -> list[Path]:
        try:
            return sorted(directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as problem:
            self._refuse("unreadable", f"{directory} can't be read: {problem.strerror}")
            return []

    def _read(
        self, path: Path, kind: FileKind, subject: str, rank: int, *, certain: bool = True
    ) -> None:
        try:
            data = read_beginning(path, LARGEST_FILE + 1)
        except FileNotFoundError:
            if "," in path.name:
                words = f"{path} is a list of hosts, and no inventory file"
                hint = "write the hosts into a file: 'aegis-provision init' writes a starter"
                self._refuse("no-inventory", words, hint)
                return
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
                    f"{path} is a script, and it is not executable"
                    if kind == "inventory"
                    else f"{path} is a script, and only inventories are run",
                    f"'chmod +x {path}', if it is to be run for its inventory"
                    if kind == "inventory"
                    else "save what it prints as YAML",
                )
                return
            self.files.append(InputFile(kind, subject, str(path), data, rank, certain))

    def _refuse(self, code: str, message: str, hint: str = "") -> None:
        self.diagnostics.append(error(code, message, hint=hint))


def _is_yaml(path: Path) -> bool:
    return path.suffix in _ENDINGS and _is_visible(path)


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith("~")


def _is_script(path: Path) -> bool:
    """Tell whether ``path`` is to be run: a regular file that the operator may execute."""
    try:
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False


def _begins_as_script(path: Path) -> bool:
    """Tell whether the file at ``path`` names an interpreter in its first line (``#!``)."""
    try:
        return read_beginning(path, 2) == b"#!"
    except OSError:
        return False
