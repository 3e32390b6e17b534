"""Commands on a host and HTTP requests from it, over the SSH connection that is open already.

Most connections only read a file: the modules behind these are loaded on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.options import ConnectOptions
    from aegis_provision.transport.ssh.paramiko_internals import Connection

_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class SshServices:
    """Commands and HTTP requests over an SSH connection: through a tunnel, else by curl there."""

    transport: Connection
    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of the login."""
        return self.transport.get_username() or ""

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` as the login."""
        from aegis_provision.transport.ssh.commands import run_over_ssh

        return run_over_ssh(self.transport, command, b"", self.options, deadline)

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request`` from the host's point of view, within ``timeout`` seconds."""
        from aegis_provision.transport.http import send
        from aegis_provision.transport.http_messages import HttpFailure
        from aegis_provision.transport.ssh.port_forward import tunnel

        deadline = Deadline.after(timeout)
        opening = min(timeout, self.options.timeout)
        # If the tunnel closed first, the server would seem to hang up.
        idle = timeout + _MARGIN
        connection = tunnel(self.transport, *request.place, opening=opening, idle=idle)
        if not isinstance(connection, HttpFailure):
            return send(connection, request, deadline.remaining())
        if connection.cause is not None:
            return connection
        return self._request_with_curl(request, timeout, deadline)

    def _request_with_curl(
        self, request: HttpRequest, timeout: float, deadline: Deadline
    ) -> HttpResponse | HttpFailure:
        from aegis_provision.transport.http import NO_COMMANDS, request_with_curl
        from aegis_provision.transport.ssh.commands import run_over_ssh

        # The login shell has to start first, which is not part of the request.
        command_deadline = deadline.extended(self.options.timeout)

        def run(command: str, stdin: bytes) -> CompletedCommand:
            return run_over_ssh(self.transport, command, stdin, self.options, command_deadline)

        try:
            return request_with_curl(run, request, timeout)
        except Unreachable:
            if self.transport.is_active():
                return NO_COMMANDS
            raise
