"""A run's header as the first two lines of its record, and back.

The first is small and holds what a list of runs shows. The second is the first event, which holds
the schedule, and beside it the hosts' identities; it grows with the fleet. They are written
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aegis_provision.documents.json_dataclasses import JsonCodec
from aegis_provision.documents.json_fields import JsonFields, LineError, encode, moment
from aegis_provision.history import record_v1
from aegis_provision.history.run_header import RunHeader
from aegis_provision.rollout.event_codec import CODEC, encode_event, event_name
from aegis_provision.rollout.events import RunStarted

SCHEMA = "aegis-provision/run/v2"
_LATER = ("schedule", "hosts")

_HEADER = JsonCodec(
    names={**CODEC.names, "Mapping": Mapping, "datetime": datetime}, left_out=CODEC.left_out
)


def header_lines(header: RunHeader) -> bytes:
    """Return the two lines."""
    content = _HEADER.encode(header)
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
    return encode(first) + encode(second)


def parse_header(first: JsonFields, second: JsonFields) -> RunHeader:
    """Return the header that the two lines hold; plays come back without their place in a file.

    Raises :class:`LineError`.
    """
    if is_v1(first):
        first, second = record_v1.upgrade_header(first), record_v1.upgrade(second)
    if second.text("event") != event_name(RunStarted):
        raise LineError("there is no schedule")
    later = {key: second.content.get(key) for key in _LATER}
    return _HEADER.decode(RunHeader, {**first.content, **later})


def is_v1(first: JsonFields) -> bool:
    """Tell whether a record with this first line is one that version 0.1.0 wrote.

    Raises :class:`LineError` for one that this version can't read.
    """
    schema = first.content.get("schema")
    if schema in (SCHEMA, record_v1.SCHEMA):
        return bool(schema == record_v1.SCHEMA)
    known = str(schema or "").startswith("aegis-provision/run/")
    raise LineError("a newer version of the tool wrote it" if known else "it is no run's record")
