"""The command that restarts Aegis on a host, and what its failure means."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.transport.become import SudoCommand, refusal, sudo_commands

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Service, Target

_LONGEST_WORDS = 200
_SEVERAL = frozenset(";|&()\n")
# How sudo's own lines begin; others come from the command that it runs.
_OF_SUDO = re.compile(r"sudo(?:-rs)?: |Sorry, user |I'm sorry |\S+ is not in the sudoers")


def restart_command(service: Service, target: Target) -> str:
    """Return the command for /bin/sh that restarts Aegis.

    The operator's own command runs as it is, as the login. ``systemctl`` runs under sudo if the
    host says ``become``: only root restarts a unit. It is never a reload: Aegis does not read its
    file again on SIGHUP, and may die of it.
    """
    if service.command is not None:
        return service.command
    sudo = "sudo -n " if target.become_user is not None else ""
    return f"LC_ALL=C {sudo}{shlex.join(_systemctl(service))}"


@dataclass(frozen=True, slots=True)
class SudoRefusal:
    """Why sudo did not run a restart, and what to do next.

    ``nothing_ran`` says that the restart is only the command that sudo refused.
    """

    message: str
    hint: str
    nothing_ran: bool


def sudo_refusal(service: Service, target: Target, login: str, output: bytes) -> SudoRefusal | None:
    """Return why sudo did not run the restart, with the rule that would let it.

    ``output`` is what the command printed, ``login`` the user who ran it. Returns ``None`` if sudo
    refused nothing, or if what it was to run is unknown.
    """
    if service.command is not None:
        commands = sudo_commands(service.command)
    else:
        commands = (SudoCommand(_systemctl(service)),) if target.become_user is not None else ()
    lines = output.decode(errors="replace").splitlines()
    messages = "\n".join(line for line in lines if _OF_SUDO.match(line.strip()))
    refused = [
        (words, command.hint(login))
        for command in commands
        if (words := refusal(messages, login, command.user))
    ]
    hints = "; ".join(dict.fromkeys(hint for _, hint in refused))
    if not refused or may_hold_secret(hints):
        return None
    alone = service.command is None or _SEVERAL.isdisjoint(service.command)
    return SudoRefusal(refused[0][0], hints, nothing_ran=alone)


def _systemctl(service: Service) -> tuple[str, ...]:
    return ("systemctl", "--no-ask-password", "restart", "--", service.unit or "")


def complaint(output: bytes) -> str:
    """Return the last line of a command's output, if it may be shown."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    if not last:
        return "it says nothing"
    if may_hold_secret(last):
        return "what it says may hold a secret"
    return "it says: " + last[:_LONGEST_WORDS]
