"""A run's header as the first two lines of its record, and back.

The first is small and holds what a list of runs shows; the second holds the schedule and grows
with the fleet. They come into being together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from aegis_provision.history.json_fields import JsonFields, LineError, encode, moment
from aegis_provision.history.run_header import HostIdentity, RunHeader, RunHost, RunKind, SourceFile
from aegis_provision.playbook.plays import (
    Gates,
    HostCount,
    OnFailure,
    Play,
    Restart,
    Schedule,
    ScheduledPlay,
    Sessions,
    Verify,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

SCHEMA = "aegis-provision/run/v1"

Word = TypeVar("Word", bound="StrEnum")


def header_lines(header: RunHeader) -> bytes:
    """Return the two lines."""
    first = {
        "schema": SCHEMA,
        "event": "run",
        "run": header.run,
        "kind": header.kind.value,
        "undoes": header.undoes,
        "retries": header.retries,
        "tool_version": header.tool_version,
        "operator": header.operator,
        "at": moment(header.started),
        "inventories": [_source(item) for item in header.inventories],
        "playbook": _source(header.playbook) if header.playbook is not None else None,
        "saved_plan": _source(header.saved_plan) if header.saved_plan is not None else None,
        "limit": header.limit,
        "hosts": len(header.schedule.hosts),
    }
    second = {
        "event": "schedule",
        "plays": [_scheduled(item) for item in header.schedule.plays],
        "hosts": {name: _host(host) for name, host in header.hosts.items()},
    }
    return encode(first) + encode(second)


def parse_header(first: JsonFields, second: JsonFields) -> RunHeader:
    """Return the header that the two lines hold; plays come back without their place in a file.

    Raises :class:`LineError`.
    """
    check_schema(first)
    if second.text("event") != "schedule":
        raise LineError("there is no schedule")
    return RunHeader(
        run=first.text("run"),
        kind=word(RunKind, first, "kind"),
        tool_version=first.text("tool_version"),
        operator=first.text("operator"),
        started=first.when("at"),
        inventories=tuple(_parse_source(item) for item in first.parts("inventories")),
        playbook=_parse_source(first.part("playbook")) if first.has("playbook") else None,
        limit=first.text("limit"),
        schedule=Schedule(tuple(_parse_scheduled(item) for item in second.parts("plays"))),
        hosts={name: _parse_host(host) for name, host in second.items("hosts")},
        undoes=first.text_or_none("undoes"),
        retries=first.text_or_none("retries"),
        saved_plan=_parse_source(first.part("saved_plan")) if first.has("saved_plan") else None,
    )


def check_schema(first: JsonFields) -> None:
    """Check that a record's first line is one that this version reads. Raises LineError."""
    if first.content.get("schema") == SCHEMA:
        return
    known = str(first.content.get("schema", "")).startswith("aegis-provision/run/")
    raise LineError("a newer version of the tool wrote it" if known else "it is no run's record")


def word(words: type[Word], fields: JsonFields, key: str) -> Word:
    """Return the member of ``words`` that ``key`` names. Raises :class:`LineError`."""
    text = fields.text(key)
    try:
        return words(text)
    except ValueError:
        raise LineError(f'"{key}" is a word that this version does not know') from None


def _source(source: SourceFile) -> Mapping[str, object]:
    return {"path": source.path, "sha256": source.sha256}


def _parse_source(fields: JsonFields) -> SourceFile:
    return SourceFile(fields.text("path"), fields.text("sha256"))


def _host(host: RunHost) -> Mapping[str, object]:
    where = host.identity
    return {
        "connection": where.connection,
        "address": where.address,
        "port": where.port,
        "jump": where.jump,
        "path": where.path,
        "provider": host.provider,
    }


def _parse_host(fields: JsonFields) -> RunHost:
    connection: Literal["ssh", "local"] = "local" if fields.text("connection") == "local" else "ssh"
    identity = HostIdentity(
        connection,
        fields.text("address"),
        fields.whole("port") if fields.has("port") else None,
        fields.texts("jump") if fields.has("jump") else None,
        fields.text("path"),
    )
    return RunHost(identity, fields.text("provider"))


def _share(share: HostCount) -> Mapping[str, object]:
    return {"amount": share.amount, "percent": share.percent}


def _parse_share(fields: JsonFields) -> HostCount:
    return HostCount(fields.number("amount"), fields.flag("percent"))


def _scheduled(scheduled: ScheduledPlay) -> Mapping[str, object]:
    play = scheduled.play
    return {
        "name": play.name,
        "hosts": play.hosts,
        "serial": [_share(item) for item in play.serial],
        "pause": play.pause,
        "max_fail": _share(play.max_fail),
        "gates": gates_content(play.gates),
        "batches": scheduled.batches,
    }


def _parse_scheduled(fields: JsonFields) -> ScheduledPlay:
    play = Play(
        name=fields.text("name"),
        hosts=fields.text("hosts"),
        serial=tuple(_parse_share(item) for item in fields.parts("serial")),
        pause=fields.number("pause"),
        max_fail=_parse_share(fields.part("max_fail")),
        gates=_parse_gates(fields.part("gates")),
    )
    return ScheduledPlay(play, fields.lists_of_texts("batches"))


def gates_content(gates: Gates) -> Mapping[str, object]:
    """Return ``gates`` as JSON has them: here and in the history's document."""
    verify = gates.verify
    return {
        "restart": gates.restart.value,
        "verify": verify
        and {"health": verify.health, "probe": verify.probe, "timeout": verify.timeout},
        "on_failure": gates.on_failure.value,
        "sessions": gates.sessions.value,
        "sessions_wait": gates.sessions_wait,
        "probe_first": gates.probe_first,
    }


def _parse_gates(fields: JsonFields) -> Gates:
    return Gates(
        restart=word(Restart, fields, "restart"),
        verify=_parse_verify(fields.part("verify")) if fields.has("verify") else None,
        on_failure=word(OnFailure, fields, "on_failure"),
        sessions=word(Sessions, fields, "sessions"),
        sessions_wait=fields.number("sessions_wait"),
        probe_first=fields.flag("probe_first"),
    )


def _parse_verify(fields: JsonFields) -> Verify:
    return Verify(fields.flag("health"), fields.flag("probe"), fields.number("timeout"))
