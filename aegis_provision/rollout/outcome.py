"""How a host ended, and what that means for the whole run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a host ended (the words of the JSON contract)."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    RESTART_PENDING = "restart_pending"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class HostResult:
    """One host's end: ``message`` says why, ``hint`` what to do next; either may be empty."""

    host: str
    status: Status
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
