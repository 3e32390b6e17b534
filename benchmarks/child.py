"""Runs a program as a whole process and measures it from outside, with all that it starts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A measurement is void: a program failed, or did not do what was measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds by the clock and of CPU, peak resident memory in MB, and what the program printed."""

    seconds: float
    cpu: float
    peak_mb: float
    output: str


def adopt_orphans() -> None:
    """Let this process be the parent of what its children leave behind (prctl(2)).

    Ansible's ssh goes on in the background: its CPU is a part of what Ansible costs. Raises
    :class:`BenchmarkError` where there is no such thing.
    """
    if sys.platform != "linux":
        raise BenchmarkError("CPU of both sides is told apart on Linux alone: measure there")
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(
    argv: Sequence[str],
    environ: Mapping[str, str],
    directory: Path,
    *,
    afterwards: Callable[[], None] = lambda: None,
    limit: float | None = None,
) -> Measured:
    """Run ``argv`` in ``directory`` to its end, then ``afterwards``, which ends what it left.

    Raises :class:`BenchmarkError` if it fails, or takes longer than ``limit`` seconds.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            argv,
            env=dict(environ),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with _killed_at(child, limit) as late:
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        afterwards()
        cpu = usage.ru_utime + usage.ru_stime + _cpu_of_orphans()
        output.seek(0)
        text = output.read()
    if late.is_set():
        raise BenchmarkError(f"{' '.join(argv)}\ntook longer than {limit:.0f} s")
    if child.returncode:
        raise BenchmarkError(f"{' '.join(argv)}\nended with {child.returncode}:\n{text[-4000:]}")
    return Measured(seconds, cpu, usage.ru_maxrss / 1024, text)


@contextmanager
def _killed_at(child: subprocess.Popen[bytes], limit: float | None) -> Iterator[threading.Event]:
    """End ``child`` and all in its session after ``limit`` seconds, and set the event then."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(limit or 0.0, end)
    if limit is not None:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _cpu_of_orphans() -> float:
    """Return the CPU of what was left to this process and has ended, and reap it."""
    spent = 0.0
    until = time.monotonic() + 10.0
    mine = {int(name) for name in _children() if _is_orphan(name)}
    while mine and time.monotonic() < until:
        for pid in list(mine):
            with suppress(ChildProcessError):
                reaped, _, usage = os.wait4(pid, os.WNOHANG)
                if not reaped:
                    continue
                spent += usage.ru_utime + usage.ru_stime
            mine.discard(pid)
        time.sleep(0.01)
    return spent


def _children() -> list[str]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:  # noqa: PTH123
            return stream.read().split()
    except OSError:
        return []


def _is_orphan(pid: str) -> bool:
    """Tell whether a child is no server that the benchmark runs, but ssh that was left behind."""
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as stream:  # noqa: PTH123
            return stream.read().strip() == "ssh"
    except OSError:
        return False


def cpu_of_server(pid: int) -> float:
    """Return the CPU that a server has used, its children that have ended included (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stream:  # noqa: PTH123
        fields = stream.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def wait_for_children(pid: int, patience: float = 30.0) -> None:
    """Wait until a server has no children left: only then their CPU is counted."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:  # noqa: PTH123
            if not stream.read().split():
                return
        time.sleep(0.02)
    raise BenchmarkError(f"connections were still open after {patience:.0f} s")
