"""``--env-file``: what it takes, what it refuses, and that it repeats no value."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.env_file import read_env_file
from aegis_provision.cli.failure import CommandFailedError

if TYPE_CHECKING:
    from pathlib import Path


def _file(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "secrets.env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A=plain", "plain"),
        ("  A=plain  ", "plain"),
        ("A=", ""),
        ('A=""', ""),
        ('A="with space"', "with space"),
        ("A='single $HOME ${B}'", "single $HOME ${B}"),
        ("A=$HOME", "$HOME"),
        ("A=abc # a comment", "abc"),
        ("A=abc#no-comment", "abc#no-comment"),
        ("A='x' # a comment", "x"),
        ("A=k=v", "k=v"),
        ("A=plain\r", "plain"),
    ],
)
def test_values(tmp_path: Path, line: str, value: str) -> None:
    text = f"# comment\n\n{line}\n"
    assert read_env_file(_file(tmp_path, text)) == {"A": value}


def test_the_last_line_of_a_name_counts(tmp_path: Path) -> None:
    assert read_env_file(_file(tmp_path, "A=1\nA=2")) == {"A": "2"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CommandFailedError) as refused:
        read_env_file(_file(tmp_path, "A=canary-value", mode))
    assert "can be read by others" in refused.value.message
    assert refused.value.hint.startswith("chmod 600 ")


def test_wrong_lines_are_named_by_number_alone(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError) as refused:
        read_env_file(_file(tmp_path, "A=1\ncanary-token\nB=canary 'x\nC-D=1\n"))
    assert refused.value.message.endswith("not NAME=value in line 2, 3, 4")
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("make", ["missing", "directory", "latin"])
def test_files_that_are_none(tmp_path: Path, make: str) -> None:
    path = tmp_path / "env"
    if make == "directory":
        path.mkdir(mode=0o700)
    elif make == "latin":
        path = _file(tmp_path, b"A=\xff")
    with pytest.raises(CommandFailedError) as refused:
        read_env_file(path)
    assert str(path) in refused.value.message


def test_a_huge_file_is_refused_and_not_cut(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError) as refused:
        read_env_file(_file(tmp_path, "#" * 1024 * 1024 + "\nA=1"))
    assert "is larger than" in refused.value.message


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(CommandFailedError) as refused:
        read_env_file(pipe)
    assert refused.value.message == f"{pipe} is not a regular file"
