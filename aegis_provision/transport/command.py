"""A command on a host: as the login, by its shell, bounded in time."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.transport.failures import step
from aegis_provision.transport.protocol import Unreachable

if TYPE_CHECKING:
    from pathlib import Path

    import paramiko

    from aegis_provision.transport.protocol import ConnectOptions, Deadline

LARGEST_OUTPUT = 2 * 1024 * 1024
"""How many bytes of a command's output are kept."""

_GLANCE = 0.25
_LAST_WORD = 2.0
_NO_STATUS = -1  # the library's word for a channel that closed without one


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended. ``status`` is ``None`` where it did not end in time.

    It is negative where a signal ended the command. ``output`` is standard output and error
    together, in one; it may hold anything, secrets too.
    """

    status: int | None
    output: bytes = field(repr=False)


def run_over_ssh(
    transport: paramiko.Transport,
    command: str,
    stdin: bytes,
    options: ConnectOptions,
    deadline: Deadline,
) -> CommandEnd:
    """Run ``command`` on the far side of ``transport``. Raises :class:`Unreachable`.

    The login's shell gets one word for /bin/sh to run, so that it need not be a POSIX shell. A
    command that leaves a child behind with its output open has ended all the same.
    """
    with step("command"):
        channel = transport.open_session(timeout=min(options.timeout, deadline.remaining()))
    try:
        with step("command"):
            channel.settimeout(min(options.timeout, max(_GLANCE, deadline.remaining())))
            channel.set_combine_stderr(True)
            channel.exec_command(f"exec /bin/sh -c {shlex.quote(command)}")
            if stdin:
                channel.sendall(stdin)
            channel.shutdown_write()
            output = _read(channel, deadline)
        if output is None:
            return CommandEnd(None, b"")
        told = channel.status_event.wait(min(_LAST_WORD, deadline.remaining()))
        status = channel.recv_exit_status() if told else _NO_STATUS
        if status == _NO_STATUS and _is_lost(transport):
            raise Unreachable("command", "the connection was lost", "look at the host")
        return CommandEnd(status if told else None, output)
    finally:
        channel.close()


def _is_lost(transport: paramiko.Transport) -> bool:
    """Tell whether the connection ended: its thread closes the channels first, then itself."""
    transport.join(_GLANCE)
    return not transport.is_active()


def _read(channel: paramiko.Channel, deadline: Deadline) -> bytes | None:
    """Return what the command prints until it ends, ``None`` where it does not end in time."""
    output = bytearray()
    while True:
        channel.settimeout(_GLANCE)
        try:
            data = channel.recv(32 * 1024)
        except TimeoutError:
            if channel.exit_status_ready():
                return bytes(output)
            if deadline.remaining() <= 0:
                return None
            continue
        if not data:
            return bytes(output)
        output += data[: max(0, LARGEST_OUTPUT - len(output))]


def run_here(command: str, stdin: bytes, home: Path, deadline: Deadline) -> CommandEnd:
    """Run ``command`` on this machine, with none of the operator's variables around it."""
    # A file rather than a pipe: a service that the command starts may keep its output open.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={
                "PATH": f"{os.defpath}:/usr/local/bin:/usr/sbin:/sbin",
                "HOME": str(home),
                "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
            },
            start_new_session=True,
        )
        try:
            process.communicate(stdin, timeout=max(_GLANCE, deadline.remaining()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return CommandEnd(None, b"")
        output.seek(0)
        return CommandEnd(process.returncode, output.read(LARGEST_OUTPUT))
