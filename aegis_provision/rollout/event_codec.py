"""Events as JSON, and back: for the record of a run, and for programs that watch one.

What only this process may know, or what another event says, is left out: the plans of a run, which
hold values, and the results at its end, each of which has an event of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aegis_provision.documents.json_codec import DecodeError, JsonCodec
from aegis_provision.playbook.plays import Play, Schedule
from aegis_provision.rollout.events import Event, HostChecked, HostPlanned, RunFinished, RunStarted
from aegis_provision.rollout.results import HostResult
from aegis_provision.transport.options import AcceptedKey

if TYPE_CHECKING:
    from collections.abc import Mapping

CODEC = JsonCodec(
    names={
        "AcceptedKey": AcceptedKey,
        "HostPlan": object,
        "HostResult": HostResult,
        "Schedule": Schedule,
        "Span": object,
    },
    left_out={
        RunStarted: {"plans": ()},
        RunFinished: {"results": ()},
        Play: {"span": None, "hosts_span": None, "restart_span": None},
    },
)
"""Turns events, and what they hold, into JSON and back."""


def event_name(kind: type[Event]) -> str:
    """Return what events of ``kind`` are called in JSON: ``host_written`` for ``HostWritten``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_NAMES: Mapping[type[Event], str] = {kind: event_name(kind) for kind in Event.__args__}
_KINDS: Mapping[str, type[Event]] = {
    name: kind for kind, name in _NAMES.items() if kind not in (HostPlanned, HostChecked)
}


def encode_event(event: Event) -> dict[str, Any]:
    """Return ``event`` as JSON fields, the first of which is its name.

    ``HostPlanned`` and ``HostChecked`` have no such form: what a host has is a report.
    """
    return {"event": _NAMES[type(event)], **CODEC.encode(event)}


def decode_event(content: Mapping[str, object]) -> Event | None:
    """Return the event that ``content`` holds, ``None`` for one that this version does not know.

    Raises :class:`DecodeError`.
    """
    name = content.get("event")
    if not isinstance(name, str):
        raise DecodeError('"event" is not text')
    kind = _KINDS.get(name)
    return None if kind is None else CODEC.decode(kind, content)
