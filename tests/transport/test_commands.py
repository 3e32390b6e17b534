"""Commands on this machine: without the operator's environment, bounded in time and output."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.commands import (
    LARGEST_OUTPUT,
    CompletedCommand,
    collect_output,
    run_here,
)
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from pathlib import Path

_ENOUGH = 30.0


def run(command: str, home: Path, seconds: float = _ENOUGH) -> CompletedCommand:
    return run_here(command, home, Deadline.after(seconds))


def ended(pid: int, within: float = 10.0) -> bool:
    """Tell whether a process is gone, or a zombie that its parent has not waited for."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
                if stream.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
    return False


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("echo out; echo err >&2; exit 7", 7, b"out\nerr\n"),
        ("cat", 0, b""),
        ("exec >&- 2>&-; sleep 0.4; exit 3", 3, b""),
        ("kill -TERM $$", -signal.SIGTERM, b""),
    ],
    ids=["says and ends", "reads nothing", "closes its output first", "is killed"],
)
def test_status_and_output(command: str, status: int, output: bytes, tmp_path: Path) -> None:
    assert run(command, tmp_path) == CompletedCommand(status, output)


def test_it_begins_at_home_with_none_of_the_operators_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_API_KEY", "the-operators-token")
    lines = run("pwd; env", tmp_path).output.decode().splitlines()
    assert lines[0] == str(tmp_path)
    names = {line.partition("=")[0] for line in lines[1:]}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "XDG_RUNTIME_DIR"}


def test_only_so_much_of_the_output_is_kept(tmp_path: Path) -> None:
    completed = run(f"head -c {3 * LARGEST_OUTPUT} /dev/zero", tmp_path)
    assert (completed.status, len(completed.output)) == (0, LARGEST_OUTPUT)


@pytest.mark.parametrize("command", ["sleep 60", "yes"], ids=["silent", "talking"])
def test_one_that_does_not_end_is_killed_with_all_that_it_started(
    command: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    completed = run(f"{command} & echo $!; wait", tmp_path, seconds=0.5)
    assert completed.status is None
    assert time.monotonic() - began < 5
    assert ended(int(completed.output.split()[0]))


@pytest.mark.parametrize("child", ["sleep 60", "yes"], ids=["silent", "talking"])
def test_a_child_that_keeps_the_output_open_is_not_waited_for(child: str, tmp_path: Path) -> None:
    began = time.monotonic()
    completed = run(f"{child} & echo $! >pid; exit 4", tmp_path)
    try:
        assert completed.status == 4
        assert time.monotonic() - began < 10
    finally:
        with suppress(ProcessLookupError):  # it may have found its output closed
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_home_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"command: .*nowhere: no such file or directory"):
        run("true", tmp_path / "nowhere")


def test_output_is_in_no_representation(tmp_path: Path) -> None:
    assert "secret" not in repr(run("echo a secret", tmp_path))


class _Ends:
    """A command that ends just after a look for its output, which comes with its end."""

    def __init__(self) -> None:
        self.output: list[bytes | None] = [None, b"late", b""]

    def receive(self) -> bytes | None:
        return self.output.pop(0)

    def wait(self, seconds: float) -> bool:
        return True


def test_output_that_comes_with_the_end_is_not_lost() -> None:
    assert collect_output(_Ends(), Deadline.after(_ENOUGH)) == (True, b"late")
