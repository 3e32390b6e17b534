"""Runs a program for what it prints, within bounds of time and size."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.documents.nodes import Source
from aegis_provision.documents.quoting import may_quote
from aegis_provision.documents.secret_detection import is_plain_setting, is_secret_name
from aegis_provision.providers.redaction import Redactor
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LEFT_OUT = "(a line that may hold a secret)"
"""What stands for a line of a program's that is not repeated."""

_GLANCE = 0.2
_MOST_ERRORS = 64 * 1024
_PIECE = 64 * 1024
_FIRST_LINES, _LAST_LINES = 3, 2
_LONGEST_LINE = 200
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program printed, and how it ended.

    ``problem`` says in words what went wrong (``failed with exit code 2``), and is empty where
    nothing did. ``errors`` is what may be repeated of its standard error, on one line;
    ``complaints`` is all of that, which may hold a secret.
    """

    output: bytes = field(repr=False)
    errors: str
    problem: str
    complaints: str = field(default="", repr=False)


def run_bounded(
    command: Sequence[str],
    environ: Mapping[str, str],
    seconds: float,
    until: float,
    most: int,
    shorten: Callable[[str], str] = str,
) -> Finished:
    """Run ``command`` and return what it printed.

    It is ended at ``until`` (of the monotonic clock; ``seconds`` is for the words), or where it
    prints more than ``most`` bytes. It runs in the directory of the operator, without a terminal.
    ``shorten`` leaves out what is not to be told of its standard error.
    Raises :class:`OSError` and :class:`ValueError` where it can't be started.
    """
    # Its own session: it can be ended with all that it started, and has no terminal to ask for
    # a password on.
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        start_new_session=True,
    )
    with process:
        pipes = _Pipes(process, most)
        try:
            problem = pipes.drain(until)
        except BaseException:
            _end(process)
            raise
        if problem is _LATE:
            problem = f"is not done after {seconds:.0f} seconds, and was ended"
        if problem:
            _end(process)
    errors = readable_errors(bytes(pipes.errors), environ, shorten)
    return Finished(
        bytes(pipes.output),
        errors,
        problem or _ending(process.returncode),
        pipes.errors.decode("utf-8", errors="replace"),
    )


def readable_errors(
    errors: bytes, environ: Mapping[str, str], shorten: Callable[[str], str] = str
) -> str:
    """Return the first and last lines of ``errors``; where one may hold a secret it is left out."""
    text = errors.decode("utf-8", errors="replace").replace("\r", "\n")
    source = Source("stderr", shorten(text))
    redactor = Redactor.of(
        value
        for name, value in environ.items()
        if is_secret_name(name) and len(value) >= _SHORTEST_SECRET and not is_plain_setting(value)
    )
    lines = source.text.split("\n")
    numbers = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if len(numbers) > _FIRST_LINES + _LAST_LINES:
        numbers = [*numbers[:_FIRST_LINES], 0, *numbers[-_LAST_LINES:]]
    shown = []
    for number in numbers:
        line = lines[number - 1].strip() if number else "..."
        if number and not may_quote(source, number):
            line = _LEFT_OUT
        elif redactor.finds(line):
            line = "(a line that holds a secret)"
        shown.append(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}...")
    return " | ".join(shown)


def _ending(code: int) -> str:
    if code == 0:
        return ""
    if code > 0:
        return f"failed with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all that it started; not waited for yet, it still has its id."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_LATE = "late"


class _Pipes:
    """Takes in what a process prints, as far as it is wanted."""

    def __init__(self, process: subprocess.Popen[bytes], most: int) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._process = process
        self._most = most

    def drain(self, until: float) -> str:
        """Read both streams to their end; return what stood in the way, if anything did."""
        with selectors.DefaultSelector() as waiting:
            for stream, buffer in (
                (self._process.stdout, self.output),
                (self._process.stderr, self.errors),
            ):
                if stream is not None:
                    os.set_blocking(stream.fileno(), False)
                    waiting.register(stream, selectors.EVENT_READ, buffer)
            while waiting.get_map():
                left = until - time.monotonic()
                if left <= 0:
                    return _LATE
                ready = waiting.select(min(left, _GLANCE))
                if not ready and self._has_ended():
                    break  # what it left running may keep the streams open for ever
                for key, _ in ready:
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        waiting.unregister(key.fileobj)
                    elif key.data is self.output:
                        self.output += piece
                        if len(self.output) > self._most:
                            return (
                                f"prints more than {self._most // 1024 // 1024} MiB, and was ended"
                            )
                    else:
                        self.errors += piece[: _MOST_ERRORS - len(self.errors)]
        try:
            self._process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return _LATE
        return ""

    def _has_ended(self) -> bool:
        """Tell whether the program itself is over, without letting go of its id."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None
