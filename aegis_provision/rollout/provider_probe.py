"""Probes the provider: asks it for its models from the host's point of view.

What its replies mean is in :mod:`aegis_provision.providers.probe_verdict`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis_provision.providers.connect_failure_verdict import connect_failure_verdict
from aegis_provision.providers.probe_verdict import (
    Expected,
    Reply,
    chat_url,
    messages_url,
    models_url,
    names_missing_path,
    native_models_url,
    needs_messages,
    probe_verdict,
    refused_token,
    settles,
)
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.retry_after import parse_retry_after
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.value_source import value_source
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown, tries
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.providers.probe_verdict import Verdict
    from aegis_provision.providers.session_variables import Session
    from aegis_provision.rollout.aegis_client import SendRequest
    from aegis_provision.transport.http_messages import HttpResponse

REFUSES_TOKEN = frozenset({401, 402})
"""What only a token that is not good there gets. Firewalls and gateways answer 403 to any."""

_SHORTEST_TIMEOUT = 1.0
_LONGEST_PUT_OFF = 300.0  # the lock is renewed by requests, and expires after twice as long
_NEEDED = ("base_url", "auth_token", "model", "fast_model")
_NAMES_DEPLOYMENTS = "azure-openai"
_LOCAL_SERVERS = {"lm-studio": "LM Studio", "ollama": "Ollama"}


def probe_provider(
    session: Session,
    send: SendRequest,
    timeout: float,
    pause: Callable[[float], object] = time.sleep,
    *,
    longest: float = 0.0,
    chosen_at: str = "",
) -> Ok | Unknown | Blocked:
    """Ask the provider for its models, with the host's token, from the host's point of view.

    The request is in OpenAI's form, and if that does not settle it in Anthropic's. What sessions
    call is asked for nothing where it takes that to tell a provider of both from a base URL that
    ends too early, or to try the token, since anybody may read the list. A failure that may pass by
    itself is tried again until ``timeout`` seconds are over. Where the provider says when
    (``Retry-After``), it is not asked before, also after that time, and not at all where that is
    after ``longest`` seconds. ``chosen_at`` is the inventory's place that chose the provider, for
    messages.
    """
    if missing_settings(session):
        return Ok(("the provider was not asked: the file does not name one in full",))
    until = time.monotonic() + timeout
    put_off = time.monotonic() + max(timeout, min(longest, _LONGEST_PUT_OFF))
    asked_wait = 0.0

    def wait(seconds: float) -> None:
        pause(max(seconds, asked_wait))

    expected = expectation(session, chosen_at)
    blocked = Blocked("")
    for seconds in tries(put_off - time.monotonic(), _SHORTEST_TIMEOUT, wait):
        left = until - time.monotonic()
        own = seconds if asked_wait else max(_SHORTEST_TIMEOUT, min(seconds, left))
        verdict = probe_once(session, expected, send, own)
        if isinstance(verdict, Unknown):
            return verdict
        if verdict.ok:
            verdict = _check_token(session, expected, verdict, send, own)
        if verdict.ok:
            return Ok(verdict.warnings, verdict.checked)
        blocked = Blocked(verdict.message, verdict.hint)
        asked_wait = verdict.retry_after or 0.0
        end = put_off if asked_wait else until
        if not verdict.passing or time.monotonic() + asked_wait > end:
            break
    return blocked


def missing_settings(session: Session) -> tuple[str, ...]:
    """Return what a probe needs and the session variables do not have, by setting."""
    return tuple(key for key in _NEEDED if VARIABLE_OF[key] not in session.values)


def probe_once(
    session: Session, expected: Expected, send: SendRequest, timeout: float
) -> Unknown | Verdict:
    """Ask the provider for its models, in both forms if need be, and never twice."""
    token = token_of(session)
    response = send(HttpRequest(models_url(expected.base_url), token), timeout)
    if isinstance(response, HttpFailure):
        if response.cause is None:
            return Unknown(f"the provider was not asked: {response.reason}")
        return connect_failure_verdict(response.cause, expected, timeout)
    first, second = _reply(response), None
    if not settles(first, expected):
        left = max(_SHORTEST_TIMEOUT, timeout - response.seconds)
        native = HttpRequest(native_models_url(expected.base_url), token, native=True)
        native_response = send(native, left)
        second = None if isinstance(native_response, HttpFailure) else _reply(native_response)
    if not needs_messages(first, second):
        return probe_verdict(first, second, expected)
    third = send(messages_request(expected, token), max(_SHORTEST_TIMEOUT, timeout))
    status = 0 if isinstance(third, HttpFailure) else third.status
    return probe_verdict(first, second, expected, status)


def _check_token(
    session: Session, expected: Expected, verdict: Verdict, send: SendRequest, timeout: float
) -> Verdict:
    """Return ``verdict``, or that the token is refused where anybody may read the list of models.

    Then what sessions call is asked, with the token and for nothing.
    """
    token = token_of(session)
    if token is None or expected.source("auth_token").by_default:
        return verdict
    native = verdict.url == native_models_url(expected.base_url)
    without = send(HttpRequest(verdict.url, native=native), timeout)
    if isinstance(without, HttpFailure) or not 200 <= without.status < 300:
        return verdict
    requests = [messages_request(expected, token)]
    if not native:
        requests.insert(0, chat_request(expected, token))
    for request in requests:
        response = send(request, timeout)
        if isinstance(response, HttpFailure) or names_missing_path(response.status):
            continue
        if response.status in REFUSES_TOKEN:
            return refused_token(response.status, expected)
        return verdict
    source = expected.source("auth_token")
    calls = f"{verdict.calls}; anybody may read the list: {source} was not checked"
    return replace(verdict, calls=calls)


def chat_request(expected: Expected, token: Secret | None) -> HttpRequest:
    """Return a request to what clients of OpenAI's API call, as :func:`messages_request` does."""
    return HttpRequest(chat_url(expected.base_url), token, method="POST", body=b"{}")


def messages_request(expected: Expected, token: Secret | None) -> HttpRequest:
    """Return a request to what Claude Code calls.

    It names no model and no message, so that it costs nothing.
    """
    url = messages_url(expected.base_url)
    return HttpRequest(url, token, native=True, method="POST", body=b"{}")


def token_of(session: Session) -> Secret | None:
    """Return the provider's token, ``None`` where there is none that is a secret."""
    value = session.values.get(VARIABLE_OF["auth_token"])
    return value if isinstance(value, Secret) else None


def expectation(session: Session, chosen_at: str = "") -> Expected:
    """Return what the provider of ``session`` is asked for; settings that it lacks are empty."""
    lineage = session.spec.lineage
    return Expected(
        base_url=_text(session, "base_url"),
        model=_text(session, "model"),
        fast_model=_text(session, "fast_model"),
        sources={key: value_source(session, key, chosen_at) for key in _NEEDED},
        checks_models=_NAMES_DEPLOYMENTS not in lineage,
        local_server=next((_LOCAL_SERVERS[name] for name in lineage if name in _LOCAL_SERVERS), ""),
    )


def _reply(response: HttpResponse) -> Reply:
    wait = parse_retry_after(response.retry_after, datetime.now(UTC))
    return Reply(response.status, response.body, response.seconds, response.location, wait)


def _text(session: Session, key: str) -> str:
    value = session.values.get(VARIABLE_OF[key], "")
    if isinstance(value, Secret):
        raise TypeError(f"{key} is no secret")
    return value
