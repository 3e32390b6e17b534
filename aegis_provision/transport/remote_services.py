"""The ways into the host that are no files: commands, and HTTP questions asked from where it is.

Most connections read a file and need none of them: what they are made of is loaded on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.protocol import Deadline

if TYPE_CHECKING:
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.protocol import ConnectOptions
    from aegis_provision.transport.ssh.channels import Connection

_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class SshServices:
    """Ways through an SSH connection: its own tunnels, or else the host's curl."""

    transport: Connection
    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of the login."""
        return self.transport.get_username() or ""

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` as the login."""
        from aegis_provision.transport.commands import run_over_ssh

        return run_over_ssh(self.transport, command, b"", self.options, deadline)

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask within ``timeout`` seconds."""
        from aegis_provision.transport.http import request
        from aegis_provision.transport.http_messages import HttpFailure
        from aegis_provision.transport.ssh.port_forward import tunnel

        deadline = Deadline.after(timeout)
        opening = min(timeout, self.options.timeout)
        # A tunnel that closed first would pass for a far side that hangs up.
        idle = timeout + _MARGIN
        opened = tunnel(self.transport, *question.place, opening=opening, idle=idle)
        if not isinstance(opened, HttpFailure):
            return request(opened, question, deadline.remaining())
        if opened.why is not None:
            return opened
        return self._ask_there(question, timeout, deadline)

    def _ask_there(
        self, question: HttpRequest, timeout: float, deadline: Deadline
    ) -> HttpResponse | HttpFailure:
        from aegis_provision.transport.commands import run_over_ssh
        from aegis_provision.transport.curl import NO_COMMANDS, request_with_curl

        # The login's shell has to start first, which is no part of the question.
        patient = deadline.later(self.options.timeout)

        def run(command: str, stdin: bytes) -> CompletedCommand:
            return run_over_ssh(self.transport, command, stdin, self.options, patient)

        try:
            return request_with_curl(run, question, timeout)
        except Unreachable:
            if self.transport.is_active():
                return NO_COMMANDS
            raise


@dataclass(frozen=True, slots=True)
class LocalServices:
    """Ways on the machine that the tool runs on."""

    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of whoever runs the tool."""
        return self.options.login_name

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` as whoever runs the tool."""
        from aegis_provision.transport.commands import run_here

        return run_here(command, self.options.home, deadline)

    def ask(self, question: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Ask within ``timeout`` seconds."""
        from aegis_provision.transport.http import connect_here, request
        from aegis_provision.transport.http_messages import HttpFailure

        deadline = Deadline.after(timeout)
        opened = connect_here(*question.place, timeout)
        if isinstance(opened, HttpFailure):
            return opened
        return request(opened, question, deadline.remaining())
