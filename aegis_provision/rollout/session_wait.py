"""Waits before a restart until no session is running in Aegis on the host.

How Aegis counts its sessions is in :mod:`aegis_provision.aegis.api`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.aegis.api import SESSIONS_PATH, active_sessions
from aegis_provision.humanize import counted
from aegis_provision.playbook.plays import Sessions
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.rollout.gates import REQUEST_TIMEOUT, Blocked, Ok, get_health
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.rollout.gates import AegisApi, SendRequest

_PAUSE = 3.0
_UNKNOWN_WAIT = 10.0
_LOCKED_OUT = frozenset({401, 403})


def wait_for_idle(
    api: AegisApi,
    send: SendRequest,
    policy: Sessions,
    limit: float,
    *,
    pause: Callable[[float], bool],
    on_running: Callable[[int], None],
) -> Ok | Blocked:
    """Return once no session is running, or why Aegis must not be restarted.

    ``limit`` is how many seconds to wait at most. ``pause`` waits and returns whether to go on.
    ``on_running`` is called with the number of running sessions when it changes. If nothing listens
    there is no session to lose. If the number is unknown, Aegis is not restarted; a token that the
    API does not take is not waited for.
    """
    if policy is Sessions.IGNORE:
        return Ok()
    began, reported = time.monotonic(), 0
    while True:
        running = _running_sessions(api, send)
        if running == 0:
            return Ok()
        # Sessions end in time; a reason why they can't be counted hardly ever goes away.
        longest = limit if isinstance(running, int) else min(limit, _UNKNOWN_WAIT)
        left = began + longest - time.monotonic()
        if isinstance(running, int):
            if policy is Sessions.REFUSE:
                return Blocked(
                    f"{_sessions(running)} running there",
                    "apply again when they are done, or restart it by hand",
                )
            if running != reported:
                on_running(running)
                reported = running
        hopeless = isinstance(running, _Unknown) and not running.passing
        if policy is Sessions.REFUSE or left <= 0 or hopeless:
            return _gave_up(running, limit)
        if not pause(min(_PAUSE, left)):
            return Blocked(
                "the run was stopped while it waited for sessions to end",
                "apply again when they are done, or restart it by hand",
            )


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Why the number of running sessions is unknown, and whether waiting may help."""

    reason: str
    passing: bool = True


def _running_sessions(api: AegisApi, send: SendRequest) -> int | _Unknown:
    """Return how many sessions are running, or why that is unknown."""
    health = get_health(api, send, REQUEST_TIMEOUT)
    if isinstance(health, HttpFailure):
        if health.cause is ConnectFailure.NOT_LISTENING:
            return 0
        return _Unknown(health.reason, passing=health.cause is not None)
    if health.active is not None:
        return health.active
    response = send(api.request_for(SESSIONS_PATH), REQUEST_TIMEOUT)
    if isinstance(response, HttpFailure):
        return _Unknown(response.reason)
    listed = active_sessions(response.status, response.body)
    if listed is not None:
        return listed
    if response.status in _LOCKED_OUT:
        return _Unknown("the API does not take the token", passing=False)
    return _Unknown("the API does not list them")


def _gave_up(running: int | _Unknown, limit: float) -> Blocked:
    if isinstance(running, int):
        return Blocked(
            f"{_sessions(running)} still running after {limit:g} s of waiting",
            "apply again when they are done, or restart it by hand",
        )
    return Blocked(
        f"whether sessions are running can't be told: {running.reason}",
        "set api and api_token, or say 'sessions: ignore'",
    )


def _sessions(count: int) -> str:
    return f"{counted(count, 'session')} {'is' if count == 1 else 'are'}"
