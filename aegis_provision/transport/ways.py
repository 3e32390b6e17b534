"""The ways into a host that are no files: commands, and HTTP questions asked from where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.transport.command import CommandEnd, run_here, run_over_ssh
from aegis_provision.transport.curl import ask_with_curl
from aegis_provision.transport.http import Answer, NoAnswer, Question, ask, connect_here
from aegis_provision.transport.protocol import Deadline
from aegis_provision.transport.tunnel import tunnel

if TYPE_CHECKING:
    import paramiko

    from aegis_provision.transport.protocol import ConnectOptions


@dataclass(frozen=True, slots=True)
class SshWays:
    """Ways through an SSH connection: its own tunnels, or else the host's curl."""

    transport: paramiko.Transport
    options: ConnectOptions

    def run(self, command: str, stdin: bytes, deadline: Deadline) -> CommandEnd:
        """Run ``command`` as the login."""
        return run_over_ssh(self.transport, command, stdin, self.options, deadline)

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask within ``timeout`` seconds."""
        host, port = question.place
        opened = tunnel(self.transport, host, port, min(timeout, self.options.timeout))
        if not isinstance(opened, NoAnswer):
            return ask(opened, question, timeout)
        if opened.why is not None:
            return opened
        deadline = Deadline.after(timeout + self.options.timeout)
        return ask_with_curl(
            lambda command, stdin: self.run(command, stdin, deadline), question, timeout
        )


@dataclass(frozen=True, slots=True)
class LocalWays:
    """Ways on the machine that the tool runs on."""

    options: ConnectOptions

    def run(self, command: str, stdin: bytes, deadline: Deadline) -> CommandEnd:
        """Run ``command`` as whoever runs the tool."""
        return run_here(command, stdin, self.options.home, deadline)

    def ask(self, question: Question, timeout: float) -> Answer | NoAnswer:
        """Ask within ``timeout`` seconds."""
        opened = connect_here(*question.place, timeout)
        return opened if isinstance(opened, NoAnswer) else ask(opened, question, timeout)
