"""Checks of a host's provider: whether the host reaches it, its token, its models.

Each rests on the one before: what is wrong fails one of them, and those after it are not checked.
What is wrong has the words of :mod:`aegis_provision.providers.probe_verdict`, as in a playbook's
gates. What goes beyond these is asked here alone: whether the list needs the token at all, and by a
request that names no model, and so costs nothing, whether what Claude Code calls is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from aegis_provision.diagnosis.checks import Check, CheckResult, HostCheck, rests_on
from aegis_provision.documents.quoting import quote
from aegis_provision.providers.connect_failure_verdict import connect_failure_verdict
from aegis_provision.providers.probe_verdict import (
    SLOW_SECONDS,
    Aspect,
    chat_url,
    is_page,
    messages_url,
    names_missing_path,
    native_models_url,
    refused_token,
    shown_path,
)
from aegis_provision.providers.redaction import Redactor
from aegis_provision.providers.secret import Secret
from aegis_provision.rollout.provider_probe import (
    REFUSES_TOKEN,
    chat_request,
    expectation,
    messages_request,
    missing_settings,
    probe_once,
    token_of,
)
from aegis_provision.rollout.verdicts import Unknown
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.providers.probe_verdict import Expected, Verdict
    from aegis_provision.providers.session_variables import Session
    from aegis_provision.transport.http_messages import Connected, HttpResponse

_PROVIDER, _TOKEN, _MODEL = HostCheck.PROVIDER, HostCheck.TOKEN, HostCheck.MODEL
_ANSWERED = frozenset({Aspect.TOKEN, Aspect.MODEL, None})
_WITH_PROBE = "asked with --probe"
_ASK = "ask with --probe"
_SLOW_REMEDY = "look at the network between the host and the provider"
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_REFUSES = frozenset({_UNAUTHORIZED, _FORBIDDEN})
_AT_THE_MOMENT = frozenset({408, 425, 429})
_BROKEN = 500
_COMPLAINS = frozenset({400, 422})
"""What an API says to a request that lacks what it needs."""
_IS_THERE = _COMPLAINS | {_UNAUTHORIZED}
"""What is answered under a path that is there. Firewalls and gateways answer 403 under any."""


class FromHost(Protocol):
    """What asks a provider from a host's point of view. Each raises ``Unreachable``."""

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request``."""
        ...

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        """Connect to where ``request`` would go, TLS included, and send no request."""
        ...


def provider_checks(
    session: Session, host: FromHost, timeout: float, *, probe: bool, chosen_at: str = ""
) -> tuple[Check, ...]:
    """Return the checks ``provider``, ``token`` and ``model`` of a host's provider, in this order.

    Without ``probe`` only a connection to the provider is tried, TLS included: no request is sent.
    ``timeout`` bounds each question (seconds). ``chosen_at`` is the inventory's place that chose
    the provider, for messages. Raises :class:`Unreachable` if the connection to the host is lost.
    """
    expected = expectation(session, chosen_at)
    missing = missing_settings(session)
    if not expected.base_url:
        checks = _not_checked("the session variables name no base_url")
    elif not probe or missing:
        why = f"the session variables have no {' and no '.join(missing)}" if probe else _WITH_PROBE
        checks = _connection_checks(expected, host, timeout, why)
    else:
        checks = _Probe(session, expected, host, timeout).checks()
    redactor = Redactor.of(item for item in session.values.values() if isinstance(item, Secret))
    return tuple(
        replace(check, message=redactor.redact(check.message), remedy=redactor.redact(check.remedy))
        for check in checks
    )


def _not_checked(why: str) -> tuple[Check, ...]:
    return tuple(Check(name, CheckResult.NOT_CHECKED, why) for name in (_PROVIDER, _TOKEN, _MODEL))


def _alone(provider: Check) -> tuple[Check, ...]:
    """Return the checks where ``provider`` leaves nothing else to check."""
    return provider, rests_on(_TOKEN, _PROVIDER), rests_on(_MODEL, _PROVIDER)


def _failed(check: str, verdict: Verdict) -> Check:
    return Check(check, CheckResult.FAIL, verdict.message, verdict.hint)


def _connection_checks(
    expected: Expected, host: FromHost, timeout: float, why: str
) -> tuple[Check, ...]:
    """Return the checks of a provider that is sent nothing; ``why`` is why."""
    parts = urlsplit(expected.base_url)
    where = quote(parts.netloc.rpartition("@")[2])
    over = "over TLS" if parts.scheme == "https" else "without TLS"
    check = Check(_PROVIDER, CheckResult.OK, f"the host connects to {where} {over}")
    found = host.try_connection(HttpRequest(expected.base_url), timeout)
    if isinstance(found, HttpFailure):
        if found.cause is not None:
            return _alone(
                _failed(_PROVIDER, connect_failure_verdict(found.cause, expected, timeout))
            )
        check = Check(_PROVIDER, CheckResult.NOT_CHECKED, f"not tried: {found.reason}", _ASK)
    elif found.seconds > SLOW_SECONDS:
        message = f"the provider is slow: it took {found.seconds:.0f} s to connect to {where}"
        check = Check(_PROVIDER, CheckResult.WARN, message, _SLOW_REMEDY)
    _, token, model = _not_checked(why)
    return check, token, model


@dataclass(frozen=True, slots=True)
class _Probe:
    """The questions to the provider of one host."""

    session: Session
    expected: Expected
    host: FromHost
    timeout: float

    def checks(self) -> tuple[Check, ...]:
        verdict = probe_once(self.session, self.expected, self.host.request, self.timeout)
        if isinstance(verdict, Unknown):
            return _alone(Check(_PROVIDER, CheckResult.NOT_CHECKED, verdict.message))
        if verdict.aspect is Aspect.PATH:
            return self._without_list(verdict)
        if verdict.aspect not in _ANSWERED:
            return _alone(_failed(_PROVIDER, verdict))
        if verdict.aspect is Aspect.TOKEN:
            answers = Check(_PROVIDER, CheckResult.OK, "it answers")
            return answers, _failed(_TOKEN, verdict), rests_on(_MODEL, _TOKEN)
        status = self._ask_messages(with_token=True)
        token = self._token_check(verdict, status)
        model = self._model_check(verdict)
        if token.result is CheckResult.FAIL:
            model = rests_on(_MODEL, _TOKEN)
        return self._provider_check(verdict, status), token, model

    def _without_list(self, verdict: Verdict) -> tuple[Check, ...]:
        """Return the checks of a provider without a list of models under its base URL.

        That is a wrong base URL, unless what Claude Code calls is there all the same: not every
        provider lists its models.
        """
        status = self._ask_messages(with_token=True)
        if status not in _IS_THERE:
            return _alone(_failed(_PROVIDER, verdict))
        provider = Check(
            _PROVIDER,
            CheckResult.WARN,
            f"the provider lists no models, but {self._messages}, which Claude Code's sessions "
            "call, is there",
            "leave probe out of the plays for such hosts: it fails without a list",
        )
        if status == _UNAUTHORIZED:
            refused = _failed(_TOKEN, refused_token(status, self.expected))
            return provider, refused, rests_on(_MODEL, _TOKEN)
        needed = self._ask_messages(with_token=False)
        token = _taken(needed) if needed in _REFUSES else _not_shown()
        model = Check(_MODEL, CheckResult.NOT_CHECKED, "the provider lists no models")
        return provider, token, model

    def _provider_check(self, verdict: Verdict, status: int) -> Check:
        """Return the check of a provider that lists its models.

        ``status`` is what Claude Code's own request gets.
        """
        listed = shown_path(verdict.url)
        if names_missing_path(status):
            chat = shown_path(chat_url(self.expected.base_url))
            message = (
                f"{listed} answers, but there is no {self._messages} ({status}), which Claude "
                f"Code's sessions call; clients of OpenAI's API call {chat}"
            )
            remedy = (
                f"where sessions fail with {status}, set {self.expected.source('base_url')} to "
                "what comes before the provider's /v1/messages"
            )
        elif status in _IS_THERE:
            message = f"{listed} answers, and so does what Claude Code's sessions call: "
            message, remedy = message + self._messages, ""
        elif status in _AT_THE_MOMENT or status >= _BROKEN:
            message = (
                f"{listed} answers, but {self._messages}, which Claude Code's sessions call, "
                f"answers {status}"
            )
            remedy = "try again later, and look at the provider's own status and at your quota"
        else:
            message, remedy = f"{listed} answers; {verdict.calls}", ""
        result = CheckResult.WARN if remedy or verdict.slow else CheckResult.OK
        if verdict.slow:
            message, remedy = f"{verdict.slow}; {message}", remedy or _SLOW_REMEDY
        return Check(_PROVIDER, result, message, remedy)

    def _token_check(self, verdict: Verdict, status: int) -> Check:
        """Return the check of a token with which the provider listed its models.

        It is taken where the same request without it is refused. Of a list that anyone may read
        nothing follows; then what Claude Code calls is asked, which got ``status`` with the token.
        """
        native = verdict.url == native_models_url(self.expected.base_url)
        needed = self._ask(HttpRequest(verdict.url, native=native))
        if needed in _REFUSES and status in _REFUSES:
            return Check(
                _TOKEN,
                CheckResult.WARN,
                f"{shown_path(verdict.url)} takes it, and {self._messages}, which Claude Code's "
                f"sessions call, does not ({status})",
                f"check {self.expected.source('auth_token')}, and what that token may do",
            )
        if needed in _REFUSES:
            return _taken(needed)
        for refusal in (status, 0 if native else self._ask(self._chat_request)):
            if refusal in REFUSES_TOKEN:
                return _failed(_TOKEN, refused_token(refusal, self.expected))
        if status in _COMPLAINS:
            needed = self._ask_messages(with_token=False)
            if needed in _REFUSES:
                return _taken(needed)
        if self.expected.source("auth_token").by_default:
            return Check(_TOKEN, CheckResult.OK, "the provider asks for none")
        return _not_shown()

    def _model_check(self, verdict: Verdict) -> Check:
        if verdict.aspect is Aspect.MODEL:
            return _failed(_MODEL, verdict)
        if not self.expected.checks_models:
            why = "the provider lists models, and sessions name deployments"
            return Check(_MODEL, CheckResult.NOT_CHECKED, why)
        if verdict.unchecked:
            return Check(_MODEL, CheckResult.NOT_CHECKED, verdict.unchecked)
        return Check(_MODEL, CheckResult.OK, verdict.found)

    @property
    def _chat_request(self) -> HttpRequest:
        return chat_request(self.expected, token_of(self.session))

    @property
    def _messages(self) -> str:
        return shown_path(messages_url(self.expected.base_url))

    def _ask_messages(self, *, with_token: bool) -> int:
        """Return the status of a request to what Claude Code calls; it asks for nothing."""
        token = token_of(self.session) if with_token else None
        return self._ask(messages_request(self.expected, token))

    def _ask(self, request: HttpRequest) -> int:
        """Return the status of the answer, 0 without one, and where a page came instead."""
        response = self.host.request(request, self.timeout)
        if isinstance(response, HttpFailure):
            return 0
        is_foreign = is_page(response.body) and not names_missing_path(response.status)
        return 0 if is_foreign else response.status


def _taken(without: int) -> Check:
    return Check(_TOKEN, CheckResult.OK, f"it is taken: without it the answer is {without}")


def _not_shown() -> Check:
    return Check(
        _TOKEN,
        CheckResult.NOT_CHECKED,
        "the provider gives the same answers without it: whether it is taken does not show",
    )
