"""``python -m benchmarks.scale``: what a host costs this side, for few hosts and many.

The far side is one sshd of this machine, and all hosts are directories behind it, each at an
address of its own (127.0.0.0/8), as hosts have; its CPU is not counted. Only the program's own
process is measured, from outside: CPU (``getrusage``), peak memory, and the most threads and open
files that were seen at once.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bed import running_bed
from benchmarks.child import BenchmarkError
from benchmarks.contestants import base_environ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.bed import Bed

_CHECKOUT = Path(__file__).resolve().parents[1]
_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost: seconds, MB, and the most threads and files at once."""

    wall: float
    cpu: float
    peak_mb: float
    threads: int
    files: int


def measure(argv: Sequence[str], environ: Mapping[str, str], files: int | None) -> Cost:
    """Run ``argv``, with ``files`` as its hard limit of open files."""

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            argv,
            env=dict(environ),
            cwd=_CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=limit,  # noqa: PLW1509 - this process has one thread
        )
        threads = opened = 0
        while True:
            threads = max(threads, _entries(child.pid, "task"))
            opened = max(opened, _entries(child.pid, "fd"))
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_LOOK_EVERY)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise BenchmarkError(f"{' '.join(argv)}\nended with {child.returncode}:\n{text[-4000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss / 1024, threads, opened)


def _entries(pid: int, name: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/{name}"))  # noqa: PTH208 - no more than counted
    except OSError:
        return 0


def _argv(bed: Bed, verb: str, forks: int) -> list[str]:
    return [
        *(sys.executable, "-m", "aegis_provision", verb, "-i", str(bed.inventory)),
        *("--ssh-config", "none", "--known-hosts", str(bed.known_hosts)),
        *("--forks", str(forks), "--yes" if verb == "apply" else "--detailed-exitcode"),
    ]


def main() -> None:
    """Measure and print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--forks", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--verbs", nargs="+", default=["plan", "apply"])
    parser.add_argument("--files", type=int, help="the program's limit of open files")
    said = parser.parse_args()
    print("verb   hosts forks   CPU/host    wall   peak   threads files")
    for hosts in said.hosts:
        with (
            tempfile.TemporaryDirectory(prefix="scale-") as home,
            running_bed(Path(home), hosts) as bed,
        ):
            environ = {**base_environ(bed.directory), **bed.variables}
            for verb in said.verbs:
                for forks in said.forks:
                    bed.put("right" if verb == "plan" else "changed")
                    cost = measure(_argv(bed, verb, forks), environ, said.files)
                    bed.check(verb, mode=False)
                    print(
                        f"{verb:6} {hosts:5} {forks:5} {1000 * cost.cpu / hosts:7.1f} ms"
                        f" {cost.wall:7.1f} s {cost.peak_mb:5.0f} MB {cost.threads:6}"
                        f" {cost.files:6}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
