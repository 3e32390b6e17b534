"""The ways into the host that are no files: commands, and HTTP questions asked from where it is.

Most connections read a file and need none of them: what they are made of is loaded on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.transport.protocol import Deadline, Unreachable

if TYPE_CHECKING:
    from aegis_provision.transport.channels import Connection
    from aegis_provision.transport.command import CommandEnd
    from aegis_provision.transport.protocol import ConnectOptions
    from aegis_provision.transport.questions import Answer, NoAnswer, Question

_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class SshWays:
    """Ways through an SSH connection: its own tunnels, or else the host's curl."""

    transport: Connection
    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of the login."""
        return self.transport.get_username() or ""

    def run(self, command: str, deadline: Deadline) -> CommandEnd:
        """Run ``command`` as the login."""
        from aegis_provision.transport.command import run_over_ssh

        return run_over_ssh(self.transport, command, b"", self.options, deadline)

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask within ``timeout`` seconds."""
        from aegis_provision.transport.http import ask
        from aegis_provision.transport.questions import NoAnswer
        from aegis_provision.transport.tunnel import tunnel

        deadline = Deadline.after(timeout)
        opening = min(timeout, self.options.timeout)
        # A tunnel that closed first would pass for a far side that hangs up.
        idle = timeout + _MARGIN
        opened = tunnel(self.transport, *question.place, opening=opening, idle=idle)
        if not isinstance(opened, NoAnswer):
            return ask(opened, question, deadline.remaining())
        if opened.why is not None:
            return opened
        return self._ask_there(question, timeout, deadline)

    def _ask_there(
        self, question: Question, timeout: float, deadline: Deadline
    ) -> Answer | NoAnswer:
        from aegis_provision.transport.command import run_over_ssh
        from aegis_provision.transport.curl import NO_COMMANDS, ask_with_curl

        # The login's shell has to start first, which is no part of the question.
        patient = deadline.later(self.options.timeout)

        def run(command: str, stdin: bytes) -> CommandEnd:
            return run_over_ssh(self.transport, command, stdin, self.options, patient)

        try:
            return ask_with_curl(run, question, timeout)
        except Unreachable:
            if self.transport.is_active():
                return NO_COMMANDS
            raise


@dataclass(frozen=True, slots=True)
class LocalWays:
    """Ways on the machine that the tool runs on."""

    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of whoever runs the tool."""
        return self.options.login_name

    def run(self, command: str, deadline: Deadline) -> CommandEnd:
        """Run ``command`` as whoever runs the tool."""
        from aegis_provision.transport.command import run_here

        return run_here(command, self.options.home, deadline)

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask within ``timeout`` seconds."""
        from aegis_provision.transport.http import ask, connect_here
        from aegis_provision.transport.questions import NoAnswer

        deadline = Deadline.after(timeout)
        opened = connect_here(*question.place, timeout)
        if isinstance(opened, NoAnswer):
            return opened
        return ask(opened, question, deadline.remaining())
