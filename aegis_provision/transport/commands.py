"""Commands on a host, run by /bin/sh: bounded in time and in how much output is kept.

How they run on this machine; :mod:`~aegis_provision.transport.ssh.commands` runs them over SSH.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import field
from typing import IO, TYPE_CHECKING, Protocol, cast

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.errors import Unreachable
from aegis_provision.transport.become import LET_IT_RUN, quoted
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.open_files import with_own_limit
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.transport.deadline import Deadline

STEP = "command"
"""What errors call the step in which a command runs."""

LARGEST_OUTPUT = 2 * 1024 * 1024
"""How many bytes of a command's output are kept."""

CHUNK = 32 * 1024

POLL_INTERVAL = 0.25
"""Seconds after which :meth:`RunningCommand.receive` returns without output."""

_OUTPUT_AFTER_EXIT = 1.0


class NoCommands(Unreachable):
    """The host runs no commands for this login, or others than it is asked to; nothing ran."""

    def __init__(self, output: str) -> None:
        """Keep what came instead."""
        super().__init__(STEP, f"{NO_COMMANDS}{quoted(output)}", LET_IT_RUN)


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """How a command ended.

    ``status`` is ``None`` if it did not end in time, and negative if a signal ended it. ``output``
    is standard output and standard error in one; it may hold secrets.
    """

    status: int | None
    output: bytes = field(repr=False)


class RunningCommand(Protocol):
    """A command that runs."""

    def receive(self) -> bytes | None:
        """Return some output, ``b""`` at its end, ``None`` if none came for a while."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for the command to end, ``seconds`` at most; tell whether it has."""
        ...


def collect_output(command: RunningCommand, deadline: Deadline) -> tuple[bool, bytes]:
    """Return whether ``command`` ended in time, and its output.

    A command that leaves a child behind with its output open has ended all the same.
    """
    output = bytearray()
    output_until: float | None = None
    while (data := command.receive()) != b"":
        if data is not None:
            output += data[: max(0, LARGEST_OUTPUT - len(output))]
        if output_until is None:
            # It may have ended after the last look for output, which may just have come.
            if command.wait(0):
                output_until = time.monotonic() + _OUTPUT_AFTER_EXIT
        elif data is None or time.monotonic() > output_until:
            return True, bytes(output)
        if deadline.remaining() <= 0:
            return False, bytes(output)
    return command.wait(max(POLL_INTERVAL, deadline.remaining())), bytes(output)


def run_here(command: str, home: Path, deadline: Deadline, stdin: bytes = b"") -> CompletedCommand:
    """Run ``command`` on this machine, without the operator's environment.

    If it does not end in time, its whole process group is killed. Raises :class:`Unreachable` if
    it can't be started. ``stdin`` is short: it is put into a pipe at once.
    """
    with map_errors(STEP):
        process = subprocess.Popen(
            with_own_limit(["/bin/sh", "-c", command]),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={
                "PATH": f"{os.defpath}:/usr/local/bin:/usr/sbin:/sbin",
                "HOME": str(home),
                "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
            },
            start_new_session=True,
        )
        stream = cast("IO[bytes]", process.stdout)
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(stdin)
    ended = False
    try:
        ended, output = collect_output(_LocalCommand(process, stream.fileno()), deadline)
    finally:
        if not ended:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stream.close()
    return CompletedCommand(process.returncode if ended else None, output)


@dataclass(frozen=True, slots=True)
class _LocalCommand:
    process: subprocess.Popen[bytes]
    stream: int

    def receive(self) -> bytes | None:
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        return os.read(self.stream, CHUNK) if poll.poll(1000 * POLL_INTERVAL) else None

    def wait(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None
