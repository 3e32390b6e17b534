"""``make bench``: measures every promised speed in one run and prints one table.

Every program is measured as a whole process, from outside, in interleaved rounds: what else the
machine does then hits all of them alike. After each program the hosts' files are compared with
what they should be, so that no program wins by failing fast. It ends within ``--minutes``: what
does not fit is told, and counts as not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.bed import Bed, running_bed
from benchmarks.child import BenchmarkError, adopt_orphans, measure
from benchmarks.contestants import (
    Contestant,
    base_environ,
    contestants,
    install_rivals,
    versions,
)
from benchmarks.offline import commands, measure_command
from benchmarks.page import panels, replace_section, section
from benchmarks.plot import render
from benchmarks.rows import FAR, HOSTS, NEAR, ROWS, Result, compare, table
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECKOUT = Path(__file__).resolve().parents[1]
_ONE_RUN_AT_LEAST = 500
"""From so many hosts on each program runs once."""

_DEFAULT_SIZES = (HOSTS, 10, 500, 2000)


@dataclass(frozen=True, slots=True)
class Course:
    """Which programs run on how many hosts, how far away, and how often."""

    hosts: int
    away: float
    names: tuple[str, ...]
    rounds: int


@dataclass(slots=True)
class Bench:
    """What was measured so far, and until when there is time."""

    environment: Path
    until: float
    samples: list[Sample] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def run(self, course: Course, home: Path) -> None:
        """Run a course in rounds, each program once in each; the first fills caches."""
        with running_bed(home, course.hosts, course.away) as bed:
            every = contestants(bed, self.environment)
            chosen = [every[name] for name in course.names or tuple(every)]
            warm_up = 1 if course.rounds > 1 else 0
            for number in range(1 - warm_up, course.rounds + 1):
                for contestant in chosen:
                    # The slow ones can do without.
                    if (number == 0 or number > 2) and contestant.slow:
                        continue
                    self._turn(contestant, bed, course, number)

    def _turn(self, contestant: Contestant, bed: Bed, course: Course, number: int) -> None:
        where = f"{contestant.name}, {course.hosts} hosts"
        if course.away:
            where += f", {course.away * 1000:.0f} ms away"
        left = self.until - time.monotonic()
        needed = self._expected(contestant.name, course)
        if needed > left:
            self.skipped.append(f"{where}, round {number}: it takes {needed:.0f} s or so")
            _tell(f"no time left for {self.skipped[-1]}")
            return
        try:
            sample = _measured(contestant, bed, course, limit=left)
        except BenchmarkError as problem:
            # Of our own programs none may fail; another one's failure is a result.
            if contestant.name in _OURS:
                raise
            self.skipped.append(f"{where}: it failed ({_last_line(problem)})")
            _tell(f"{where}: {problem}")
            return
        _tell(
            f"round {number}: {where}: {sample.seconds:.2f} s, "
            f"client {sample.client_cpu * 1000 / course.hosts:.1f} ms a host, "
            f"far side {sample.far_cpu * 1000 / course.hosts:.1f}"
        )
        if number:
            self.samples.append(sample)

    def _expected(self, name: str, course: Course) -> float:
        """Return how long a program will take, as far as earlier runs tell."""
        a_host = [item.seconds / item.hosts for item in self.samples if item.contestant == name]
        return median(a_host) * course.hosts if a_host else 0.0


def _last_line(problem: BenchmarkError) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[-1][:200]


_OURS = frozenset({"plan", "apply", "apply, unchanged"})
_FAR_NAMES = (
    *("plan", "paramiko read", "asyncssh read", "openssh read"),
    *("apply", "paramiko write", "asyncssh write", "openssh write", "pyinfra"),
)


def _measured(contestant: Contestant, bed: Bed, course: Course, limit: float) -> Sample:
    bed.put(contestant.needs)
    before, trips = bed.far_cpu(), len(bed.way.trips) if bed.way else 0
    environ = {**base_environ(bed.directory), **contestant.environ}
    run = measure(
        contestant.argv, environ, _CHECKOUT, afterwards=contestant.afterwards, limit=limit
    )
    far_cpu = bed.far_cpu() - before
    bed.check(contestant.name, mode=contestant.sets_mode)
    counted = bed.way.round_trips[trips:] if bed.way else []
    return Sample(
        contestant.name,
        course.hosts,
        course.away,
        run.seconds,
        run.cpu,
        far_cpu,
        run.peak_mb,
        round(median(counted)) if counted else 0,
    )


def main() -> int:
    """Measure, print, and return 0 only where every promise was measured and kept."""
    said = _arguments()
    began = time.monotonic()
    environment = said.environment.resolve()
    bench = Bench(environment, began + said.minutes * 60)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="aegis-bench-") as name:
        home = Path(name).resolve()
        try:
            adopt_orphans()
            if "inventories" in said.parts:
                offline = home / "offline"
                offline.mkdir()
                for command in commands(offline):
                    results.append(measure_command(command, offline, _CHECKOUT))
                    _tell(f"{results[-1].title}: {results[-1].measured}")
            if "hosts" in said.parts:
                install_rivals(environment, _CHECKOUT / "benchmarks" / "requirements.txt")
                for number, course in enumerate(_courses(said)):
                    at = home / str(number)
                    at.mkdir()
                    bench.run(course, at)
                results += [compare(row, bench.samples, said.hosts[0]) for row in ROWS]
        except BenchmarkError as problem:
            print(f"void: {problem}", file=sys.stderr)
            return 2
    facts = _facts(environment if "hosts" in said.parts else None, said)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{'; '.join(f'{name} {words}' for name, words in facts.items())}; {minutes:.0f} min\n")
    print(table(results))
    for words in bench.skipped:
        print(f"not measured: {words}")
    _save(said, bench, results, facts)
    return 0 if all(item.kept for item in results) else 1


def _courses(said: argparse.Namespace) -> list[Course]:
    names = tuple(said.only or ())
    near = [
        Course(hosts, NEAR, names, 1 if hosts >= _ONE_RUN_AT_LEAST else said.rounds)
        for hosts in said.hosts
    ]
    far_names = tuple(name for name in _FAR_NAMES if not names or name in names)
    far = [Course(said.hosts[0], FAR, far_names, said.rounds)] if far_names else []
    # What the promises are about comes first.
    return [near[0], *far, *near[1:]]


def _facts(environment: Path | None, said: argparse.Namespace) -> dict[str, str]:
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPUs ({_processor()}), {platform.system()} "
        f"{platform.release()}",
        "Python": platform.python_version(),
    }
    if environment is not None:
        found.update(versions(environment))
        found["rounds"] = f"{said.rounds} (one from {_ONE_RUN_AT_LEAST} hosts on)"
    return found


def _processor() -> str:
    if not Path("/proc/cpuinfo").exists():
        return platform.processor()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _save(
    said: argparse.Namespace, bench: Bench, results: Sequence[Result], facts: dict[str, str]
) -> None:
    if said.json:
        document = {
            "facts": facts,
            "results": [asdict(item) for item in results],
            "samples": [asdict(item) for item in bench.samples],
            "skipped": bench.skipped,
        }
        said.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if said.docs:
        plot = said.docs / "performance.svg"
        plot.write_text(render(panels(bench.samples)), encoding="utf-8")
        page = said.docs / "performance.md"
        text = section(bench.samples, results, bench.skipped, facts, plot.name)
        page.write_text(replace_section(page.read_text(encoding="utf-8"), text), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument(
        "--part",
        dest="parts",
        action="append",
        choices=("inventories", "hosts"),
        help="only this part",
    )
    parser.add_argument("--only", action="append", help="only this program, by its name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--hosts",
        type=int,
        action="append",
        help="how many hosts; the first is the one that promises are held against",
    )
    parser.add_argument("--minutes", type=float, default=90.0, help="when it must have ended")
    parser.add_argument("--environment", type=Path, default=Path(".bench-venv"))
    parser.add_argument("--json", type=Path, help="write all measurements there, too")
    parser.add_argument("--docs", type=Path, help="write performance.md and .svg in there anew")
    said = parser.parse_args()
    said.parts = said.parts or ["inventories", "hosts"]
    said.hosts = said.hosts or list(_DEFAULT_SIZES)
    return said


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
