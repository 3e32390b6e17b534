"""Commands on a host over SSH, and HTTP requests from it, over the connection that is open already.

Commands run as the login, by /bin/sh, whichever shell the login has.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.commands import (
    CHUNK,
    POLL_INTERVAL,
    STEP,
    CompletedCommand,
    NoCommands,
    collect_output,
)
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.errors import NO_TIME, BastionLostError, describe_os_error
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import (
    ANSWERS_WITHIN,
    begin,
    open_session,
    wait_for_exit,
    was_taken,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.http_messages import (
        Connected,
        HttpFailure,
        HttpRequest,
        HttpResponse,
    )
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from aegis_provision.transport.ssh.port_forward import Tunnel

_BEGUN = b"aegis-provision:begun\n"
# Quotes in between: a wrapper that repeats what it was asked does not pass for its output.
_SAY_BEGUN = 'echo aegis-provision":"begun; '
_NO_STATUS = -1
_SILENT = ("the host stopped answering", "check the host and the network")
_TRIES = 3
# Special inside single quotes: "!" and a line feed to csh, a backslash to fish.
_SPECIAL = frozenset("!\n\\")


@dataclass(frozen=True, slots=True)
class SshServices:
    """Commands and HTTP requests over an SSH connection: through a tunnel, else by curl there.

    ``login`` is the name of the user who logged in. ``make_room`` ends another session of this
    connection within some seconds, where the host allows too few of them at a time; it tells
    whether there was one.
    """

    transport: Connection
    options: ConnectOptions
    login: str
    make_room: Callable[[float], bool] = lambda _: False

    def run(self, command: str, deadline: Deadline, stdin: bytes = b"") -> CompletedCommand:
        """Run ``command`` as the login. Raises :class:`Unreachable` and :class:`NoCommands`."""
        return self._run(command, stdin, deadline)

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request`` from the host's point of view, within ``timeout`` seconds."""
        # Most connections only read a file: what requests need is loaded on first use.
        from aegis_provision.transport.http import send
        from aegis_provision.transport.http_messages import HttpFailure

        deadline = Deadline.after(timeout)
        connection = self._tunnel(request, timeout)
        if not isinstance(connection, HttpFailure):
            return send(connection, request, deadline.remaining())
        if connection.cause is not None:
            return connection
        return self._request_with_curl(request, timeout, deadline)

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        """Connect from the host to where ``request`` would go, and send no request."""
        from aegis_provision.transport.http import NO_TUNNEL, handshake
        from aegis_provision.transport.http_messages import Connected, HttpFailure

        deadline = Deadline.after(timeout)
        connection = self._tunnel(request, timeout)
        if isinstance(connection, HttpFailure):
            return connection if connection.cause is not None else NO_TUNNEL
        failure = handshake(connection, request, deadline.remaining())
        return failure or Connected(timeout - deadline.remaining())

    def _tunnel(self, request: HttpRequest, timeout: float) -> Tunnel | HttpFailure:
        from aegis_provision.transport.ssh.port_forward import tunnel

        return tunnel(self.transport, *request.address, min(timeout, self.options.timeout))

    def _request_with_curl(
        self, request: HttpRequest, timeout: float, deadline: Deadline
    ) -> HttpResponse | HttpFailure:
        from aegis_provision.transport.http import NO_COMMANDS, request_with_curl

        # The login shell has to start first, which is not part of the request.
        command_deadline = deadline.extended(self.options.timeout)

        def run(command: str, stdin: bytes) -> CompletedCommand:
            return self._run(command, stdin, command_deadline)

        try:
            return request_with_curl(run, request, timeout)
        except Unreachable:
            if self.transport.is_active():
                return NO_COMMANDS
            raise

    def _run(self, command: str, stdin: bytes, deadline: Deadline) -> CompletedCommand:
        """Run ``command``. A host may run one of its own instead (ForceCommand, sshd_config(5)).

        An SFTP server in its place would end with status 0, so the command says first that it has
        begun.
        """
        channel = self._open_session(deadline)
        try:
            with self._map_errors():
                channel.set_combine_stderr(True)
                begin(channel, "exec", for_login_shell(_SAY_BEGUN + command))
                _send_input(channel, stdin)
                if not was_taken(channel, deadline.step_timeout(self.options.timeout)):
                    if self.transport.ends():
                        raise TimeoutError if self.transport.fell_silent else EOFError
                    raise NoCommands("")
                channel.settimeout(POLL_INTERVAL)
                ended, output = collect_output(_SshCommand(channel), deadline)
            if not ended:
                self._check_answers()
                return CompletedCommand(None, output.replace(_BEGUN, b"", 1))
            status = channel.recv_exit_status()
            if status == _NO_STATUS:
                self._check_connection()
            if _BEGUN not in output:
                raise NoCommands(output.decode(errors="replace"))
            return CompletedCommand(status, output.replace(_BEGUN, b"", 1))
        finally:
            channel.close()

    def _open_session(self, deadline: Deadline) -> paramiko.Channel:
        timeout = deadline.step_timeout(self.options.timeout)
        with self._map_errors():
            try:
                return open_session(self.transport, timeout)
            except paramiko.ChannelException:
                if not self.make_room(timeout):
                    raise
        return another_session(self.transport, self.options, deadline, STEP)

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        """Turn what fails inside into :class:`Unreachable`; a bastion that is silent is named."""
        try:
            with map_paramiko_errors(STEP):
                yield
        except Unreachable as problem:
            if problem.reason == NO_TIME[0]:
                self._check_bastion()
            raise

    def _check_bastion(self) -> None:
        silent = self.transport.silent_bastion(ANSWERS_WITHIN)
        if silent is not None:
            raise Unreachable(STEP, *describe_os_error(BastionLostError(silent))) from None

    def _check_answers(self) -> None:
        """Raise :class:`Unreachable` if the host is silent, rather than the command slow."""
        self._check_bastion()
        if not self.transport.answers(ANSWERS_WITHIN):
            raise Unreachable(STEP, *_SILENT)

    def _check_connection(self) -> None:
        """Raise :class:`Unreachable` if the connection was lost, rather than the command killed.

        paramiko closes its channels a moment before it says that the connection is gone.
        """
        if self.transport.ends():
            if self.transport.fell_silent:
                self._check_bastion()
                raise Unreachable(STEP, *_SILENT)
            raise Unreachable(STEP, "the connection was lost", "look at the host")


def another_session(
    transport: Connection, options: ConnectOptions, deadline: Deadline, step: str
) -> paramiko.Channel:
    """Return a further session, where another one was closed; see MaxSessions, sshd_config(5).

    A host that allows one session at a time may take a moment to see that it is over. Raises
    :class:`Unreachable` at ``step``.
    """
    for _ in range(_TRIES):
        with map_paramiko_errors(step), suppress(paramiko.ChannelException):
            return open_session(transport, deadline.step_timeout(options.timeout))
    with map_paramiko_errors(step):
        return open_session(transport, deadline.step_timeout(options.timeout))


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
