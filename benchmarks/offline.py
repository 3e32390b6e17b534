"""What needs no hosts: starting, and large inventories."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.child import BenchmarkError, measure
from benchmarks.contestants import base_environ
from benchmarks.large_inventory import large_inventory, write_fleet
from benchmarks.rows import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_RACKS = 10
_MANY = "100000 hosts"
_HOST = "r0000-050.example.com"
_PROGRAM = (sys.executable, "-m", "aegis_provision")


@dataclass(frozen=True, slots=True)
class Command:
    """A command on its own, and what is promised of it: seconds of CPU, and MB.

    ``says`` is what it must print.
    """

    name: str
    title: str
    argv: Sequence[str]
    says: str
    seconds: float
    megabytes: float = 0.0
    environ: Mapping[str, str] | None = None
    runs: int = 3


def commands(home: Path) -> list[Command]:
    """Lay out inventories in ``home`` and return the commands to measure."""
    few, written = home / "few.yml", home / "written.yml"
    few.write_text(large_inventory(50), encoding="utf-8")
    written.write_text(large_inventory(10_000), encoding="utf-8")
    fleet = str(write_fleet(home / "fleet", _RACKS))
    line = f"aegis-provision hosts -i {fleet} --host r0000-05"
    completing = {
        "_AEGIS_PROVISION_COMPLETE": "bash_complete",
        "_AEGIS_PROVISION_LINE": line,
    }
    pin = ("pin", _HOST, "glm", "--dry-run", "-i", fleet)
    return [
        Command("version", "--version", ("--version",), "aegis-provision", 0.15, runs=11),
        Command(
            "validate-50", "validate, 50 hosts", ("validate", "-i", str(few)), "50 hosts", 0.3,
            runs=11,
        ),
        Command(
            "validate-10k", "validate, 10,000 hosts written out",
            ("validate", "-i", str(written)), "10000 hosts", 3.0, 300,
        ),
        Command("validate", "validate, 100,000 hosts", ("validate", "-i", fleet), _MANY, 3.0, 200),
        Command(
            "graph", "hosts --graph, 100,000 hosts", ("hosts", "--graph", "-i", fleet), _MANY, 3.0,
            200,
        ),
        Command("pin", "pin, 100,000 hosts", pin, f"+                {_HOST}", 2.5),
        Command(
            "complete", "completion, 100,000 hosts", (), _HOST, 0.15, environ=completing, runs=11
        ),
    ]  # fmt: skip


def measure_command(command: Command, home: Path, directory: Path) -> Result:
    """Run a command several times; its median is held against the promise."""
    environ = {**base_environ(home), **(command.environ or {})}
    argv = (*_PROGRAM, *command.argv)
    if command.environ is not None:
        _fill_cache(argv, environ, home, directory)
    runs = [measure(argv, environ, directory) for _ in range(command.runs)]
    if command.says not in runs[0].output:
        raise BenchmarkError(f"{command.title} did not say {command.says}:\n{runs[0].output[:500]}")
    cpu, peak = median(run.cpu for run in runs), max(run.peak_mb for run in runs)
    measured, promised = f"{cpu:.3f} s CPU", f"under {command.seconds:g} s"
    if command.megabytes:
        measured, promised = f"{measured}, {peak:.0f} MB", f"{promised}, {command.megabytes:g} MB"
    kept = cpu < command.seconds and (not command.megabytes or peak < command.megabytes)
    wall = median(run.seconds for run in runs)
    return Result(command.name, command.title, f"{wall:.2f} s", "", measured, promised, kept)


def _fill_cache(
    argv: Sequence[str], environ: Mapping[str, str], home: Path, directory: Path
) -> None:
    """Complete once, when the inventory's files are old enough to be trusted."""
    newest = max(path.stat().st_ctime for path in home.rglob("*"))
    time.sleep(max(0.0, newest + 2.5 - time.time()))
    measure(argv, environ, directory)
    if not any((home / ".cache").rglob("completion-*.json")):
        raise BenchmarkError(f"completion kept nothing under {os.fspath(home)}")
