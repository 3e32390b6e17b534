"""The command that restarts Aegis on a host, and what its failure means."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.transport.become_method import (
    BecomeCommand,
    become_commands,
    own_lines,
    refusal,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Service, Target

_LONGEST_WORDS = 200
_SEVERAL = frozenset(";|&()\n")


def restart_command(service: Service, target: Target) -> str:
    """Return the command for /bin/sh that restarts Aegis.

    The operator's own command runs as it is, as the login. ``systemctl`` runs under sudo or doas if
    the host says ``become``: only root restarts a unit. It is never a reload: Aegis does not read
    its file again on SIGHUP, and may die of it.
    """
    if service.command is not None:
        return service.command
    become = f"{target.become_method} -n " if target.become_user is not None else ""
    return f"LC_ALL=C {become}{shlex.join(_systemctl(service))}"


@dataclass(frozen=True, slots=True)
class BecomeRefusal:
    """Why sudo or doas did not run a restart, and what to do next.

    ``nothing_ran`` says that the restart is only the command that was refused.
    """

    message: str
    hint: str
    nothing_ran: bool


def become_refusal(
    service: Service, target: Target, login: str, output: bytes
) -> BecomeRefusal | None:
    """Return why sudo or doas did not run the restart, with the rule that would let it.

    ``output`` is what the command printed, ``login`` the user who ran it. Returns ``None`` if
    nothing was refused, or if what was to run is unknown.
    """
    if service.command is not None:
        commands = become_commands(service.command)
    elif target.become_user is not None:
        commands = (BecomeCommand(_systemctl(service), method=target.become_method),)
    else:
        commands = ()
    text = output.decode(errors="replace")
    refused = []
    for command in commands:
        words = refusal(own_lines(text, command.method), login, command.user, command.method)
        if words:
            refused.append((words, command.hint(login)))
    hints = "; ".join(dict.fromkeys(hint for _, hint in refused))
    if not refused or may_hold_secret(hints):
        return None
    alone = service.command is None or _SEVERAL.isdisjoint(service.command)
    return BecomeRefusal(refused[0][0], hints, nothing_ran=alone)


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
