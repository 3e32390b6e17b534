"""What follows once a session was started: Claude comes up in it, and is sent its prompt.

Both return what was found, as values; who asked for the session says what that means.
"""

from __future__ import annotations

import time
from enum import Enum, auto
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_verdict import TOO_OFTEN
from aegis_provision.aegis.session_api import (
    RefusedRequest,
    SessionHealth,
    parse_session_health,
    session_path,
)
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.rollout.aegis_client import TOO_MANY_REQUESTS
from aegis_provision.rollout.aegis_session_client import NOT_FOUND, send_prompt
from aegis_provision.rollout.verdicts import tries
from aegis_provision.transport.http_messages import HttpFailure
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.rollout.aegis_client import AegisClient

STEADY = 1.0
"""Seconds for which Claude must go on to run: one that fails to start is there for a moment."""

READY_TIMEOUT = 10.0
"""Seconds for which a prompt waits until Claude shows that it takes one."""

_WITHOUT_CLAUDE = 5.0
"""Seconds to wait for Claude where Aegis finds no Claude Code on its host."""

_BACK = 5.0
"""Seconds in which Claude may be back that was gone at the second look."""

_READY = frozenset({"idle", "waiting_for_input"})
_ASKS = frozenset({"permission_prompt", "plan_mode", "ask_question", "bash_approval", "settings"})
_SHORTEST_TIMEOUT = 0.5
_SERVER_ERROR = 500
_NEVER_SENT = frozenset({None, ConnectFailure.NOT_LISTENING})


class ClaudeState(Enum):
    """Whether Claude runs in a session.

    ``ENDED``: it ran, and does not run any more. ``GONE``: the session itself is not there any
    more. ``NOT_FOUND``: it does not run, and Aegis says that there is no Claude Code on the host.
    ``UNKNOWN``: that can't be told.
    """

    RUNS = auto()
    DID_NOT_START = auto()
    ENDED = auto()
    GONE = auto()
    NOT_FOUND = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class ClaudeFound:
    """What was found of Claude in a session; ``reason`` says why it can't be told."""

    state: ClaudeState
    reason: str = ""


