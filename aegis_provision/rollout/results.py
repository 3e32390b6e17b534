"""How hosts and runs end."""

from __future__ import annotations

from enum import StrEnum

from aegis_provision.values import dataclass


class Status(StrEnum):
    """How a host ended; the values are those of the JSON documents."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    RESTART_PENDING = "restart_pending"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    REFUSED = "refused"
    NOT_ATTEMPTED = "not_attempted"


SUCCESSES = frozenset({Status.UNCHANGED, Status.APPLIED, Status.RESTART_PENDING})
"""The statuses that are successes."""

FAILURES = frozenset(Status) - SUCCESSES - {Status.NOT_ATTEMPTED}
"""The statuses that count against a play's ``max_fail``."""


INTERRUPTED_EXIT_CODE = 130
"""The exit code of a run that the operator stopped, however its hosts ended."""


@dataclass(frozen=True, slots=True)
class HostResult:
    """How one host ended: ``message`` says why, ``hint`` what to do next; both may be empty.

    ``locked`` says that it was refused because another run was writing there. ``passed`` is false
    where the play asked for a restart that did not happen, or for a verify that could not be made.
    """

    host: str
    status: Status
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    locked: bool = False
    passed: bool = True

    @property
    def ok(self) -> bool:
        """Tell whether the host ended as the play wants it."""
        return self.status in SUCCESSES and self.passed

    @property
    def counts_as_failed(self) -> bool:
        """Tell whether the host counts against a play's ``max_fail``."""
        return self.status in FAILURES or not self.passed


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: each host's result in the schedule's order, and what cut it short.

    ``all_locked`` says that nothing was written, since another run held the lock on every host.
    """

    results: tuple[HostResult, ...]
    budget_spent: bool = False
    interrupted: bool = False
    all_locked: bool = False


def later_result(earlier: HostResult | None, later: HostResult) -> HostResult:
    """Return the result of a host that took part in two plays of one run.

    A play that found nothing to do does not hide what an earlier one did.
    """
    if earlier is not None and later.status is Status.UNCHANGED:
        return earlier
    return later
