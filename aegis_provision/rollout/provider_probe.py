"""Probes the provider: asks it for its models from the host's point of view.

What its replies mean is in :mod:`aegis_provision.providers.probe_verdict`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.providers.probe_verdict import (
    Expected,
    Reply,
    TokenSource,
    connect_failure_verdict,
    models_url,
    native_models_url,
    probe_verdict,
    settles,
)
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.templates import references, single_reference
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown, tries
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.providers.probe_verdict import Verdict
    from aegis_provision.providers.session_variables import Session, Variable
    from aegis_provision.rollout.aegis_client import SendRequest
    from aegis_provision.transport.http_messages import HttpResponse

_SHORTEST_TIMEOUT = 1.0
_NEEDED = ("base_url", "auth_token", "model", "fast_model")
_NAMES_DEPLOYMENTS = "azure-openai"


def probe_provider(
    session: Session,
    send: SendRequest,
    timeout: float,
    pause: Callable[[float], object] = time.sleep,
) -> Ok | Unknown | Blocked:
    """Ask the provider for its models, with the host's token, from the host's point of view.

    The request is in OpenAI's form, and if that does not settle it in Anthropic's. A failure that
    may pass by itself is tried again until ``timeout`` seconds are over.
    """
    if not {VARIABLE_OF[key] for key in _NEEDED} <= session.values.keys():
        return Ok(("the provider was not asked: the file does not name one in full",))
    blocked = Blocked("")
    for seconds in tries(timeout, _SHORTEST_TIMEOUT, pause):
        verdict = _probe_once(session, send, seconds)
        if isinstance(verdict, Ok | Unknown):
            return verdict
        if verdict.ok:
            return Ok(verdict.warnings, verdict.checked)
        blocked = Blocked(verdict.message, verdict.hint)
        if not verdict.passing:
            break
    return blocked


def _probe_once(session: Session, send: SendRequest, timeout: float) -> Unknown | Verdict:
    expected = _expectation(session)
    value = session.values[VARIABLE_OF["auth_token"]]
    token = value if isinstance(value, Secret) else None
    response = send(HttpRequest(models_url(expected.base_url), token), timeout)
    if isinstance(response, HttpFailure):
        if response.cause is None:
            return Unknown(f"the provider was not asked: {response.reason}")
        return connect_failure_verdict(
            response.cause,
            base_url=expected.base_url,
            base_url_variable=expected.base_url_variable,
            seconds=timeout,
        )
    first, second = _reply(response), None
    if not settles(first, expected):
        left = max(_SHORTEST_TIMEOUT, timeout - response.seconds)
        native = HttpRequest(native_models_url(expected.base_url), token, native=True)
        native_response = send(native, left)
        second = None if isinstance(native_response, HttpFailure) else _reply(native_response)
    return probe_verdict(first, second, expected)


def _reply(response: HttpResponse) -> Reply:
    return Reply(response.status, response.body, response.seconds, response.location)


def _expectation(session: Session) -> Expected:
    variable = _variable(session, "base_url")
    reference = single_reference(variable.template) if variable else None
    return Expected(
        base_url=_text(session, "base_url"),
        model=_text(session, "model"),
        fast_model=_text(session, "fast_model"),
        base_url_variable=reference.name if reference else None,
        checks_models=_NAMES_DEPLOYMENTS not in session.spec.lineage,
        token=_token_source(session),
    )


def _token_source(session: Session) -> TokenSource:
    variable = _variable(session, "auth_token")
    if variable is None:
        return TokenSource()
    return TokenSource(
        tuple(dict.fromkeys(item.name for item in references(variable.template))),
        "" if variable.from_recipe else str(variable.span),
        stand_in=variable.name in session.by_default,
    )


def _variable(session: Session, key: str) -> Variable | None:
    name = VARIABLE_OF[key]
    return next((item for item in session.spec.variables if item.name == name), None)


def _text(session: Session, key: str) -> str:
    value = session.values[VARIABLE_OF[key]]
    if isinstance(value, Secret):
        raise TypeError(f"{key} is no secret")
    return value
