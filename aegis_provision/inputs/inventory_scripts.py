"""Runs an inventory script as Ansible does, within bounds of time and size."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error, note
from aegis_provision.documents.json_reader import read_json
from aegis_provision.documents.nodes import Source
from aegis_provision.documents.quoting import may_quote
from aegis_provision.documents.secret_detection import is_plain_setting, is_secret_name
from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.inventory.addresses import is_address
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.script_output import hosts_to_ask
from aegis_provision.providers.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LONGEST = 60.0
"""How many seconds a script has for ``--list``, and for all of its ``--host`` together."""

MOST_ASKED = 200
"""How many hosts a script is asked for one by one, where ``--list`` prints no ``_meta``."""

_TOO_LONG = f"is not done after {LONGEST:.0f} seconds, and was ended"
_GLANCE = 0.2
_MOST_ERRORS = 64 * 1024
_PIECE = 64 * 1024
_FIRST_LINES, _LAST_LINES = 3, 2
_LONGEST_LINE = 200
_SHORTEST_SECRET = 6


def run_script(
    path: Path, rank: int, environ: Mapping[str, str]
) -> tuple[tuple[InputFile, ...], tuple[Diagnostic, ...]]:
    """Run the script at ``path`` with ``--list``, and ``--host NAME`` where that has no ``_meta``.

    It runs once, in the directory of the operator and with their environment, without a terminal.
    Returns what it printed, or why there is nothing: it can't be run, fails, takes longer than
    :data:`LONGEST`, or prints too much. What it says on its standard error is told, less what may
    be a secret.
    """
    data, found = _run(path, ["--list"], environ, time.monotonic() + LONGEST)
    if data is None:
        return (), found
    files = [InputFile("inventory", "", str(path), data, rank, printed=True)]
    diagnostics = [*found]
    output, _ = read_json(str(path), data)  # what is wrong with it is told by who loads it
    hosts = hosts_to_ask(output) if output is not None else ()
    if len(hosts) > MOST_ASKED:
        words = f"{path} lists {len(hosts)} hosts without their variables"
        hint = 'let --list print them too, under "_meta": {"hostvars": {...}} (empty will do)'
        return (), (*diagnostics, error("script", words, hint=hint))
    until = time.monotonic() + LONGEST
    for host in filter(is_address, hosts):
        data, found = _run(path, ["--host", host], environ, until)
        diagnostics.extend(found)
        if data is None:
            break  # the others would most likely fail alike, one by one
        name = f"{path} --host {host}"
        files.append(InputFile("host_vars", host, name, data, rank, printed=True))
    return tuple(files), tuple(diagnostics)


def _run(
    path: Path, arguments: Sequence[str], environ: Mapping[str, str], until: float
) -> tuple[bytes | None, tuple[Diagnostic, ...]]:
    """Return what one call printed, ``None`` where it failed, and what is worth telling."""
    command = f"{path} {' '.join(arguments)}"
    try:
        # Its own session: it can be ended with all that it started, and has no terminal to ask for
        # a password on.
        process = subprocess.Popen(
            [str(path.absolute()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        words = f"the inventory {path} is executable and can't be run: {reason}"
        hint = "begin it with '#!' and its interpreter, or 'chmod -x' it if it is YAML"
        return None, (error("script", words, hint=hint),)
    with process:
        pipes = _Pipes(process)
        try:
            problem_words = pipes.drain(until)
        except BaseException:
            _end(process)
            raise
        if problem_words is not None:
            _end(process)
    stderr = _quoted(bytes(pipes.errors), environ)
    if problem_words is None and process.returncode == 0:
        notes = (note("script", f"{command} says: {stderr}"),) if stderr else ()
        return bytes(pipes.output), notes
    words = problem_words or _ending(process.returncode)
    words += f"; it says: {stderr}" if stderr else ""
    hint = f"run it by hand and correct it: {command}"
    return None, (error("script", f"{command} {words}", hint=hint),)


def _ending(code: int) -> str:
    if code > 0:
        return f"failed with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the script and all that it started; not waited for yet, it still has its id."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Pipes:
    """Takes in what a process prints, as far as it is wanted."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._process = process

    def drain(self, until: float) -> str | None:
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
                    return _TOO_LONG
                ready = waiting.select(min(left, _GLANCE))
                if not ready and self._has_ended():
                    break  # what it left running may keep the streams open for ever
                for key, _ in ready:
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        waiting.unregister(key.fileobj)
                    elif key.data is self.output:
                        self.output += piece
                        if len(self.output) > LARGEST_FILE:
                            limit = f"{LARGEST_FILE // 1024 // 1024} MiB"
                            return f"prints more than {limit}, and was ended"
                    else:
                        self.errors += piece[: _MOST_ERRORS - len(self.errors)]
        try:
            self._process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return _TOO_LONG
        return None

    def _has_ended(self) -> bool:
        """Tell whether the script itself is over, without letting go of its id."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None


def _quoted(errors: bytes, environ: Mapping[str, str]) -> str:
    """Return the first and last lines of ``errors``; where one may hold a secret it is left out."""
    source = Source("stderr", errors.decode("utf-8", errors="replace").replace("\r", "\n"))
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
            line = "(a line that may hold a secret)"
        elif redactor.finds(line):
            line = "(a line that holds a secret)"
        shown.append(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}...")
    return " | ".join(shown)
