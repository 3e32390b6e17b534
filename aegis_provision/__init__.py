"""aegis-provision: brings a fleet of Aegis hosts to the LLM providers an inventory names.

What is in ``__all__`` is the Python API (``docs/python.md``). It is loaded when it is first used,
so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from aegis_provision.version import __version__

if TYPE_CHECKING:
    from aegis_provision.aegis.sessions import RunningSession
    from aegis_provision.api import (
        apply,
        doctor,
        list_sessions,
        load,
        past_run,
        plan,
        plan_rollback,
        runs,
        start_session,
        status,
        stop_session,
    )
    from aegis_provision.diagnosis.checks import Check, CheckResult, HostChecks
    from aegis_provision.errors import (
        Error,
        InputError,
        InvalidInputError,
        MissingExtraError,
        NoSuchRunError,
        RefusedError,
        StateDirError,
    )
    from aegis_provision.history.past_run import DamagedRun, PastRun
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.operations.apply import Run
    from aegis_provision.operations.load import Fleet
    from aegis_provision.operations.plan import RunPlan
    from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan
    from aegis_provision.planning.status import HostState, HostStatus
    from aegis_provision.rollout.results import HostResult, Status
    from aegis_provision.rollout.session_results import (
        SessionListing,
        SessionResult,
        SessionStatus,
    )
    from aegis_provision.rollout.thread_pool import CancelToken

__all__ = [
    "Action",
    "CancelToken",
    "Change",
    "ChangeKind",
    "Check",
    "CheckResult",
    "DamagedRun",
    "Error",
    "Fleet",
    "HostChecks",
    "HostPlan",
    "HostResult",
    "HostState",
    "HostStatus",
    "InputError",
    "InvalidInputError",
    "MissingExtraError",
    "NoSuchRunError",
    "PastRun",
    "RefusedError",
    "Run",
    "RunPlan",
    "RunSummary",
    "RunningSession",
    "SessionListing",
    "SessionResult",
    "SessionStatus",
    "StateDirError",
    "Status",
    "__version__",
    "apply",
    "doctor",
    "list_sessions",
    "load",
    "past_run",
    "plan",
    "plan_rollback",
    "runs",
    "start_session",
    "status",
    "stop_session",
]

_MODULES = {
    "aegis_provision.aegis.sessions": ("RunningSession",),
    "aegis_provision.api": (
        "apply",
        "doctor",
        "list_sessions",
        "load",
        "past_run",
        "plan",
        "plan_rollback",
        "runs",
        "start_session",
        "status",
        "stop_session",
    ),
    "aegis_provision.diagnosis.checks": ("Check", "CheckResult", "HostChecks"),
    "aegis_provision.errors": (
        "Error",
        "InputError",
        "InvalidInputError",
        "MissingExtraError",
        "NoSuchRunError",
        "RefusedError",
        "StateDirError",
    ),
    "aegis_provision.history.past_run": ("DamagedRun", "PastRun"),
    "aegis_provision.history.runs": ("RunSummary",),
    "aegis_provision.operations.apply": ("Run",),
    "aegis_provision.operations.load": ("Fleet",),
    "aegis_provision.operations.plan": ("RunPlan",),
    "aegis_provision.planning.plan": ("Action", "Change", "ChangeKind", "HostPlan"),
    "aegis_provision.planning.status": ("HostState", "HostStatus"),
    "aegis_provision.rollout.results": ("HostResult", "Status"),
    "aegis_provision.rollout.session_results": (
        "SessionListing",
        "SessionResult",
        "SessionStatus",
    ),
    "aegis_provision.rollout.thread_pool": ("CancelToken",),
}


if not TYPE_CHECKING:  # a name that is not there is an error to type checkers too

    def __getattr__(name: str) -> object:
        for module, names in _MODULES.items():
            if name in names:
                value: object = getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
