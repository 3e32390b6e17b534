"""The program as tests start it: as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.fleet.fork_server import can_fork, run_forked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAM = (sys.executable, "-W", "error", "-m", "aegis_provision")


def run_program(
    args: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    stdin: str = "",
    *,
    timeout: float = 120,
    own_python: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end, in a process that is forked, which is quicker.

    It has an ``own_python`` where the test wants one, or the environment says how one begins.
    """
    if not own_python and can_fork(environ, stdin):
        return run_forked(args, cwd, environ, stdin, timeout)
    return subprocess.run(
        [*PROGRAM, *args],
        cwd=cwd,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
