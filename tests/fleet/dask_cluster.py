"""A real Dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.fleet.certificates import Authority

_LINE = "Scheduler at:"
_PAGES = "dashboard at:"
_MOST_PAGES = 100
_PATIENCE = 60.0


@dataclass
class DaskCluster:
    """A cluster; ``root`` holds its processes' logs, and what the workers put aside."""

    root: Path
    environ: Mapping[str, str]
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""
    _names: int = 0

    def start_scheduler(self, *options: str) -> None:
        """Start the scheduler, and wait until it says where it is."""
        log = self.root / "scheduler.log"
        self.scheduler = self._started(log, "scheduler", "--host", "127.0.0.1", *options)
        self.address = _said(log, _LINE, self.scheduler)

    def start_worker(self, *options: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a worker; that it is there is seen by who waits for it."""
        self._names += 1
        name = f"worker-{self._names}"
        directory = self.root / name
        directory.mkdir()
        process = self._started(
            self.root / f"{name}.log", "worker", self.address, "--no-nanny", "--no-dashboard",
            "--name", name, "--nthreads", "8", "--memory-limit", "64MB",
            "--local-directory", str(directory), *options, **environ,
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

    def wait_for_at_most(self, count: int) -> None:
        """Wait until the scheduler knows of no more than ``count`` workers."""
        from distributed import Client

        waiting = threading.Event()
        with Client(self.address, set_as_default=False) as client:
            for _ in range(int(_PATIENCE * 20)):
                if client.sync(client.scheduler.identity)["n_workers"] <= count:
                    return
                waiting.wait(0.05)
        raise AssertionError("workers that were killed are still known")

    @contextmanager
    def spilled(self) -> Iterator[list[bytes]]:
        """Give what the workers put aside on their disks while the block runs."""
        found: dict[str, bytes] = {}
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.002):
                for path in self.root.glob("*/*/*/storage/*"):
                    with suppress(OSError):
                        found.setdefault(path.name, path.read_bytes())

        thread = threading.Thread(target=look)
        thread.start()
        kept: list[bytes] = []
        try:
            yield kept
        finally:
            over.set()
            thread.join()
            kept.extend(found.values())

    def stop(self) -> None:
        """End all processes."""
        started = [self.scheduler] if hasattr(self, "scheduler") else []
        for process in (*self.workers, *started):
            process.kill()
            process.wait()

    def pages(self, *tasks: str) -> dict[str, bytes]:
        """Return what the scheduler shows of itself over HTTP, of ``tasks`` by key too."""
        base = _said(self.root / "scheduler.log", _PAGES, self.scheduler)
        todo = ["/info/main/workers.html", "/info/main/exceptions.html", "/json/index.html"]
        todo += [f"/info/task/{key}.html" for key in tasks]
        found: dict[str, bytes] = {}
        for path in todo:
            try:
                with urllib.request.urlopen(urljoin(base, path), timeout=_PATIENCE) as page:  # noqa: S310 - the scheduler's own
                    found[path] = page.read()
            except HTTPError as problem:
                found[path] = problem.read()
            for link in re.findall(r'href="([^"]+)"', found[path].decode()):
                whole = urljoin(path, link)
                inside = whole.startswith(("/info/", "/json/"))
                if inside and whole not in todo and len(todo) < _MOST_PAGES:
                    todo.append(whole)
        return found

    def _started(self, log: Path, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**self.environ, **environ},
                cwd=self.root,
            )


@contextmanager
def running_dask(
    root: Path, workers: Sequence[Sequence[str]], authority: Authority | None = None
) -> Iterator[DaskCluster]:
    """Run a cluster with a worker for each of ``workers``, its options, until the block ends.

    With an ``authority`` it speaks TLS, and so does Dask in this process meanwhile.
    """
    tls = {}
    if authority is not None:
        certificate = str(authority.issue("127.0.0.1"))
        tls["ca-file"] = str(authority.ca_file)
        for part in ("client", "scheduler", "worker"):
            tls |= {f"{part}.cert": certificate, f"{part}.key": certificate}
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        # All that a worker keeps is put onto its disk.
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.000001",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "false",
        "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "false",
        "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false",
        **_tls_environ(tls),
    }
    cluster = DaskCluster(root, environ)
    with ExitStack() as stack:
        if tls:
            import dask

            stack.enter_context(
                dask.config.set({f"distributed.comm.tls.{name}": tls[name] for name in tls})
            )
        stack.callback(cluster.stop)
        protocol = ("--protocol", "tls") if tls else ()
        cluster.start_scheduler("--port", "0", "--dashboard-address", "127.0.0.1:0", *protocol)
        for options in workers:
            cluster.start_worker(*options)
        cluster.wait_for(len(workers))
        yield cluster


def _tls_environ(settings: Mapping[str, str]) -> dict[str, str]:
    """Return Dask's settings of TLS as environment variables."""
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    return {
        prefix + name.upper().replace(".", "__").replace("-", "_"): value
        for name, value in settings.items()
    }


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
