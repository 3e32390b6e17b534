"""Responses of Aegis' API, parsed (docs/aegis.md, "The API").

A host sent them, so neither their size nor their shape nor their text is trusted.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from aegis_provision.values import dataclass

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
class ClaudeCode:
    """The Claude Code on a host, as Aegis sees it. A version is empty where it is not told.

    ``available``: there is one. ``healthy``: it is at least of the version ``minimum``.
    """

    available: bool
    healthy: bool
    version: str = ""
    minimum: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """A response of ``/v1/health``. Without the API's token it has ``status`` and nothing else.

    ``status`` is Aegis' own word: ``ok``, ``degraded``, ``draining``. ``started`` is when the
    process began, in seconds since the epoch by the host's clock; ``uptime`` for how many seconds
    it has been up; ``active`` how many sessions a restart would end. Each is ``None``, and
    ``version`` empty, if the response does not have it. ``now`` is the host's own time, in seconds
    since the epoch; ``claude`` says which Claude Code Aegis found there.
    """

    status: str
    started: float | None = None
    active: int | None = None
    version: str = ""
    uptime: float | None = None
    now: float | None = None
    claude: ClaudeCode | None = None


def parse_health(status: int, body: bytes) -> Health | None:
    """Return what a response of ``/v1/health`` says, ``None`` if it is not one of Aegis'.

    Aegis answers with 200 in every state. A field of the wrong type counts as absent.
    """
    if status != 200:
        return None
    root = json_value(body)
    word = root.get("status") if isinstance(root, dict) else None
    if not isinstance(word, str) or not _STATUS.fullmatch(word):
        return None
    return Health(
        word,
        started=_started(root),
        uptime=_uptime(root),
        active=_active(root.get("sessions")),
        version=_version(root.get("version")),
        now=seconds(root.get("timestamp")),
        claude=_claude(root.get("claude")),
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
    root = json_value(body) if status == 200 else None
    listed = root.get("sessions", root.get("total")) if isinstance(root, dict) else root
    if isinstance(listed, list):
        return len(listed)
    return _active({"active": listed})


def json_value(body: bytes) -> Any:
    """Return the value in a response's ``body``, ``None`` if it is too long or no JSON."""
    if len(body) > _MOST_BYTES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _started(root: dict[str, Any]) -> float | None:
    now, uptime = seconds(root.get("timestamp")), _uptime(root)
    if now is None or uptime is None or uptime > now:
        return None
    return now - uptime


def _uptime(root: dict[str, Any]) -> float | None:
    uptime = number(root.get("uptime"))
    return uptime if uptime is not None and uptime >= 0 else None


def seconds(value: object) -> float | None:
    """Return a point in time as seconds since the epoch: ISO 8601 with a zone, or a number."""
    if isinstance(value, str):
        return _iso_seconds(value)
    found = number(value)
    if found is None:
        return None
    if _FIRST_SECOND <= found < _FIRST_MILLISECOND:
        return float(found)
    if _FIRST_MILLISECOND <= found < _LAST_MILLISECOND:
        return found / 1000
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


def _claude(value: object) -> ClaudeCode | None:
    if not isinstance(value, dict) or not isinstance(value.get("available"), bool):
        return None
    return ClaudeCode(
        available=value["available"],
        healthy=value.get("healthy") is not False,
        version=_version(value.get("version")),
        minimum=_version(value.get("minimumVersion")),
    )


def _version(value: object) -> str:
    return value if isinstance(value, str) and _VERSION.fullmatch(value) else ""


def _active(sessions: object) -> int | None:
    count = number(sessions.get("active")) if isinstance(sessions, dict) else None
    if count is None or not 0 <= count <= _MOST_SESSIONS or count != int(count):
        return None
    return int(count)


def number(value: object) -> int | float | None:
    """Return ``value`` if it is a number of JSON, else ``None``."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
