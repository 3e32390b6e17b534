"""Runs the commands of ``Match exec`` as OpenSSH's client does (its ``execute_in_shell``)."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.transport.open_files import SHORT_HERE, raise_shortage, with_own_limit
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SHELL = "/bin/sh"
_PAUSE = 0.1


class MatchCommandError(Exception):
    """A command that gave no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class MatchCommands:
    """The commands that were run so far: each runs once, also if many hosts ask at once.

    They run in the operator's shell with the operator's environment, without input, and what they
    write goes nowhere. ``timeout`` bounds each (seconds).
    """

    environ: Mapping[str, str] = field(repr=False)
    timeout: float
    _results: dict[str, bool | str] = field(default_factory=dict)
    _running: dict[str, threading.Lock] = field(default_factory=dict)

    def succeeds(self, command: str) -> bool:
        """Tell whether ``command`` ends with status 0. Raises :class:`MatchCommandError`."""
        with self._running.setdefault(command, threading.Lock()):
            if command not in self._results:
                self._results[command] = self._run(command)
        result = self._results[command]
        if isinstance(result, str):
            raise MatchCommandError(result)
        return result

    def _run(self, command: str) -> bool | str:
        shell = self.environ.get("SHELL", DEFAULT_SHELL)
        try:
            process = self._start(shell, command)
        except (OSError, ValueError) as problem:
            if isinstance(problem, OSError):
                raise_shortage(problem)
            return f"the shell {shell} can't be run: {getattr(problem, 'strerror', '') or problem}"
        try:
            status = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"it did not end within {self.timeout:g} s"
        if status < 0:
            return f"signal {-status} ended it"
        return status == 0

    def _start(self, shell: str, command: str) -> subprocess.Popen[bytes]:
        """Start ``command`` once this machine has the files and the memory for it."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                return subprocess.Popen(
                    with_own_limit([shell, "-c", command]),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=dict(self.environ),
                    start_new_session=True,
                )
            except OSError as problem:
                if problem.errno not in SHORT_HERE or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE)
