"""The first connection of a way: over TCP, or by a ProxyCommand (ssh_config(5)).

A ProxyCommand runs as OpenSSH's client runs it (its ``ssh_proxy_connect``): ``exec`` of it in the
operator's shell, in the operator's environment, its input and output the connection. It has no
terminal: 32 of them can't ask their questions there. It ends with the connection, and so does
what it has started; what it says on stderr is told only if no connection comes of it.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.humanize import escape_control
from aegis_provision.transport.errors import NO_TIME, map_errors
from aegis_provision.transport.open_files import SHORT_HERE, with_own_limit
from aegis_provision.transport.ssh.match_commands import DEFAULT_SHELL
from aegis_provision.transport.ssh.version_exchange import say_version
from aegis_provision.transport.tcp import BufferedSocket, dial

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_STEP = "connect"
_BY_HAND = "run the ProxyCommand of your ssh config by hand, in a shell"
_MOST_SAID = 4096
_MOST_SHOWN = 400
_TIME_TO_SPEAK = 0.5
_TIME_TO_END = 1.0
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02)
_MILLISECONDS = 1000


def connect_hop(hop: Hop, options: ConnectOptions, deadline: Deadline) -> socket.socket:
    """Return the connection to ``hop``, the first of a way, over which our version was said.

    Raises :class:`Unreachable`.
    """
    if hop.proxy_command is not None:
        connection: socket.socket = run_proxy_command(hop.proxy_command, options.environ)
    else:
        connection = dial(hop.host, hop.port, options, deadline, hop.way, hop.connect_timeout)
    say_version(connection)
    return connection


def run_proxy_command(command: str, environ: Mapping[str, str]) -> ProxyConnection:
    """Start ``command``; return the connection that it makes. Raises :class:`Unreachable`."""
    shell = environ.get("SHELL") or DEFAULT_SHELL
    # Its input is a pipe, as for ssh: bash takes a socket for a login from afar.
    with map_errors(_STEP):
        ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(
                with_own_limit([shell, "-c", f"exec {command}"]),
                stdin=subprocess.PIPE,
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env=dict(environ),
                bufsize=0,
                start_new_session=True,
            )
    except (OSError, ValueError) as problem:
        ours.close()
        if getattr(problem, "errno", None) in SHORT_HERE:
            with map_errors(_STEP):
                raise
        reason = getattr(problem, "strerror", None) or str(problem)
        raise Unreachable(
            _STEP,
            f"the shell {shell} can't run the ProxyCommand: {reason}",
            "SHELL must be a shell",
        ) from None
    return ProxyConnection(ours, process)


class ProxyConnection(BufferedSocket):
    """A connection that a ProxyCommand makes; the command ends when it is closed."""

    def __init__(self, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Take over ``connection``, which is the command's output, and the command."""
        super().__init__(connection)
        self._process = process
        self._input = cast("IO[bytes]", process.stdin)
        os.set_blocking(self._input.fileno(), False)
        self._said = _Said(cast("IO[bytes]", process.stderr))
        self._ending = threading.Lock()
        self._end = ""
        self._ended_output = False
        _RUNNING.add(self)

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override] # noqa: ARG002
        """Send some of ``data``; return how much. Raises ``TimeoutError`` and ``OSError``."""
        if self._input.closed:
            raise BrokenPipeError
        descriptor = self._input.fileno()
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            ready = select.poll()
            ready.register(descriptor, select.POLLOUT)
            seconds = self.gettimeout()
            if not ready.poll(None if seconds is None else seconds * _MILLISECONDS):
                raise TimeoutError from None
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            raise TimeoutError from None

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises ``TimeoutError`` and ``OSError``."""
        data = super().recv(size, flags)
        self._ended_output = not data
        return data

    def close(self) -> None:
        """Close the connection and end the command, with all that it has started."""
        super().close()
        with self._ending:
            _RUNNING.discard(self)
            if self._process.returncode is not None:
                return
            if self._ended_output:  # it ends then, or has ended a moment ago
                self._wait(_TIME_TO_SPEAK)
            self._end = self._ended()
            self._input.close()
            self._signal(signal.SIGTERM)
            self._wait(_TIME_TO_END)
            # The group is still the command's own: it is not reaped before the next line.
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._said.close()

    def explained(self, problem: Unreachable) -> Unreachable:
        """Return ``problem`` with what the command says of it, and how it ended by itself."""
        said = self._said.text(_TIME_TO_SPEAK)
        with self._ending:
            if self._process.returncode is None:
                if self._ended_output:
                    self._wait(_TIME_TO_SPEAK)
                self._end = self._ended()
        if not said and not self._end:
            if (problem.reason, problem.hint) != NO_TIME:
                return problem
            hint = f"the ProxyCommand still runs: {_BY_HAND}, or raise --timeout"
            return Unreachable(problem.step, problem.reason, hint, passing=problem.passing)
        parts = (problem.reason, self._end, said and f"it says: {said}")
        return Unreachable(
            problem.step,
            "; ".join(part for part in parts if part),
            _BY_HAND,
            stage=problem.stage,
            passing=problem.passing and Passing.SOON,
        )

    def _ended(self) -> str:
        """Tell how the command ended, ``""`` if it runs; it is not reaped."""
        found = None
        with suppress(ChildProcessError):
            options = os.WEXITED | os.WNOWAIT | os.WNOHANG
            found = os.waitid(os.P_PID, self._process.pid, options)
        if found is None:
            return ""
        if found.si_code != os.CLD_EXITED:
            return f"signal {found.si_status} ended the ProxyCommand"
        if found.si_status:
            return f"the ProxyCommand ended with status {found.si_status}"
        return "the ProxyCommand ended"

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _wait(self, seconds: float) -> None:
        """Wait until the command has ended, for ``seconds`` at most."""
        until = time.monotonic() + seconds
        pauses = iter(_PAUSES)
        while not self._ended() and time.monotonic() < until:
            time.sleep(next(pauses, _PAUSES[-1]))


class _Said:
    """What a command says on stderr: its end is kept, the rest is read and dropped."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._text = b""
        self._reader = threading.Thread(target=self._read, name="proxy-command", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while data := self._stream.read(_MOST_SAID):
                self._text = (self._text + data)[-_MOST_SAID:]

    def text(self, seconds: float) -> str:
        """Return what was said, ``seconds`` from now at the latest, in one line."""
        self._reader.join(seconds)
        lines = self._text.decode(errors="replace").splitlines()
        text = " / ".join(escape_control(line.strip()) for line in lines if line.strip())
        return text if len(text) <= _MOST_SHOWN else f"...{text[-_MOST_SHOWN:]}"

    def close(self) -> None:
        self._reader.join(_TIME_TO_SPEAK)
        if not self._reader.is_alive():
            self._stream.close()


@contextmanager
def explaining(connection: object) -> Iterator[None]:
    """Say in an :class:`Unreachable` what the ProxyCommand behind ``connection`` said, if any."""
    try:
        yield
    except Unreachable as problem:
        if isinstance(connection, ProxyConnection):
            raise connection.explained(problem) from None
        raise


_RUNNING: weakref.WeakSet[ProxyConnection] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for connection in list(_RUNNING):
        connection.close()
