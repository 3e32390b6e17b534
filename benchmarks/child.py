"""Runs a program as a whole process and measures it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class BenchmarkError(Exception):
    """A measurement is void: a program failed, or did not do what was measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall time in seconds, peak resident memory in MB, and what the program printed."""

    seconds: float
    peak_mb: float
    output: str


def measure(argv: Sequence[str], environ: Mapping[str, str], directory: Path) -> Measured:
    """Run ``argv`` in ``directory`` to its end. Raises :class:`BenchmarkError` if it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            argv,
            env=dict(environ),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise BenchmarkError(f"{' '.join(argv)}\nended with {child.returncode}:\n{text[-4000:]}")
    # The kernel counts in kilobytes, macOS in bytes (getrusage(2)).
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Measured(seconds, usage.ru_maxrss / unit, text)
