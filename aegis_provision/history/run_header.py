"""What a run set out to do: the first two lines of its record, which never change after.

The first is small and holds what a list of runs shows. The second is the first event, which holds
the schedule, and beside it the hosts' identities; it grows with the fleet. They are written
together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from aegis_provision.documents.json_codec import (
    DecodeError,
    JsonCodec,
    json_line,
    moment,
    parse_object,
)
from aegis_provision.history import record_v1
from aegis_provision.rollout.events import CODEC, RunStarted, encode_event, event_name
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.playbook.plays import Schedule

SCHEMA = "aegis-provision/run/v2"
_LATER = ("schedule", "hosts")

HEADER_CODEC = JsonCodec(
    names={**CODEC.names, "Mapping": Mapping, "datetime": datetime},
    left_out=CODEC.left_out,
    added=CODEC.added,
)


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


def header_lines(header: RunHeader) -> bytes:
    """Return the two lines of ``header``."""
    content = HEADER_CODEC.encode(header)
    second = {
        **encode_event(RunStarted(header.run, header.schedule, ())),
        "at": moment(header.started),
        "hosts": content["hosts"],
    }
    first = {
        "schema": SCHEMA,
        "event": "run",
        "at": moment(header.started),
        **{key: value for key, value in content.items() if key not in _LATER},
        "hosts": len(header.schedule.hosts),
    }
    return json_line(first) + json_line(second)


def parse_header(lines: Sequence[bytes]) -> tuple[RunHeader, bool]:
    """Return the header of a record of these lines, and whether version 0.1.0 wrote it.

    Plays come back without their place in a file. Raises :class:`DecodeError`.
    """
    if len(lines) < 2:
        raise DecodeError("the header is not whole")
    first: Mapping[str, Any] = parse_object(lines[0])
    second: Mapping[str, Any] = parse_object(lines[1])
    old = is_v1(first)
    if old:
        first, second = record_v1.upgrade_header(first), record_v1.upgrade(second)
    if second.get("event") != event_name(RunStarted):
        raise DecodeError("there is no schedule")
    later = {key: second.get(key) for key in _LATER}
    return HEADER_CODEC.decode(RunHeader, {**first, **later}), old


def is_v1(first: Mapping[str, Any]) -> bool:
    """Tell whether a record with this first line is one that version 0.1.0 wrote.

    Raises :class:`DecodeError` for one that this version can't read.
    """
    schema = first.get("schema")
    if schema in (SCHEMA, record_v1.SCHEMA):
        return bool(schema == record_v1.SCHEMA)
    if str(schema).startswith("aegis-provision/run/"):
        raise DecodeError("a newer version of the tool wrote it")
    raise DecodeError("it is no run's record")
