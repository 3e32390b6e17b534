"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LINE = "Scheduler at:"
_PATIENCE = 60.0


@dataclass
class DaskCluster:
    """A cluster; ``root`` holds its processes' logs, and what the workers put aside."""

    root: Path
    environ: Mapping[str, str]
    options: Sequence[str] = ()
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""
    _names: int = 0

    def start_scheduler(self, *options: str) -> None:
        """Start the scheduler, and wait until it says where it is."""
        log = self.root / "scheduler.log"
        self.scheduler = self._started(log, "scheduler", "--host", "127.0.0.1", *options)
        self.address = _said(log, _LINE, self.scheduler)

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; that it is there is seen by who waits for it."""
        self._names += 1
        name = f"worker-{self._names}"
        directory = self.root / name
        directory.mkdir()
        process = self._started(
            self.root / f"{name}.log", "worker", self.address, "--no-nanny", "--no-dashboard",
            "--name", name, "--nthreads", "8", "--local-directory", str(directory), *options,
        )  # fmt: skip
        self.workers.append(process)
        return process

    @property
    def pids(self) -> tuple[int, ...]:
        """The workers that live."""
        return tuple(worker.pid for worker in self.workers if worker.poll() is None)

    def wait_for(self, count: int) -> None:
        """Wait until ``count`` workers have come."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=_PATIENCE)

    def stop(self) -> None:
        """End all processes."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _started(self, log: Path, *command: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(self.environ),
                cwd=self.root,
            )


@contextmanager
def running_dask(root: Path, workers: Sequence[Sequence[str]]) -> Iterator[DaskCluster]:
    """Run a cluster with a worker for each of ``workers``, its options, until the block ends."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        # All that a worker keeps is put onto its disk.
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.000001",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "0.000001",
    }
    cluster = DaskCluster(root, environ)
    try:
        cluster.start_scheduler("--port", "0", "--dashboard-address", "127.0.0.1:0")
        for options in workers:
            cluster.start_worker(*options)
        cluster.wait_for(len(workers))
        yield cluster
    finally:
        cluster.stop()


def memory_holds(pid: int, *wanted: bytes) -> list[bytes]:
    """Return which of ``wanted`` are anywhere in the memory of a process."""
    found: set[bytes] = set()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in where.split("-"))
            with suppress(OSError, ValueError):
                memory.seek(start)
                data = memory.read(end - start)
                found.update(item for item in wanted if item in data)
    return [item for item in wanted if item in found]


def _said(log: Path, line: str, process: subprocess.Popen[bytes]) -> str:
    """Return what follows ``line`` in a log once it is there."""
    waiting = threading.Event()
    for _ in range(int(_PATIENCE * 20)):
        for text in log.read_text().splitlines():
            if line in text:
                return text.rpartition(line)[2].strip()
        assert process.poll() is None, log.read_text()
        waiting.wait(0.05)
    raise AssertionError(log.read_text())
