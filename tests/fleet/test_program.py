"""A command that is forked says and does what one with a Python of its own does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fleet.fork_server import can_fork, run_forked
from tests.fleet.program import run_program

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = (
    "all:\n  vars: {provider: glm, connection: local}\n  hosts:\n    a: {config_path: %s/a}\n"
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "inventory.yml").write_text(INVENTORY % tmp_path)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "AEGIS_PROVISION_SSH_CONFIG": "none",
        "GLM_API_KEY": "key-not-real-0815",
    }


@pytest.mark.parametrize(
    ("command", "stdin", "code"),
    [
        ("", "", 64),
        ("--version", "", 0),
        ("hosts --format json", "", 0),
        ("plan --detailed-exitcode", "", 2),
        ("apply", "no\n", 6),
        ("plan --löng", "", 64),
        ("plan -i missing.yml", "", 3),
        ("explain nobody", "", 3),
        ("history last", "", 3),
    ],
)
def test_both_are_alike(
    tmp_path: Path, environ: dict[str, str], command: str, stdin: str, code: int
) -> None:
    assert can_fork(environ, stdin)
    forked, own = (
        run_program(command.split(), tmp_path, environ, stdin, own_python=own_python)
        for own_python in (False, True)
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (code, own.stdout, own.stderr)
    assert own.returncode == code
    assert forked.stdout or forked.stderr


def test_one_command_leaves_the_next_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    key = {**environ, "GLM_API_KEY": "another-not-real-0815"}
    shown = [
        run_program(["render", "a", "--reveal"], tmp_path, variables).stdout
        for variables in (environ, key, environ)
    ]
    assert shown[0] == shown[2] != shown[1]
    assert "another-not-real-0815" in shown[1]


def test_one_that_hangs_is_killed(tmp_path: Path, environ: dict[str, str]) -> None:
    script = tmp_path / "inventory.sh"
    script.write_text("#!/bin/sh\necho $PPID >new; mv new pid; read line <fifo\n")
    script.chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    try:
        for patience in (1, 4, 16, 64):
            with pytest.raises(subprocess.TimeoutExpired):
                run_forked(["hosts", "-i", str(script)], tmp_path, environ, "", patience)
            if (tmp_path / "pid").exists():
                break
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)
    finally:
        os.close(os.open(tmp_path / "fifo", os.O_RDWR))


@pytest.mark.parametrize(
    "variables", [{"LC_ALL": "POSIX"}, {"PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_what_python_begins_with_needs_an_own_one(
    environ: dict[str, str], variables: dict[str, str]
) -> None:
    assert not can_fork({**environ, **variables}, "")
