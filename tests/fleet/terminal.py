"""A terminal with a program on it, for what only happens on one."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_PATIENCE = 60.0


@dataclass(slots=True)
class Terminal:
    """A terminal with a program on it; ``seen`` is all that was printed so far."""

    descriptor: int
    program: subprocess.Popen[bytes]
    seen: str = ""

    def read_until(self, words: str) -> None:
        """Read on until ``words`` were seen."""
        while words not in self.seen:
            assert self._read(), f"it ended before it said {words!r}:\n{self.seen}"

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.descriptor, keys)

    def end(self) -> int:
        """Read all the rest; return the exit code."""
        while self._read():
            pass
        return self.program.wait(_PATIENCE)

    def _read(self) -> bool:
        until = time.monotonic() + _PATIENCE
        ready, _, _ = select.select([self.descriptor], [], [], max(0, until - time.monotonic()))
        assert ready, f"nothing more came:\n{self.seen}"
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def running_on_terminal(
    argv: Sequence[str],
    directory: Path,
    environ: Mapping[str, str],
    *,
    columns: int = 80,
    rows: int = 50,
    stderr: int | None = None,
) -> Iterator[Terminal]:
    """Run ``argv`` in ``directory`` on a terminal of its own; afterwards it is killed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(
        argv,
        cwd=directory,
        env=environ,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if stderr is None else stderr,
    ) as program:
        os.close(theirs)
        try:
            yield Terminal(ours, program)
        finally:
            program.kill()
            os.close(ours)
