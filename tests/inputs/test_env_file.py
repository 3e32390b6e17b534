"""``--env-file``: what it takes, what it refuses, and that it repeats no value."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import InputError
from aegis_provision.inputs.env_file import read_env_file
from tests.fleet.program import PROGRAM

if TYPE_CHECKING:
    from tests.fleet.operator import Operator


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


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_env_file(_file(tmp_path, "\ufeffA=1\n")) == {"A": "1"}


def test_the_last_line_of_a_name_counts(tmp_path: Path) -> None:
    assert read_env_file(_file(tmp_path, "A=1\nA=2")) == {"A": "2"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InputError) as refused:
        read_env_file(_file(tmp_path, "A=canary-value", mode))
    assert "can be read by others" in refused.value.message
    assert refused.value.hint.startswith("chmod 600 ")


def test_wrong_lines_are_named_by_number_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
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
    with pytest.raises(InputError) as refused:
        read_env_file(path)
    assert str(path) in refused.value.message


def test_a_huge_file_is_refused_and_not_cut(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_env_file(_file(tmp_path, "#" * 1024 * 1024 + "\nA=1"))
    assert "is larger than" in refused.value.message


def _refused(path: Path, longest: float = 60.0) -> str:
    with pytest.raises(InputError) as refused:
        read_env_file(path, longest)
    return refused.value.message


def test_an_open_pipe_is_waited_for_no_longer_than_that(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    words = f"{pipe} does not come to its end: after 0.05 seconds it is still open"
    assert _refused(pipe, 0.05) == words
    with pipe.open("r+b", buffering=0) as held:
        held.write(b"A=1\n")
        assert _refused(pipe, 0.05) == words
    assert read_env_file.__defaults__ == (60.0,)


@pytest.mark.parametrize("pieces", [[b"A=12"], [b"A=", b"12\n", b"B=3"], []])
def test_a_pipe_is_read_to_its_end(tmp_path: Path, pieces: list[bytes]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    def write() -> None:
        with pipe.open("wb", buffering=0) as stream:
            for piece in pieces:
                stream.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    found = read_env_file(pipe)
    writer.join(timeout=30)
    assert found == dict(line.split("=") for line in b"".join(pieces).decode().splitlines() if line)


def test_a_pipe_that_others_can_read_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o604)
    assert _refused(pipe) == f"{pipe} can be read by others (mode 0604)"


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_of_this_process_may_be_named(form: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"A=1")
    os.close(writing)
    try:
        assert read_env_file(Path(form.format(reading))) == {"A": "1"}
        os.fstat(reading)  # it is still open
    finally:
        os.close(reading)


def test_a_socket_may_be_named_by_its_descriptor() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"A=1")
        there.close()
        assert read_env_file(Path(f"/dev/fd/{here.fileno()}")) == {"A": "1"}


def test_no_more_is_read_of_a_pipe_than_the_bound(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    def write() -> None:
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"#" * 65536)

    writer = threading.Thread(target=write)
    writer.start()
    assert _refused(pipe) == f"{pipe} is larger than 1 MiB: it is no file of variables"
    writer.join(timeout=30)
    assert not writer.is_alive()


def test_a_file_as_large_as_the_bound_is_read(tmp_path: Path) -> None:
    line = b"A=1\n"
    assert read_env_file(_file(tmp_path, line + b"#" * (1024 * 1024 - len(line)))) == {"A": "1"}
    too_large = _file(tmp_path, line + b"#" * (1024 * 1024 - len(line) + 1))
    assert "is larger than 1 MiB" in _refused(too_large)


def test_the_null_device_is_an_empty_file_and_others_are_none(tmp_path: Path) -> None:
    assert read_env_file(Path("/dev/null")) == {}
    words = "it is not a regular file but a device"
    assert _refused(Path("/dev/zero")) == f"/dev/zero can't be read: {words}"
    assert _refused(tmp_path) == f"{tmp_path} can't be read: Is a directory"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert _refused(tmp_path / "s").endswith("it is not a regular file but a socket")


def test_a_terminal_is_refused() -> None:
    leader, follower = os.openpty()
    try:
        name = os.ttyname(follower)
        assert _refused(Path(f"/dev/fd/{follower}")).endswith(
            "is a terminal, which would show the secrets"
        )
        assert (
            _refused(Path(name)) == f"{name} can't be read: it is not a regular file but a device"
        )
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("said", ["-", "/dev/stdin"])
def test_standard_input(operator: Operator, said: str) -> None:
    operator.environ.pop("OPENROUTER_API_KEY")
    told = operator.run(
        "render", "a", "--reveal", "--env-file", said, stdin="OPENROUTER_API_KEY=ab12"
    )
    assert told.code == 0, told.err
    assert '"ANTHROPIC_AUTH_TOKEN": "ab12"' in told.out


def test_a_process_substitution(operator: Operator) -> None:
    operator.environ.pop("OPENROUTER_API_KEY")
    line = " ".join([*PROGRAM, "render a --reveal --env-file <(echo OPENROUTER_API_KEY=ab12)"])
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=operator.work,
        env=operator.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert '"ANTHROPIC_AUTH_TOKEN": "ab12"' in done.stdout
