"""How it ended on a host: one session started or stopped there, or its sessions listed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.sessions import RunningSession


class SessionStatus(StrEnum):
    """How it ended on a host; the values are those of the JSON documents."""

    STARTED = "started"
    STOPPED = "stopped"
    LISTED = "listed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class SessionResult:
    """One session that was to be started or stopped on a host.

    ``id`` and ``name`` are Aegis' own, and empty where there is no session of ours: a session that
    was there already is none. ``message`` says why, ``hint`` what to do next. A failed result with
    an ``id`` is of a session that is there all the same.
    """

    host: str
    status: SessionStatus
    id: str = ""
    name: str = ""
    work_dir: str = ""
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether it ended as it was wanted."""
        return self.status in {SessionStatus.STARTED, SessionStatus.STOPPED}

    @property
    def counts_as_failed(self) -> bool:
        """Tell whether the host counts against ``max_fail``."""
        return self.status in {SessionStatus.FAILED, SessionStatus.UNREACHABLE}


@dataclass(frozen=True, slots=True)
class SessionListing:
    """The sessions of a host.

    ``unlisted`` counts those that the token does not show, ``None`` where that is not known.
    ``now`` is the host's own time, in seconds since the epoch, if it is known.
    """

    host: str
    status: SessionStatus
    sessions: tuple[RunningSession, ...] = ()
    unlisted: int | None = 0
    now: float | None = None
    message: str = ""
    hint: str = ""


Outcome = TypeVar("Outcome", SessionResult, SessionListing)
"""How it ended on a host, one way or the other."""
