"""The probe of the provider, by responses alone: values in, values out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.nodes import Source, Span
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.session_variables import Session, SessionSpec, Variable
from aegis_provision.rollout.provider_probe import probe_provider
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown
from aegis_provision.transport.http_messages import HttpFailure, HttpResponse

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret

from tests.rollout.responses import LONG, NOBODY, SHORT, SILENT, TOKEN, UNASKED, Clock, Host

BASE_URL = "https://llm.example.com"
FOUND = Ok((), 'found "big" and "small" in "/models"')


def session(**changes: str | Secret | None) -> Session:
    keys: dict[str, str | Secret | None] = {
        "base_url": BASE_URL,
        "auth_token": TOKEN,
        "model": "big",
        "fast_model": "small",
        **changes,
    }
    values = {VARIABLE_OF[key]: value for key, value in keys.items() if value is not None}
    return Session(SessionSpec("gateway", (), allow_http=False, lineage=("gateway",)), values, ())


def probed(
    *answers: HttpResponse | HttpFailure, timeout: float = LONG, of: Session | None = None
) -> tuple[Ok | Unknown | Blocked, Host, Clock]:
    host, clock = Host(answers), Clock()
    return probe_provider(of or session(), host, timeout, pause=clock), host, clock


def models(*names: str, seconds: float = 0.1) -> HttpResponse:
    return HttpResponse(
        200, json.dumps({"data": [{"id": name} for name in names]}).encode(), seconds
    )


def status(number: int) -> HttpResponse:
    return HttpResponse(number, b"{}", 0.1)


def test_a_provider_that_offers_the_models_is_asked_once_with_the_hosts_token() -> None:
    end, host, clock = probed(models("big", "small"))
    assert (end, clock.pauses) == (FOUND, [])
    assert [request.url for request in host.asked] == [f"{BASE_URL}/models"]
    assert host.asked[0].token is TOKEN


def test_a_token_that_is_no_secret_is_not_sent() -> None:
    _, host, _ = probed(models("big", "small"), of=session(auth_token="ollama-local"))
    assert host.asked[0].token is None


def test_a_slow_provider_is_a_warning() -> None:
    end, _, _ = probed(models("big", "small", seconds=9.0))
    slow = "the provider is slow: it took 9 s to list its models"
    assert end == Ok((slow,), FOUND.checked)


@pytest.mark.parametrize(
    "first",
    [status(429), status(500), status(503), NOBODY, SILENT],
    ids=["too many", "broken", "unavailable", "not up yet", "silent"],
)
def test_what_passes_by_is_asked_again(first: HttpResponse | HttpFailure) -> None:
    end, _, clock = probed(first, first, models("big", "small"))
    assert end == FOUND
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("answer", [status(503), NOBODY], ids=["unavailable", "down"])
def test_what_does_not_pass_by_holds_when_time_is_over(answer: HttpResponse | HttpFailure) -> None:
    end, host, _ = probed(answer, timeout=SHORT)
    assert isinstance(end, Blocked)
    assert end.message
    assert end.hint
    assert len(host.asked) >= 2


@pytest.mark.parametrize(
    "answer",
    [
        status(401),
        status(403),
        status(404),
        status(307),
        models("other"),
        HttpFailure(ConnectFailure.UNKNOWN_NAME, ""),
        HttpFailure(ConnectFailure.NOT_TLS, ""),
        HttpFailure(ConnectFailure.UNTRUSTED, ""),
        HttpFailure(ConnectFailure.WRONG_NAME, ""),
        HttpFailure(ConnectFailure.EXPIRED, ""),
        HttpFailure(ConnectFailure.NOT_HTTP, ""),
    ],
    ids=lambda answer: str(answer.cause if isinstance(answer, HttpFailure) else answer.status),
)
def test_what_asking_again_will_not_change_holds_at_once(
    answer: HttpResponse | HttpFailure,
) -> None:
    end, host, clock = probed(answer)
    assert isinstance(end, Blocked)
    assert end.hint
    assert clock.pauses == []
    forms = [f"{BASE_URL}/models", f"{BASE_URL}/v1/models"]
    assert [request.url for request in host.asked] == forms[: len(host.asked)]
    assert len(host.asked) == (2 if isinstance(answer, HttpResponse) else 1)


def test_where_anthropics_api_is_under_the_base_url_its_list_counts() -> None:
    end, host, _ = probed(status(404), models("big", "small"))
    assert end == Ok((), 'found "big" and "small" in "/v1/models"')
    first, second = host.asked
    assert (first.url, first.native) == (f"{BASE_URL}/models", False)
    assert (second.url, second.native) == (f"{BASE_URL}/v1/models", True)
    assert second.token is TOKEN


def test_a_second_form_that_is_silent_leaves_the_first_answer() -> None:
    end, host, _ = probed(status(401), SILENT)
    assert isinstance(end, Blocked)
    assert "(401)" in end.message
    assert len(host.asked) == 2


def test_the_second_form_gets_the_time_that_the_first_one_left() -> None:
    _, host, _ = probed(HttpResponse(404, b"", 3.0), status(404), timeout=5.0)
    assert host.timeouts == [pytest.approx(5.0, abs=0.1), pytest.approx(2.0, abs=0.1)]
    _, host, _ = probed(HttpResponse(404, b"", 4.9), status(404), timeout=5.0)
    assert host.timeouts[1] == 1.0


@pytest.mark.parametrize(
    ("from_recipe", "by_default", "hint"),
    [
        (False, False, "check GW_KEY, which auth_token names (inventory.yml:4:7), and "),
        (True, False, "check GW_KEY, which auth_token names, and "),
        (True, True, "set GW_KEY, which auth_token names: it is not set, and "),
    ],
)
def test_a_refused_token_is_reported_with_its_variable_and_its_line(
    from_recipe: bool, by_default: bool, hint: str
) -> None:
    name = VARIABLE_OF["auth_token"]
    variable = Variable(
        name,
        "${GW_KEY}",
        setting="auth_token",
        sensitive=True,
        span=Span(Source("inventory.yml", ""), 4, 7, 4, 9),
        from_recipe=from_recipe,
    )
    spec = SessionSpec("gateway", (variable,), allow_http=False, lineage=("gateway",))
    defaulted = frozenset({name} if by_default else ())
    end, _, _ = probed(status(401), of=Session(spec, session().values, (), by_default=defaulted))
    assert isinstance(end, Blocked)
    assert end.hint.startswith(hint)


def test_the_variable_that_overrides_the_base_url_is_named() -> None:
    plain = session()
    variable = Variable(
        VARIABLE_OF["base_url"],
        "${GATEWAY_URL:-https://llm.example.com}",
        setting="base_url",
        sensitive=False,
        span=Span(Source("inventory.yml", ""), 1, 1, 1, 2),
        from_recipe=False,
    )
    named = Session(
        SessionSpec("gateway", (variable,), allow_http=False, lineage=("gateway",)),
        plain.values,
        (),
    )
    end, _, _ = probed(status(404), of=named)
    assert isinstance(end, Blocked)
    assert end.hint.startswith("check base_url (or GATEWAY_URL in your environment): ")


def test_a_provider_that_can_not_be_asked_is_unknown() -> None:
    end, _, _ = probed(UNASKED)
    assert end == Unknown(
        "the provider was not asked: the host's sshd does not forward connections"
    )


@pytest.mark.parametrize("missing", ["base_url", "auth_token", "model", "fast_model"])
def test_a_file_that_names_no_provider_in_full_is_a_warning(missing: str) -> None:
    end, host, _ = probed(models("big"), of=session(**{missing: None}))
    assert isinstance(end, Ok)
    assert end.warnings
    assert host.asked == []
