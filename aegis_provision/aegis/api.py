"""Responses of Aegis' API, parsed (docs/aegis.md, "The API").

A host sent them, so neither their size nor their shape nor their text is trusted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

HEALTH_PATH = "/v1/health"
SESSIONS_PATH = "/v1/sessions"

_MOST_BYTES = 1 << 20
_STATUS = re.compile(r"[A-Za-z][A-Za-z_-]{0,19}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,39}")
_LONGEST_TIME = 40
# Seconds since the epoch from 2001 to 5138; the same span in milliseconds begins where it ends.
_FIRST_SECOND, _FIRST_MILLISECOND, _LAST_MILLISECOND = 1e9, 1e11, 1e14
_MOST_SESSIONS = 1_000_000
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """A response of ``/v1/health``. Without the API's token it has ``status`` and nothing else.

    ``status`` is Aegis' own word: ``ok``, ``degraded``, ``draining``. ``started`` is when the
    process began, in seconds since the epoch by the host's clock; ``uptime`` for how many seconds
    it has been up; ``active`` how many sessions a restart would end. Each is ``None``, and
    ``version`` empty, if the response does not have it.
    """

    status: str
    started: float | None = None
    active: int | None = None
    version: str = ""
    uptime: float | None = None


def parse_health(status: int, body: bytes) -> Health | None:
    """Return what a response of ``/v1/health`` says, ``None`` if it is not one of Aegis'.

    Aegis answers with 200 in every state. A field of the wrong type counts as absent.
    """
    if status != 200:
        return None
    root = _json(body)
    word = root.get("status") if isinstance(root, dict) else None
    if not isinstance(word, str) or not _STATUS.fullmatch(word):
        return None
    version = root.get("version")
    return Health(
        word,
        started=_started(root),
        uptime=_uptime(root),
        active=_active(root.get("sessions")),
        version=version if isinstance(version, str) and _VERSION.fullmatch(version) else "",
    )


def dropped_config(status_of_sessions_without_token: int) -> bool:
    """Tell whether a server whose file has an ``authToken`` runs without that file.

    It does if it answers ``/v1/sessions`` without a token: the token was lost with the file. Any
    other status proves nothing.
    """
    return 200 <= status_of_sessions_without_token < 300


def start_is_older(health: Health, mtime: float) -> bool | None:
    """Tell whether the process began before its file was written, ``None`` if unknown.

    ``mtime`` is the file's time by the same host's clock. SFTP cuts it off to whole seconds, and
    Aegis' own times may be rounded too, so two times that are very near each other prove nothing.
    """
    if health.started is None or -_ROUNDING <= health.started - mtime <= 1 + _ROUNDING:
        return None
    return health.started < mtime


def active_sessions(status: int, body: bytes) -> int | None:
    """Return how many sessions a response of ``/v1/sessions`` lists, ``None`` if it is no list.

    The response is a list of objects, or an object with such a list or with their number.
    """
    root = _json(body) if status == 200 else None
    listed = root.get("sessions", root.get("total")) if isinstance(root, dict) else root
    if isinstance(listed, list):
        return len(listed)
    return _active({"active": listed})


def _json(body: bytes) -> Any:
    """Return the value in ``body``, ``None`` if it is too long or no JSON."""
    if len(body) > _MOST_BYTES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _started(root: dict[str, Any]) -> float | None:
    now, uptime = _seconds(root.get("timestamp")), _uptime(root)
    if now is None or uptime is None or uptime > now:
        return None
    return now - uptime


def _uptime(root: dict[str, Any]) -> float | None:
    uptime = _number(root.get("uptime"))
    return uptime if uptime is not None and uptime >= 0 else None


def _seconds(value: object) -> float | None:
    """Return a point in time as seconds since the epoch: ISO 8601 with a zone, or a number."""
    if isinstance(value, str):
        return _iso_seconds(value)
    number = _number(value)
    if number is None:
        return None
    if _FIRST_SECOND <= number < _FIRST_MILLISECOND:
        return float(number)
    if _FIRST_MILLISECOND <= number < _LAST_MILLISECOND:
        return number / 1000
    return None


def _iso_seconds(text: str) -> float | None:
    if len(text) > _LONGEST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone the time can't be compared.
    if moment.tzinfo is None:
        return None
    seconds = moment.timestamp()
    return seconds if _FIRST_SECOND <= seconds < _FIRST_MILLISECOND else None


def _active(sessions: object) -> int | None:
    count = _number(sessions.get("active")) if isinstance(sessions, dict) else None
    if count is None or not 0 <= count <= _MOST_SESSIONS or count != int(count):
        return None
    return int(count)


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
