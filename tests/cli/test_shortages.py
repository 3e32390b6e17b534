"""Where this machine lacks memory, files or threads, that is told, and not as a bug of ours."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run
from aegis_provision.report import hosts_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHORTAGES = [
    (MemoryError(), "this machine has no memory left"),
    (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "this machine has no memory left"),
    (ImportError("/x/_ssl.so: failed to map segment from shared object"), "no memory left"),
    (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many files are open here"),
    (ImportError("libx.so: cannot open shared object file: Error 24"), "too many files"),
    (RuntimeError("can't start new thread"), "starts no further thread or process"),
]


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], int]:
    """Run a command in which something raises; return its exit code."""

    def run_failing(problem: Exception) -> int:
        def fail(*_: object, **__: object) -> None:
            raise problem

        inventory = tmp_path / "inventory.yml"
        inventory.write_text("all: {vars: {provider: glm}, hosts: {h: }}\n")
        monkeypatch.setattr(hosts_report, "list_lines", fail)
        return run(["hosts", "-i", str(inventory)], {})

    return run_failing


@pytest.mark.parametrize(("problem", "told"), SHORTAGES)
def test_a_shortage_is_told_as_one(
    problem: Exception,
    told: str,
    failing: Callable[[Exception], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert failing(problem) == 1
    err = capsys.readouterr().err
    assert told in err.splitlines()[0]
    assert "--limit" in err
    assert "bug" not in err


@pytest.mark.parametrize("problem", [RuntimeError("x"), ImportError("no x"), OSError(errno.EPERM)])
def test_all_else_is_a_bug(
    problem: Exception,
    failing: Callable[[Exception], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert failing(problem) == 1
    assert "internal error" in capsys.readouterr().err
