"""``make bench``: measures every promised speed in one run and prints one table.

Every program is measured as a whole process, from outside, in interleaved rounds: what else the
machine does then hits all of them alike. After each program the hosts' files are compared with
what they should be, so that nobody is praised for failing fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.bed import Bed, running_bed
from benchmarks.child import BenchmarkError, measure
from benchmarks.contestants import Contestant, base_environ, contestants, install_rivals
from benchmarks.large_inventory import large_inventory
from benchmarks.rows import ROWS, Result, compare, table

_CHECKOUT = Path(__file__).resolve().parents[1]
_RIVALS = {"ansible", "pyinfra"}
_MANY_HOSTS = 10_000
_VALIDATE_SECONDS, _VALIDATE_MB = 3.0, 300.0
_FEW_HOSTS, _FEW_SECONDS = 50, 0.3
_VERSION_SECONDS = 0.15
_START_RUNS = 11
_NAMES = ("plan", "apply", "ansible", "pyinfra", "validate", "validate-50", "version")

Samples = dict[str, list[float]]


def measure_fleet(wanted: set[str], said: argparse.Namespace, home: Path) -> Samples:
    """Measure all contestants that the rows in ``wanted`` need; return their times by name."""
    rows = [row for row in ROWS if row.name in wanted]
    needed = {name for row in rows for name in (row.ours, row.other)}
    if needed & _RIVALS:
        install_rivals(said.environment.resolve(), _CHECKOUT / "benchmarks" / "requirements.txt")
    samples: Samples = {name: [] for name in needed}
    with running_bed(home, said.hosts) as bed:
        every = contestants(bed, said.environment.resolve())
        chosen = [item for item in every.values() if item.name in needed]
        for number in range(said.rounds + 1):
            for contestant in chosen:
                # The first round fills caches and is not counted; the slow ones can do without.
                if number == 0 and contestant.name in _RIVALS:
                    continue
                seconds = _once(contestant, bed)
                _tell(f"round {number}: {contestant.name} {seconds:.2f} s")
                if number:
                    samples[contestant.name].append(seconds)
    return samples


def _once(contestant: Contestant, bed: Bed) -> float:
    bed.put(contestant.needs)
    environ = {**base_environ(bed.directory), **contestant.environ}
    try:
        seconds = measure(contestant.argv, environ, _CHECKOUT).seconds
    finally:
        contestant.afterwards()
    bed.check(contestant.name, mode=contestant.sets_mode)
    return seconds


def measure_validate(rounds: int, home: Path) -> Result:
    """Measure ``validate`` on a large inventory: time and memory."""
    path = home / "large.yml"
    path.write_text(large_inventory(_MANY_HOSTS), encoding="utf-8")
    argv = [sys.executable, "-m", "aegis_provision", "validate", "-i", str(path)]
    runs = [measure(argv, base_environ(home), _CHECKOUT) for _ in range(rounds)]
    if f"{_MANY_HOSTS} hosts" not in runs[0].output:
        raise BenchmarkError(f"validate did not see {_MANY_HOSTS} hosts:\n{runs[0].output}")
    seconds, peak = median(run.seconds for run in runs), max(run.peak_mb for run in runs)
    return Result(
        "validate",
        f"validate, {_MANY_HOSTS} hosts",
        f"{seconds:.2f} s",
        "",
        f"{seconds:.2f} s, {peak:.0f} MB",
        f"under {_VALIDATE_SECONDS:g} s, {_VALIDATE_MB:g} MB",
        seconds < _VALIDATE_SECONDS and peak < _VALIDATE_MB,
    )


def measure_start(home: Path) -> Result:
    """Measure ``validate`` on an inventory that is checked whenever an editor saves it."""
    path = home / "small.yml"
    path.write_text(large_inventory(_FEW_HOSTS), encoding="utf-8")
    argv = [sys.executable, "-m", "aegis_provision", "validate", "-i", str(path)]
    runs = [measure(argv, base_environ(home), _CHECKOUT) for _ in range(_START_RUNS)]
    if f"{_FEW_HOSTS} hosts" not in runs[0].output:
        raise BenchmarkError(f"validate did not see {_FEW_HOSTS} hosts:\n{runs[0].output}")
    seconds = median(run.seconds for run in runs)
    return Result(
        "validate-50",
        f"validate, {_FEW_HOSTS} hosts",
        f"{seconds:.3f} s",
        "",
        f"{seconds:.3f} s",
        f"under {_FEW_SECONDS:g} s",
        seconds < _FEW_SECONDS,
    )


def measure_version(home: Path) -> Result:
    """Measure ``--version``."""
    argv = [sys.executable, "-m", "aegis_provision", "--version"]
    environ = base_environ(home)
    seconds = median(measure(argv, environ, _CHECKOUT).seconds for _ in range(_START_RUNS))
    return Result(
        "version",
        "--version",
        f"{seconds:.3f} s",
        "",
        f"{seconds:.3f} s",
        f"under {_VERSION_SECONDS:g} s",
        seconds < _VERSION_SECONDS,
    )


def main() -> int:
    """Measure, print, and return 0 only where every promise measured was kept."""
    said = _arguments()
    wanted = set(said.only or _NAMES)
    results: list[Result] = []
    samples: Samples = {}
    with tempfile.TemporaryDirectory(prefix="aegis-bench-") as name:
        home = Path(name).resolve()
        try:
            if "version" in wanted:
                results.append(measure_version(home))
            if "validate" in wanted:
                results.append(measure_validate(said.rounds, home))
            if "validate-50" in wanted:
                results.append(measure_start(home))
            if any(row.name in wanted for row in ROWS):
                samples = measure_fleet(wanted, said, home)
                results += [compare(row, samples) for row in ROWS if row.name in wanted]
        except BenchmarkError as problem:
            print(f"void: {problem}", file=sys.stderr)
            return 2
    print(
        f"\n{said.hosts} hosts on one local sshd, {said.rounds} rounds, medians of wall time; "
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}\n"
    )
    print(table(results))
    if said.json:
        document = {"results": [asdict(item) for item in results], "seconds": samples}
        said.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if all(item.kept for item in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--only", action="append", choices=_NAMES, help="only this row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--environment", type=Path, default=Path(".bench-venv"))
    parser.add_argument("--json", type=Path, help="write all measurements there, too")
    return parser.parse_args()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
