"""--executor, --scheduler and --workers: what does not go together is told before all else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

HERE = "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--executor", "dask"], ExitCode.USAGE, "--executor dask needs --scheduler ADDRESS"),
        (["--scheduler", HERE], ExitCode.USAGE, "--scheduler goes with --executor dask"),
        (
            ["--executor", "dask", "--scheduler", HERE, "--workers", "2"],
            ExitCode.USAGE,
            "on this machine",
        ),
        (["--executor", "slurm"], ExitCode.USAGE, "'slurm' is not one of 'local', 'dask'"),
        (
            ["--executor", "dask", "--scheduler", "tcp://10.0.0.5:8786"],
            ExitCode.INVALID_INPUT,
            "--scheduler: tcp://10.0.0.5:8786 is neither encrypted nor on this machine",
        ),
    ],
    ids=["no scheduler", "no executor", "two kinds of workers", "unknown", "not encrypted"],
)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_what_does_not_go_together(
    operator: Operator, command: str, flags: list[str], code: int, words: str
) -> None:
    result = operator.call(command, *flags)
    assert (result.code, result.out) == (code, "")
    assert words in " ".join(result.err.split())


@pytest.mark.parametrize("missing", ["distributed", "nacl"])
def test_what_is_not_installed_is_named_with_what_to_do(operator: Operator, missing: str) -> None:
    # Another process: modules that are loaded twice would be two in the tests that follow.
    (operator.root / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('not here', name={missing!r})\n", encoding="utf-8"
    )
    path = os.pathsep.join([str(operator.root), operator.environ["PYTHONPATH"]])
    flags = ("--executor", "dask", "--scheduler", HERE)
    result = operator.run("plan", *flags, own_python=True, PYTHONPATH=path)
    assert result.code == ExitCode.USAGE
    assert f"--executor dask needs {missing}, which is not installed" in result.err
    assert "pip install 'aegis-provision[dask]'" in result.err
