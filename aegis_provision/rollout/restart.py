"""Restarts Aegis on a host, by the unit or the command that the inventory names."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import looks_secret

if TYPE_CHECKING:
    from aegis_provision.inventory.model import Service, Target

_LONGEST_WORDS = 200


def restart_command(service: Service, target: Target) -> str:
    """Return the command for /bin/sh that restarts Aegis.

    A command of the operator's runs as it stands, as the login. ``systemctl`` runs under sudo
    where the host says ``become``: a unit is restarted by root, whoever owns the file. Aegis does
    not read its file again on SIGHUP, and may die of it: so never a reload.
    """
    if service.command is not None:
        return service.command
    sudo = "sudo -n " if target.become_user is not None else ""
    return (
        f"LC_ALL=C {sudo}systemctl --no-ask-password restart -- {shlex.quote(service.unit or '')}"
    )


def complaint(output: bytes) -> str:
    """Return the last line of a command's output, in so far as it may be shown."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    if not last:
        return "it says nothing"
    if looks_secret(last):
        return "what it says may hold a secret"
    return "it says: " + last[:_LONGEST_WORDS]
