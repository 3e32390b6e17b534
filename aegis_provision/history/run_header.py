"""What a run set out to do: known when its record is opened, and never changed after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aegis_provision.inventory.host import Target
    from aegis_provision.playbook.plays import Schedule


class RunKind(StrEnum):
    """What kind of run it was."""

    APPLY = "apply"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the operator's that decided what the run does: its path and its content's digest.

    Such files hold references to secrets, never secrets: a plain SHA-256 gives nothing away.
    """

    path: str
    sha256: str


def source_file(path: str, content: bytes) -> SourceFile:
    """Return the source that ``content`` at ``path`` is."""
    return SourceFile(path, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Which file on which machine: what two runs must have in common to be about the same.

    ``port`` and ``jump`` are the inventory's (``None`` where ssh config decides). The way there
    belongs to it: behind another bastion the same private address is another machine.
    """

    connection: Literal["ssh", "local"]
    address: str
    port: int | None
    jump: tuple[str, ...] | None
    path: str


def host_identity(target: Target, path: str) -> HostIdentity:
    """Return the identity of the file at ``path`` (absolute, as the host's plan has it)."""
    if target.connection == "local":
        return HostIdentity("local", "", None, None, path)
    return HostIdentity("ssh", target.address, target.port, target.jump, path)


@dataclass(frozen=True, slots=True)
class RunHost:
    """A host of a run: what it was then, and the provider it was to use."""

    identity: HostIdentity
    provider: str


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run set out to do.

    ``operator`` is ``user@hostname``; ``started`` is in UTC. ``playbook`` is ``None`` for none,
    ``limit`` empty for none. ``hosts`` has every host of the schedule. ``undoes`` names the run
    that a rollback undoes, ``retries`` the one whose hosts an apply takes up again. ``saved_plan``
    is the file of the plan that was carried out, where it was a saved one.
    """

    run: str
    kind: RunKind
    tool_version: str
    operator: str
    started: datetime
    inventories: tuple[SourceFile, ...]
    playbook: SourceFile | None
    limit: str
    schedule: Schedule
    hosts: Mapping[str, RunHost]
    undoes: str | None = None
    retries: str | None = None
    saved_plan: SourceFile | None = None
