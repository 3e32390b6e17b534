"""The sessions that Aegis lists, and which of them hold a restart (docs/aegis.md, "Sessions").

A restart ends every session. One that works or waits for a person's answer is a loss; one that has
been idle for long is not. A host sent the list, so none of it is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_provision.aegis.api_responses import json_value, number, seconds
from aegis_provision.humanize import blank_control, counted
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_SIZE = 100
"""How many sessions a page holds at most: Aegis' own limit."""

MOST_PAGES = 50
"""How many pages are read at most; sessions beyond them hold a restart."""

_AGEING = frozenset({"idle", "error", "unknown"})
_LONGEST_TEXT = 60
_LONGEST_PATH = 4096  # PATH_MAX of Linux
_NAMED = 5


@dataclass(frozen=True, slots=True)
class RunningSession:
    """One session of the list. Texts are safe to show.

    ``status`` is Aegis' own word, and ``work_dir`` the directory it works in; both are empty where
    they are missing. ``last_activity`` and ``created`` are in seconds since the epoch by the host's
    clock, ``None`` where they are missing or make no sense.
    """

    id: str
    name: str
    status: str
    last_activity: float | None = None
    work_dir: str = ""
    created: float | None = None


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of the list; ``pages`` is how many there are, ``total`` how many sessions."""

    sessions: tuple[RunningSession, ...]
    pages: int
    total: int


@dataclass(frozen=True, slots=True)
class HoldingSessions:
    """What holds a restart: ``listed`` sessions, and ``unlisted`` that the token does not show."""

    listed: tuple[RunningSession, ...] = ()
    unlisted: int = 0

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.listed) + self.unlisted

    def __str__(self) -> str:
        """Name them with their statuses: ``build (working), 2 that are not listed``."""
        names = [f"{item.name or item.id} ({item.status or 'no status'})" for item in self.listed]
        if len(names) > _NAMED:
            names = [*names[:_NAMED], f"{len(names) - _NAMED} more"]
        if self.unlisted:
            verb = "is" if self.unlisted == 1 else "are"
            names.append(f"{self.unlisted} that {verb} not listed")
        return ", ".join(names)


def sessions_path(page: int) -> str:
    """Return the path and query of a page of the list; the first is 1."""
    return f"/v1/sessions?page={page}&limit={PAGE_SIZE}"


def parse_sessions(status: int, body: bytes) -> SessionPage | None:
    """Return what a response of ``/v1/sessions`` lists, ``None`` if it is no list.

    Older servers answer with a bare list, or without ``pagination``: then the page is the only one.
    """
    root = json_value(body) if status == 200 else None
    entries = root.get("sessions") if isinstance(root, dict) else root
    if not isinstance(entries, list):
        return None
    sessions = tuple(_session(entry) for entry in entries)
    pagination = root.get("pagination") if isinstance(root, dict) else None
    pages = total = None
    if isinstance(pagination, dict):
        pages, total = _count(pagination.get("totalPages")), _count(pagination.get("total"))
    return SessionPage(sessions, pages or 1, max(total or 0, len(sessions)))


def holding_sessions(
    sessions: Sequence[RunningSession], active: int, now: float | None, idle_after: float
) -> HoldingSessions:
    """Return which sessions hold a restart.

    ``active`` is how many Aegis has in all: those that it does not list for this token hold it.
    ``now`` is Aegis' own time in seconds since the epoch, ``None`` if it is not known.
    ``idle_after`` is in seconds: a session that has been idle, in error or of unknown status for
    longer holds nothing. Sessions of any other status do, and so do those of unknown age.
    """
    listed = tuple(item for item in sessions if not _is_abandoned(item, now, idle_after))
    return HoldingSessions(listed, max(0, active - len(sessions)))


def ended_by_restart(sessions: Sequence[RunningSession]) -> str:
    """Say which idle sessions a restart ends, for the operator; empty for none."""
    if not sessions:
        return ""
    names = [item.name or item.id for item in sessions[:_NAMED]]
    if len(sessions) > _NAMED:
        names.append("...")
    return f"the restart ends {counted(len(sessions), 'idle session')} ({', '.join(names)})"


def _is_abandoned(session: RunningSession, now: float | None, idle_after: float) -> bool:
    if session.status not in _AGEING or now is None or session.last_activity is None:
        return False
    return now - session.last_activity > idle_after


def _session(entry: object) -> RunningSession:
    # An entry of another shape is a session all the same: it holds a restart.
    found: dict[str, Any] = entry if isinstance(entry, dict) else {}
    return RunningSession(
        id=_text(found.get("id")) or "?",
        name=_text(found.get("windowName")),
        status=_text(found.get("status")),
        last_activity=seconds(found.get("lastActivity")),
        work_dir=_text(found.get("workDir"), _LONGEST_PATH),
        created=seconds(found.get("createdAt")),
    )


def _text(value: object, longest: int = _LONGEST_TEXT) -> str:
    return blank_control(value.strip())[:longest] if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    found = number(value)
    if found is None or not 0 <= found <= 1_000_000 or found != int(found):
        return None
    return int(found)
