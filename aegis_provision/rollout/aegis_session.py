"""Starts, asks after, lists and ends sessions through Aegis' API on a host.

What the responses mean is in :mod:`aegis_provision.aegis.session_api`, and of lists in
:mod:`aegis_provision.aegis.sessions`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH
from aegis_provision.aegis.session_api import (
    CreatedSession,
    RefusedRequest,
    ReusedSession,
    parse_delivered,
    parse_refusal,
    parse_session,
    parse_session_health,
    prompt_body,
    session_body,
    session_path,
)
from aegis_provision.aegis.sessions import MOST_PAGES, parse_sessions, sessions_path
from aegis_provision.rollout.aegis_client import TOO_MANY_REQUESTS
from aegis_provision.rollout.verdicts import REQUEST_TIMEOUT, Blocked, Ok, Unknown, tries
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis_provision.aegis.sessions import RunningSession
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.aegis_client import AegisClient

START_TIMEOUT = 60.0
"""Seconds that Aegis may take to start a session: it waits for Claude Code itself."""

SEND_TIMEOUT = 60.0
"""Seconds that Aegis may take for a prompt: it waits until Claude Code is ready for one."""

READY_TIMEOUT = 10.0
"""Seconds for which a prompt waits until Claude Code shows that it takes one."""

GONE = Blocked(
    "the session was gone at once: Claude ended in it",
    "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
)
"""What is wrong where a session that was started is not there any more."""

_READY = frozenset({"idle", "waiting_for_input"})
_ASKS = frozenset({"permission_prompt", "plan_mode", "ask_question", "bash_approval", "settings"})
NOT_FOUND = 404
_SHORTEST_TIMEOUT = 0.5


def start_session(
    client: AegisClient,
    work_dir: str,
    *,
    name: str = "",
    env: Mapping[str, str | Secret] | None = None,
    timeout: float = START_TIMEOUT,
) -> CreatedSession | ReusedSession | RefusedRequest | HttpFailure:
    """Start a session, once: a request that is lost on the way is not sent again.

    ``env`` goes over the host's ``defaultSessionEnv``; ``None`` sends none. The client must have
    asked for the health before, so that it knows which token the API takes.
    """
    response = client.post(SESSIONS_PATH, session_body(work_dir, name, env), timeout)
    if isinstance(response, HttpFailure):
        return response
    return parse_session(response.status, response.body, response.retry_after)


def wait_for_claude(
    client: AegisClient,
    session: str,
    timeout: float,
    pause: Callable[[float], object] = time.sleep,
) -> Ok | Unknown | Blocked:
    """Return once Claude Code runs in ``session``, or what was found when the time was over.

    A response that does not tell is no reason to wait: Aegis says so or never does.
    """
    verdict: Ok | Unknown | Blocked = Unknown("the session was not asked for")
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause):
        response = client.get(session_path(session, "health"), seconds)
        if isinstance(response, HttpFailure):
            verdict = Unknown(f"whether Claude runs in it was not checked: {response.reason}")
            continue
        if response.status == TOO_MANY_REQUESTS:
            verdict = Unknown(
                "whether Claude runs in it was not checked: Aegis was asked too often"
            )
            continue
        if response.status == NOT_FOUND:
            return GONE
        health = parse_session_health(response.status, response.body)
        if health is None or health.claude_running is None:
            return Unknown("whether Claude runs in it was not checked: Aegis does not tell")
        if health.claude_running:
            return Ok()
        verdict = Blocked(
            f"Claude did not start in it within {timeout:g} s",
            "look at the session on the host, and try 'claude' there as Aegis' user",
        )
    return verdict


def question_in_the_way(
    client: AegisClient,
    session: str,
    timeout: float = READY_TIMEOUT,
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """Wait until a session takes a prompt; return the status of one that asks a question instead.

    The prompt would be the answer, and may confirm what nobody has read. Empty for no question: a
    session that shows nothing that Aegis knows is not waited for any longer than ``timeout``.
    """
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause):
        response = client.get(session_path(session, "health"), seconds)
        if isinstance(response, HttpFailure):
            continue
        if response.status == NOT_FOUND:
            break  # which sending the prompt will tell
        health = parse_session_health(response.status, response.body)
        status = health.status if health is not None else ""
        if status in _READY:
            return ""
        if status in _ASKS:
            return status
    return ""


def send_prompt(
    client: AegisClient, session: str, text: str, timeout: float = SEND_TIMEOUT
) -> bool | RefusedRequest | HttpFailure | None:
    """Send ``text`` to ``session``; tell whether it arrived, ``None`` where Aegis does not say."""
    response = client.post(session_path(session, "send"), prompt_body(text), timeout)
    if isinstance(response, HttpFailure):
        return response
    if 200 <= response.status < 300:
        return parse_delivered(response.status, response.body)
    return parse_refusal(response.status, response.body, response.retry_after)


def end_session(
    client: AegisClient, session: str, timeout: float = REQUEST_TIMEOUT
) -> RefusedRequest | HttpFailure | None:
    """End ``session``; return why it was not ended, ``None`` where it was."""
    response = client.delete(session_path(session), timeout)
    if isinstance(response, HttpFailure):
        return response
    if 200 <= response.status < 300:
        return None
    return parse_refusal(response.status, response.body, response.retry_after)


def read_sessions(
    client: AegisClient, timeout: float = REQUEST_TIMEOUT
) -> tuple[RunningSession, ...] | int | HttpFailure:
    """Return the sessions that the token shows, from all pages, or the status of no list.

    A session that moves from one page to the next between two requests is there once.
    """
    sessions: dict[str, RunningSession] = {}
    number, pages = 1, 1
    while number <= min(pages, MOST_PAGES):
        response = client.get(sessions_path(number), timeout)
        if isinstance(response, HttpFailure):
            return response
        page = parse_sessions(response.status, response.body)
        if page is None:
            return response.status
        for index, session in enumerate(page.sessions):
            sessions[session.id if session.id != "?" else f"{number}:{index}"] = session
        number, pages = number + 1, page.pages
    return tuple(sessions.values())
