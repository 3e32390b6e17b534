"""Waits before a restart until no session is running in Aegis that it would be a pity to end.

Which sessions hold a restart is decided in :mod:`aegis_provision.aegis.sessions`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH, active_sessions
from aegis_provision.aegis.api_verdict import HOW_TO_OPEN, LOCKED, NONE_TAKEN, too_often
from aegis_provision.aegis.session_api import RefusedRequest
from aegis_provision.aegis.sessions import HoldingSessions, ended_by_restart, holding_sessions
from aegis_provision.humanize import counted
from aegis_provision.playbook.plays import Sessions
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.rollout.aegis_client import TOO_MANY_REQUESTS, AskedTooOften
from aegis_provision.rollout.aegis_session_client import read_sessions, seconds_to_wait
from aegis_provision.rollout.verdicts import REQUEST_TIMEOUT, Blocked, Ok
from aegis_provision.transport.http_messages import HttpFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.aegis.api_responses import Health
    from aegis_provision.aegis.sessions import RunningSession
    from aegis_provision.playbook.plays import Gates
    from aegis_provision.rollout.aegis_client import AegisClient

_PAUSE = 3.0
_UNKNOWN_WAIT = 10.0
_LOCKED_OUT = frozenset({401, 403})
_LATER = "apply again when they are done, or restart it by hand"


def wait_for_idle(
    client: AegisClient,
    gates: Gates,
    *,
    pause: Callable[[float], bool],
    on_running: Callable[[str], None],
) -> Ok | Blocked:
    """Return once no session holds the restart, or why Aegis must not be restarted.

    ``gates`` say how long to wait, and after how long an idle session is not waited for. ``pause``
    waits and returns whether to go on. ``on_running`` is called with what holds the restart, when
    it changes. If nothing listens there is no session to lose, as far as the address is known. If
    the sessions are unknown, Aegis is not restarted; a token that the API does not take is not
    waited for.
    """
    if gates.sessions is Sessions.IGNORE:
        return Ok()
    began, reported = time.monotonic(), ""
    while True:
        found = _running_sessions(client, gates.idle_after)
        if isinstance(found, _Sessions) and not found.holding.count:
            note = ended_by_restart(found.abandoned)
            return Ok((note,) if note else ())
        if gates.sessions is Sessions.REFUSE and isinstance(found, _Sessions):
            return Blocked(f"{_are(found.holding)} running there", _LATER)
        # Sessions end in time; a reason why they can't be listed hardly ever goes away.
        longest = gates.sessions_wait
        if isinstance(found, _Unknown):
            longest = min(longest, _UNKNOWN_WAIT)
        left = began + longest - time.monotonic()
        hopeless = isinstance(found, _Unknown) and not found.passing
        if gates.sessions is Sessions.REFUSE or left <= 0 or hopeless:
            return _gave_up(found, gates.sessions_wait)
        if isinstance(found, _Sessions) and (text := _holding_text(found.holding)) != reported:
            on_running(text)
            reported = text
        if not pause(min(_PAUSE, left)):
            return Blocked("the run was stopped while it waited for sessions to end", _LATER)


@dataclass(frozen=True, slots=True)
class _Sessions:
    """The sessions of a host: what holds a restart, and idle ones that it ends."""

    holding: HoldingSessions
    abandoned: tuple[RunningSession, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Why the running sessions are unknown, what to do, and whether waiting may help."""

    reason: str
    hint: str = "set api and api_token, or say 'sessions: ignore'"
    passing: bool = True


def _running_sessions(client: AegisClient, idle_after: float) -> _Sessions | _Unknown:
    """Return the running sessions, or why they are unknown."""
    health = client.health(REQUEST_TIMEOUT)
    if isinstance(health, HttpFailure):
        if health.cause is ConnectFailure.NOT_LISTENING:
            return _not_listening(client)
        if isinstance(health, AskedTooOften):
            return _asked_too_often(health.wait)
        return _Unknown(health.reason, passing=health.cause is not None)
    if client.refused:
        return _Unknown(f"the API {NONE_TAKEN}", HOW_TO_OPEN, passing=False)
    if health.active == 0:
        return _Sessions(HoldingSessions())
    if health.active is None:
        return _counted(client)
    return _listed(client, health, health.active, idle_after)


def _not_listening(client: AegisClient) -> _Sessions | _Unknown:
    if client.address_is_known:
        return _Sessions(HoldingSessions())
    return _Unknown(
        f"nothing listens on {client.address}, and that this is where Aegis listens is a guess",
        "set api to where Aegis listens on the host, or say 'sessions: ignore'",
        passing=False,
    )


def _asked_too_often(wait: float | None) -> _Unknown:
    why = too_often(wait)
    return _Unknown(why.message, why.hint)


def _listed(
    client: AegisClient, health: Health, active: int, idle_after: float
) -> _Sessions | _Unknown:
    """Read the list of sessions; those that it does not show hold a restart."""
    every = read_sessions(client)
    if isinstance(every, HttpFailure):
        return _Unknown(every.reason)
    if isinstance(every, RefusedRequest):
        if every.status == TOO_MANY_REQUESTS:
            return _asked_too_often(seconds_to_wait(every))
        return _Sessions(HoldingSessions(unlisted=active))
    holding = holding_sessions(every, active, health.now, idle_after)
    held = set(holding.listed)
    return _Sessions(holding, tuple(item for item in every if item not in held))


def _counted(client: AegisClient) -> _Sessions | _Unknown:
    """Return how many sessions an Aegis has whose health does not tell."""
    response = client.get(SESSIONS_PATH, REQUEST_TIMEOUT)
    if isinstance(response, HttpFailure):
        return _Unknown(response.reason)
    listed = active_sessions(response.status, response.body)
    if listed is not None:
        return _Sessions(HoldingSessions(unlisted=listed))
    if response.status in _LOCKED_OUT:
        return _Unknown(f"the API {LOCKED}", HOW_TO_OPEN, passing=False)
    return _Unknown("the API does not list them")


def _gave_up(found: _Sessions | _Unknown, limit: float) -> Blocked:
    if isinstance(found, _Sessions):
        return Blocked(f"{_are(found.holding)} still running after {limit:g} s of waiting", _LATER)
    return Blocked(f"whether sessions are running can't be told: {found.reason}", found.hint)


def _holding_text(holding: HoldingSessions) -> str:
    text = f"{counted(holding.count, 'session')} running"
    return f"{text}: {holding}" if holding.listed else text


def _are(holding: HoldingSessions) -> str:
    verb = "is" if holding.count == 1 else "are"
    names = f" ({holding})" if holding.listed else ""
    return f"{counted(holding.count, 'session')}{names} {verb}"