class Sent(Enum):
    """What became of a prompt.

    ``DELIVERED`` reached Claude and ``NOT_DELIVERED`` did not, as Aegis says; of ``NOT_SAID`` it
    took the prompt and says neither. ``UNKNOWN`` was sent, and may have arrived.

    The others were not sent: ``QUESTION`` would have answered what the session asks, and
    ``NOT_TOLD`` might have; ``REFUSED`` Aegis did not take; of ``NOT_SENT`` no request arrived; of
    ``GONE`` the session is not there any more.
    """

    DELIVERED = auto()
    NOT_DELIVERED = auto()
    NOT_SAID = auto()
    UNKNOWN = auto()
    QUESTION = auto()
    NOT_TOLD = auto()
    REFUSED = auto()
    NOT_SENT = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a prompt, and why: the status of a ``QUESTION``, else a reason.

    ``refused`` is Aegis' response to one that was ``REFUSED``; ``cause`` that of a ``NOT_SENT``.
    """

    sent: Sent
    reason: str = ""
    refused: RefusedRequest | None = None
    cause: ConnectFailure | None = None


def await_claude(
    client: AegisClient,
    session: str,
    timeout: float,
    *,
    installed: bool | None,
    pause: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> ClaudeFound:
    """Return once Claude runs in ``session`` and goes on to, or what was found in ``timeout``.

    ``installed`` is what Aegis says of Claude Code on its host, ``None`` for nothing: where there
    is none, it is waited for a moment only. Raises :class:`Unreachable`.
    """
    missing = installed is False
    until = now() + (min(timeout, _WITHOUT_CLAUDE) if missing else timeout)
    found = _claude_within(client, session, until - now(), pause, now)
    if found.state is ClaudeState.RUNS:
        pause(STEADY)
        again = _claude_within(client, session, min(_BACK, until - now()), pause, now)
        was_there = again.state is ClaudeState.DID_NOT_START
        return ClaudeFound(ClaudeState.ENDED) if was_there else again
    if missing and found.state is ClaudeState.DID_NOT_START:
        return ClaudeFound(ClaudeState.NOT_FOUND)
    return found


def deliver_prompt(
    client: AegisClient,
    session: str,
    text: str,
    *,
    timeout: float = READY_TIMEOUT,
    pause: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Delivery:
    """Send ``text`` to ``session`` once, where it is known that it answers no question.

    ``timeout`` is how many seconds it waits for Claude to take one: a session that shows nothing
    that Aegis knows is not waited for any longer. Raises :class:`Unreachable`.
    """
    problem = _in_the_way(client, session, timeout, pause, now)
    if problem is not None:
        return problem
    found = send_prompt(client, session, text)
    match found:
        case True:
            return Delivery(Sent.DELIVERED)
        case False:
            return Delivery(Sent.NOT_DELIVERED)
        case None:
            return Delivery(Sent.NOT_SAID)
        case HttpFailure(cause, reason) if cause in _NEVER_SENT:
            return Delivery(Sent.NOT_SENT, reason, cause=cause)
        case HttpFailure(_, reason):
            return Delivery(Sent.UNKNOWN, reason)
        case RefusedRequest(status) if status == NOT_FOUND:
            return Delivery(Sent.GONE)
    return Delivery(Sent.REFUSED, refused=found)


def _claude_within(
    client: AegisClient,
    session: str,
    timeout: float,
    pause: Callable[[float], object],
    now: Callable[[], float],
) -> ClaudeFound:
    found = ClaudeFound(ClaudeState.UNKNOWN, "the session was not asked for")
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause, now):
        health = _ask(client, session, seconds)
        match health:
            case _Passing(reason):
                found = ClaudeFound(ClaudeState.UNKNOWN, reason)
            case ClaudeFound():
                return health
            case SessionHealth(claude_running=True):
                return ClaudeFound(ClaudeState.RUNS)
            case SessionHealth(claude_running=None):
                return ClaudeFound(ClaudeState.UNKNOWN, "Aegis does not tell")
            case SessionHealth():
                found = ClaudeFound(ClaudeState.DID_NOT_START)
    return found


def _in_the_way(
    client: AegisClient,
    session: str,
    timeout: float,
    pause: Callable[[float], object],
    now: Callable[[], float],
) -> Delivery | None:
    """Wait until a session takes a prompt; return why it must not be sent, ``None`` if it may.

    The prompt would answer what the session asks, and may confirm what was not read.
    """
    problem: Delivery | None = None
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause, now):
        health = _ask(client, session, seconds)
        match health:
            case _Passing(reason):
                problem = Delivery(Sent.NOT_TOLD, reason)
            case ClaudeFound(ClaudeState.GONE):
                return Delivery(Sent.GONE)
            case ClaudeFound(_, reason):
                return Delivery(Sent.NOT_TOLD, reason)
            case SessionHealth(status=status) if status in _ASKS:
                return Delivery(Sent.QUESTION, status)
            case SessionHealth(status=status) if status in _READY:
                return None
            case SessionHealth():
                problem = None
    return problem


@dataclass(frozen=True, slots=True)
class _Passing:
    """Why a session's health is not known; a later try may succeed."""

    reason: str


def _ask(
    client: AegisClient, session: str, timeout: float
) -> SessionHealth | _Passing | ClaudeFound:
    """Ask for a session's health: what it says, or what no further try would change."""
    response = client.get(session_path(session, "health"), timeout)
    if isinstance(response, HttpFailure):
        return _Passing(response.reason)
    if response.status == NOT_FOUND:
        return ClaudeFound(ClaudeState.GONE)
    if response.status == TOO_MANY_REQUESTS:
        return _Passing(TOO_OFTEN)
    if response.status >= _SERVER_ERROR:
        return _Passing(f"Aegis answers with status {response.status}")
    health = parse_session_health(response.status, response.body)
    if health is not None:
        return health
    own = f"answers with status {response.status}" if response.status != 200 else "does not tell"
    return ClaudeFound(ClaudeState.UNKNOWN, f"Aegis {own}")
