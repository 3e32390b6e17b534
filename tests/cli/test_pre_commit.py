"""The hook, called as pre-commit calls it: its entry, the operator's args, and no file names."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fleet.operator import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "all: {vars: {provider: glm}, hosts: {a: }}\n"
BAD = "all: {vars: {provider: gml}, hosts: {a: }}\n"


def hook() -> Any:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    return found


def called(directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    program, *rest = shlex.split(hook()["entry"])
    assert program == "aegis-provision"
    return subprocess.run(
        [sys.executable, "-m", "aegis_provision", *rest, *args],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_what_pre_commit_has_to_know() -> None:
    found = hook()
    assert {"id", "name", "entry", "language"} <= found.keys()
    assert found["language"] == "python", "pre-commit installs the package by itself"
    assert found["pass_filenames"] is False, "a file alone is no inventory"


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (BAD, 3)])
def test_it_checks_the_inventory_that_is_there(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "inventory.yml").write_text(text)
    assert called(tmp_path).returncode == code


def test_it_checks_what_its_args_name(tmp_path: Path) -> None:
    (tmp_path / "fleet.yml").write_text(GOOD)
    (tmp_path / "rollout.yml").write_text("- {name: all of them, hosts: b}\n")
    assert called(tmp_path, "-i", "fleet.yml").returncode == 0
    wrong = called(tmp_path, "-i", "fleet.yml", "rollout.yml")
    assert wrong.returncode == 3
    assert "rollout.yml:1" in wrong.stderr
