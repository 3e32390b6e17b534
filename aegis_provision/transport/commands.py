"""A command on a host: as the login, by /bin/sh, bounded in time and in what is kept of it."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol, cast

from aegis_provision.errors import Unreachable
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.ssh.channels import open_session
from aegis_provision.transport.ssh.dial import step_timeout
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors

if TYPE_CHECKING:
    from pathlib import Path

    import paramiko

    from aegis_provision.transport.protocol import ConnectOptions, Deadline

LARGEST_OUTPUT = 2 * 1024 * 1024
"""How many bytes of a command's output are kept."""

_STEP = "command"
_CHUNK = 32 * 1024
_GLANCE = 0.25
_LAST_WORDS = 1.0
_NO_STATUS = -1
# What is special inside single quotes: to csh, to csh, and to fish.
_SPECIAL = frozenset("!\n\\")


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """How a command ended.

    ``status`` is ``None`` where it did not end in time, and negative where a signal ended it.
    ``output`` is standard output and error together, in one; it may hold anything, secrets too.
    """

    status: int | None
    output: bytes = field(repr=False)


class _Command(Protocol):
    """A command that runs."""

    def receive(self) -> bytes | None:
        """Return some of its output, ``b""`` at the end, ``None`` where none came for a while."""
        ...

    def ended(self, seconds: float) -> bool:
        """Tell whether it has ended, within ``seconds``, though its output may still be open."""
        ...


def _follow(command: _Command, deadline: Deadline) -> tuple[bool, bytes]:
    """Return whether ``command`` ended in time, and its output.

    One that leaves a child behind with its output open has ended all the same.
    """
    output = bytearray()
    last_words: float | None = None
    while (data := command.receive()) != b"":
        if data is not None:
            output += data[: max(0, LARGEST_OUTPUT - len(output))]
        if last_words is None and command.ended(0):
            last_words = time.monotonic() + _LAST_WORDS
        if last_words is not None and (data is None or time.monotonic() > last_words):
            return True, bytes(output)
        if deadline.remaining() <= 0:
            return False, bytes(output)
    return command.ended(max(_GLANCE, deadline.remaining())), bytes(output)


def run_over_ssh(
    transport: paramiko.Transport,
    command: str,
    stdin: bytes,
    options: ConnectOptions,
    deadline: Deadline,
) -> CompletedCommand:
    """Run ``command`` on the far side of ``transport``. Raises :class:`Unreachable`."""
    with map_paramiko_errors(_STEP):
        channel = open_session(transport, step_timeout(options, deadline))
    try:
        with map_paramiko_errors(_STEP):
            channel.set_combine_stderr(True)
            channel.exec_command(for_login_shell(command))
            _deliver(channel, stdin)
            channel.settimeout(_GLANCE)
            ended, output = _follow(_SshCommand(channel), deadline)
        if not ended:
            return CompletedCommand(None, output)
        status = channel.exit_status
        if status == _NO_STATUS:
            _check_not_lost(transport)
        return CompletedCommand(status, output)
    finally:
        channel.close()


def for_login_shell(command: str) -> str:
    """Return what makes any login shell have /bin/sh run ``command``.

    It is one quoted word. Where the shells do not agree on what a quoted character means, it is
    spelt out for printf.
    """
    if _SPECIAL.isdisjoint(command):
        return f"exec /bin/sh -c {shlex.quote(command)}"
    spelt = "".join(f"\\0{byte:03o}" for byte in command.encode())
    return f"""exec /bin/sh -c 'eval "$(printf %b "{spelt}")"'"""


def _deliver(channel: paramiko.Channel, stdin: bytes) -> None:
    """Give the command its input; one that ends without taking it is no failure."""
    try:
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        if not channel.closed:
            raise


def _check_not_lost(transport: paramiko.Transport) -> None:
    """Tell a command that a signal ended from a connection that was lost meanwhile.

    The library closes its channels a moment before it says that the connection is gone.
    """
    transport.join(_GLANCE)
    if not transport.is_active():
        raise Unreachable(_STEP, "the connection was lost", "look at the host")


@dataclass(frozen=True, slots=True)
class _SshCommand:
    channel: paramiko.Channel

    def receive(self) -> bytes | None:
        try:
            return self.channel.recv(_CHUNK)
        except TimeoutError:
            return None

    def ended(self, seconds: float) -> bool:
        return self.channel.status_event.wait(seconds)


def run_here(command: str, home: Path, deadline: Deadline) -> CompletedCommand:
    """Run ``command`` on this machine, with none of the operator's variables around it.

    Where it does not end in time, it is killed with all that it started in its process group.
    Raises :class:`Unreachable` where it can't be started.
    """
    with map_errors(_STEP):
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
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
    ended = False
    try:
        ended, output = _follow(_LocalCommand(process, stream.fileno()), deadline)
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
        waiting = select.poll()
        waiting.register(self.stream, select.POLLIN)
        return os.read(self.stream, _CHUNK) if waiting.poll(1000 * _GLANCE) else None

    def ended(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None
