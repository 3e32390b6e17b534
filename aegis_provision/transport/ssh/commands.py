"""Commands on a host over SSH: as the login, by /bin/sh, whichever shell the login has."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.commands import (
    CHUNK,
    POLL_INTERVAL,
    STEP,
    CompletedCommand,
    collect_output,
)
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import open_session, wait_for_exit

if TYPE_CHECKING:
    import paramiko

    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.options import ConnectOptions

_NO_STATUS = -1
# Special inside single quotes: "!" and a line feed to csh, a backslash to fish.
_SPECIAL = frozenset("!\n\\")


def run_over_ssh(
    transport: paramiko.Transport,
    command: str,
    stdin: bytes,
    options: ConnectOptions,
    deadline: Deadline,
) -> CompletedCommand:
    """Run ``command`` on the far side of ``transport``. Raises :class:`Unreachable`."""
    with map_paramiko_errors(STEP):
        channel = open_session(transport, deadline.step_timeout(options.timeout))
    try:
        with map_paramiko_errors(STEP):
            channel.set_combine_stderr(True)
            channel.exec_command(for_login_shell(command))
            _send_input(channel, stdin)
            channel.settimeout(POLL_INTERVAL)
            ended, output = collect_output(_SshCommand(channel), deadline)
        if not ended:
            return CompletedCommand(None, output)
        status = channel.recv_exit_status()
        if status == _NO_STATUS:
            _check_connection(transport)
        return CompletedCommand(status, output)
    finally:
        channel.close()


def for_login_shell(command: str) -> str:
    """Return a command line by which any login shell has /bin/sh run ``command``.

    ``command`` becomes one quoted word. Characters that shells quote differently are written as
    octal escapes for printf.
    """
    if _SPECIAL.isdisjoint(command):
        return f"exec /bin/sh -c {shlex.quote(command)}"
    escaped = "".join(f"\\0{byte:03o}" for byte in command.encode())
    return f"""exec /bin/sh -c 'eval "$(printf %b "{escaped}")"'"""


def _send_input(channel: paramiko.Channel, stdin: bytes) -> None:
    """Send the command its input; a command that ends without reading it is no failure."""
    try:
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        if not channel.closed:
            raise


def _check_connection(transport: paramiko.Transport) -> None:
    """Raise :class:`Unreachable` if the connection was lost, rather than the command killed.

    paramiko closes its channels a moment before it says that the connection is gone.
    """
    transport.join(POLL_INTERVAL)
    if not transport.is_active():
        raise Unreachable(STEP, "the connection was lost", "look at the host")


@dataclass(frozen=True, slots=True)
class _SshCommand:
    channel: paramiko.Channel

    def receive(self) -> bytes | None:
        try:
            return self.channel.recv(CHUNK)
        except TimeoutError:
            return None

    def wait(self, seconds: float) -> bool:
        return wait_for_exit(self.channel, seconds)
