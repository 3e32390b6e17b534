"""The operator's files are read without waiting, as files alone, and up to a bound."""

from __future__ import annotations

import ast
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aegis_provision
from aegis_provision.files.reading import (
    LARGEST_FILE,
    UnfitFileError,
    opened,
    read_beginning,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


UNFIT: list[tuple[Callable[[Path], object], str]] = [
    (os.mkfifo, "it is not a regular file but a pipe"),
    (_make_socket, "it is not a regular file but a socket"),
    (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file but a device"),
    (lambda path: path.symlink_to("/dev/null"), "it is not a regular file but a device"),
    (Path.mkdir, "Is a directory"),
]


@pytest.mark.parametrize(("make", "words"), UNFIT, ids=range(len(UNFIT)))
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "x"
    make(path)
    for read in (read_file, lambda place: read_beginning(place, 2)):
        with pytest.raises(UnfitFileError) as refused:
            read(path)
        assert refused.value.strerror == words


def test_only_the_null_device_may_stand_for_an_empty_file() -> None:
    assert read_file(Path("/dev/null"), null=True) == b""
    with pytest.raises(UnfitFileError):
        read_file(Path("/dev/zero"), null=True)


def test_a_missing_file_is_that(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "x")


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1234")
    assert read_file(path, 4) == b"1234"
    assert read_beginning(path, 3) == b"123"
    with pytest.raises(UnfitFileError) as refused:
        read_file(path, 3)
    assert refused.value.strerror == "it is larger than 3 bytes"
    assert LARGEST_FILE == 16 * 1024 * 1024


def test_a_file_is_opened_so_that_it_can_neither_wait_nor_be_inherited(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    with opened(path) as stream:
        assert not os.get_blocking(stream.fileno())
        assert not os.get_inheritable(stream.fileno())


READERS = {
    "files/reading": "the one place",
    "files/atomic": "files that it makes, and locks",
    "files/private_directory": "directories and files that it makes, and locks",
    "inputs/env_file": "a pipe may stand there; its own bounds",
    "cli/streams": "the process's own streams",
    "cli/completion": "scripts of the package",
    "cli/completion_cache": "a file that it makes, in the cache directory",
    "operations/init": "starters of the package",
    "packaged_files": "schemas, recipes and a script of the package",
    "report/html_page": "the style sheet of the package",
    "history/state_dir": "directories, and a key that it makes",
    "history/run_record": "a record that it makes",
    "transport/ssh/known_hosts": "a file that it adds to, once it was looked at",
    "transport/local": "a host's files, on this machine",
    "transport/open_files": "the null device, to see whether files can be opened",
    "workers/process_worker": "the null device, in place of standard streams",
}
"""The modules that open files by themselves, and what these are."""


def opens_files(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name("open") | ast.Attribute(ast.Name("os"), "open"):
                return True
            case ast.Attribute(_, "read_text" | "read_bytes"):
                return True
            case ast.Attribute(_, "open") if node.args and isinstance(node.args[0], ast.Constant):
                return True
    return False


def test_no_other_module_opens_a_file() -> None:
    package = Path(aegis_provision.__file__).parent
    found = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if opens_files(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == READERS.keys()
