"""Starts, asks after, lists and ends sessions through Aegis' API on a host.

What the responses mean is in :mod:`aegis_provision.aegis.session_api`, and of lists in
:mod:`aegis_provision.aegis.sessions`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_responses import SESSIONS_PATH
from aegis_provision.aegis.api_verdict import explain_failure, explain_refusal, too_often
from aegis_provision.aegis.session_api import (
    CreatedSession,
    RefusedRequest,
    ReusedSession,
    parse_delivered,
    parse_refusal,
    parse_session,
    prompt_body,
    session_body,
    session_path,
)
from aegis_provision.aegis.sessions import MOST_PAGES, parse_sessions, sessions_path
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.retry_after import parse_retry_after
from aegis_provision.rollout.aegis_client import AskedTooOften
from aegis_provision.rollout.verdicts import REQUEST_TIMEOUT, blocked
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis_provision.aegis.api_verdict import RequestContext
    from aegis_provision.aegis.sessions import RunningSession
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.aegis_client import AegisClient
    from aegis_provision.rollout.verdicts import Blocked

START_TIMEOUT = 60.0
"""Seconds that Aegis may take to start a session: it waits for Claude Code itself."""

SEND_TIMEOUT = 60.0
"""Seconds that Aegis may take for a prompt: it waits until Claude Code is ready for one."""

LIST_TIMEOUT = 30.0
"""Seconds that the list of sessions may take, with all its pages."""

NOT_FOUND = 404


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


def why_refused(refused: RefusedRequest, client: AegisClient, context: RequestContext) -> Blocked:
    """Return why Aegis refused a request of ``client``, and what to do."""
    return blocked(explain_refusal(refused, client.access, context, seconds_to_wait(refused)))


def why_failed(failure: HttpFailure, client: AegisClient) -> Blocked:
    """Return why ``client`` could not ask Aegis at all, and what to do."""
    if isinstance(failure, AskedTooOften):
        return blocked(too_often(failure.wait))
    return blocked(explain_failure(failure.reason, failure.cause, client.access))


def seconds_to_wait(refused: RefusedRequest) -> float | None:
    """Return after how many seconds Aegis wants to be asked again, ``None`` if it does not say."""
    return parse_retry_after(refused.retry_after, datetime.now(UTC))


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
    client: AegisClient,
    timeout: float = LIST_TIMEOUT,
    now: Callable[[], float] = time.monotonic,
) -> tuple[RunningSession, ...] | RefusedRequest | HttpFailure:
    """Return the sessions that the token shows, from all pages, or why there is no list.

    ``timeout`` is for all pages, by the clock ``now``. A session that moves from one page to the
    next between two requests is there once.
    """
    until = now() + timeout
    sessions: dict[str, RunningSession] = {}
    number, pages = 1, 1
    while number <= min(pages, MOST_PAGES):
        left = until - now()
        if left <= 0:
            words = f"the list of sessions did not end within {timeout:g} s"
            return HttpFailure(ConnectFailure.TIMED_OUT, words)
        response = client.get(sessions_path(number), min(REQUEST_TIMEOUT, left))
        if isinstance(response, HttpFailure):
            return response
        page = parse_sessions(response.status, response.body)
        if page is None:
            return parse_refusal(response.status, response.body, response.retry_after)
        for index, session in enumerate(page.sessions):
            sessions[session.id if session.id != "?" else f"{number}:{index}"] = session
        number, pages = number + 1, page.pages
    return tuple(sessions.values())
