"""The probe of the provider, by responses alone: values in, values out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.planning.rollback import session_from_config
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.recipes import VARIABLE_OF, resolve_providers
from aegis_provision.providers.session_variables import (
    Session,
    SessionSpec,
    resolve_env,
    session_specs,
)
from aegis_provision.rollout.provider_probe import probe_provider
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret

from tests.rollout.responses import LONG, NOBODY, SHORT, SILENT, TOKEN, UNASKED, Clock, Host

BASE_URL = "https://llm.example.com"
FOUND = Ok(
    (),
    'found "big" and "small" in "/models"; Claude Code\'s sessions call "/v1/messages", '
    'clients of OpenAI\'s API "/chat/completions"',
)


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


class Provider(Host):
    """A provider that lists no models without the token; ``without`` counts such requests."""

    without = 0

    def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        if request.token is None and request.method == "GET":
            self.without += 1
            return status(401)
        return super().__call__(request, timeout)


def probed(
    *answers: HttpResponse | HttpFailure, timeout: float = LONG, of: Session | None = None
) -> tuple[Ok | Unknown | Blocked, Host, Clock]:
    host, clock = Provider(answers), Clock()
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
    host = Host([models("big", "small")])
    probe_provider(session(auth_token="ollama-local"), host, LONG, Clock())
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


LISTED = models("big", "small")


@pytest.mark.parametrize(
    ("answers", "paths"),
    [
        ([401], ["/chat/completions"]),
        ([402], ["/chat/completions"]),
        ([404, 401], ["/chat/completions", "/v1/messages"]),
    ],
)
def test_a_token_is_tried_where_anybody_may_read_the_list(
    answers: list[int], paths: list[str]
) -> None:
    host = Host([LISTED, LISTED, *map(status, answers)])
    end = probe_provider(session(), host, LONG, Clock())
    assert isinstance(end, Blocked)
    assert f"({answers[-1]})" in end.message
    assert "auth_token" in end.hint
    assert [request.token is TOKEN for request in host.asked[:2]] == [True, False]
    tried = host.asked[2:]
    assert [(request.method, request.url) for request in tried] == [
        ("POST", f"{BASE_URL}{path}") for path in paths
    ]
    assert all(request.token is TOKEN and request.body == b"{}" for request in tried)


@pytest.mark.parametrize("answer", [400, 403, 422, 429, 500])
def test_what_else_such_a_request_gets_says_nothing_of_the_token(answer: int) -> None:
    end = probe_provider(session(), Host([LISTED, LISTED, status(answer)]), LONG, Clock())
    assert end == FOUND


def test_where_nothing_takes_such_a_request_it_is_said_with_what_was_found() -> None:
    answers = [LISTED, LISTED, status(404), status(404)]
    end = probe_provider(session(), Host(answers), LONG, Clock())
    assert isinstance(end, Ok)
    assert not end.warnings
    more = "; anybody may read the list: auth_token (ANTHROPIC_AUTH_TOKEN in the host's own file) "
    assert end.checked == f"{FOUND.checked}{more}was not checked"


NATIVE = {"data": [{"type": "model", "id": "big"}, {"type": "model", "id": "small"}]}


def test_where_anthropics_api_is_under_the_base_url_its_list_counts() -> None:
    end, host, _ = probed(status(404), HttpResponse(200, json.dumps(NATIVE).encode(), 0.1))
    calls = 'Claude Code\'s sessions call "/v1/messages"'
    assert end == Ok((), f'found "big" and "small" in "/v1/models"; {calls}')
    first, second = host.asked
    assert (first.url, first.native) == (f"{BASE_URL}/models", False)
    assert (second.url, second.native) == (f"{BASE_URL}/v1/models", True)
    assert second.token is TOKEN


@pytest.mark.parametrize("answer", [400, 401, 403, 422, 500])
def test_a_list_in_openais_form_may_be_of_a_provider_that_speaks_both(answer: int) -> None:
    end, host, _ = probed(status(404), models("big", "small"), status(answer))
    assert isinstance(end, Ok)
    assert not end.warnings
    third = host.asked[2]
    assert (third.method, third.url, third.body) == ("POST", f"{BASE_URL}/v1/messages", b"{}")
    assert third.token is TOKEN


def test_a_base_url_that_ends_before_v1_is_not_where_sessions_find_anything() -> None:
    end, _, clock = probed(status(404), models("big", "small"), status(404))
    assert isinstance(end, Blocked)
    assert "the base URL lacks its compatible path" in end.message
    assert end.hint.endswith(f'to "{BASE_URL}/v1"')
    assert clock.pauses == []


@pytest.mark.parametrize("answer", [status(405), status(501), SILENT], ids=["405", "501", "none"])
def test_where_that_does_not_show_a_warning_says_so(answer: HttpResponse | HttpFailure) -> None:
    end, _, _ = probed(status(404), models("big", "small"), answer)
    assert isinstance(end, Ok)
    [warning] = end.warnings
    assert warning.startswith('whether the provider has "/v1/messages"')
    assert warning.endswith("and base_url may lack /v1")


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


INVENTORY = """\
providers:
  gateway:
    extends: openrouter
    base_url: ${GATEWAY_URL:-https://llm.example.com}
    auth_token: ${GATEWAY_TOKEN}
    model: big
all:
  vars: {provider: gateway}
  hosts:
    a: {fast_model: "${GATEWAY_FAST_MODEL}"}
    b: {provider: ollama}
    c: {provider: openrouter}
"""
ENVIRON = {"GATEWAY_TOKEN": "t-1", "GATEWAY_FAST_MODEL": "small", "OPENROUTER_API_KEY": "t-2"}
OF_GATEWAY = {
    "base_url": "base_url (GATEWAY_URL is not set: its default, inventory.yml:4:15)",
    "auth_token": "auth_token (GATEWAY_TOKEN, inventory.yml:5:17)",
    "model": "model (inventory.yml:6:12)",
    "fast_model": "fast_model (GATEWAY_FAST_MODEL, inventory.yml:10:21)",
}
OF_OLLAMA = {
    "base_url": "base_url (OLLAMA_BASE_URL is not set: the default of the recipe ollama, "
    "inventory.yml:11:19)",
    "auth_token": "auth_token (OLLAMA_API_KEY is not set: the default of the recipe ollama, "
    "inventory.yml:11:19)",
    "model": "model (OLLAMA_MODEL is not set: the default of the recipe ollama, "
    "inventory.yml:11:19)",
    "fast_model": "fast_model (OLLAMA_FAST_MODEL is not set: the default of the recipe ollama, "
    "inventory.yml:11:19)",
}
OF_OPENROUTER = {
    "auth_token": "auth_token (OPENROUTER_API_KEY, recipe openrouter, inventory.yml:12:19)",
}
OF_FILE = {
    "base_url": "base_url (ANTHROPIC_BASE_URL in the host's own file)",
    "auth_token": "auth_token (ANTHROPIC_AUTH_TOKEN in the host's own file)",
    "model": "model (ANTHROPIC_DEFAULT_MODEL in the host's own file)",
    "fast_model": "fast_model (ANTHROPIC_DEFAULT_FAST_MODEL in the host's own file)",
}
BLAMED: dict[str, tuple[HttpResponse | HttpFailure, ...]] = {
    "base_url": (NOBODY, status(404), status(302), status(503)),
    "auth_token": (status(401), status(403), status(402), status(429)),
    "model": (models("small", "qwen2.5-coder"), models()),
    "fast_model": (models("big"), models()),
}


def of_inventory(name: str) -> tuple[Session, str]:
    file = InputFile("inventory", "", "inventory.yml", INVENTORY.encode(), 0)
    inventory, _ = load_inventory([file])
    assert inventory is not None
    specs, problems = session_specs(inventory, resolve_providers(inventory)[0])
    assert problems == ()
    provider = inventory.hosts[name].provider
    assert provider is not None
    return resolve_env(specs[name], ENVIRON), str(provider.span)


def test_what_is_blamed_is_named_with_its_variable_and_its_line() -> None:
    of_hosts = {"a": OF_GATEWAY, "b": OF_OLLAMA, "c": OF_OPENROUTER}
    for name, sources in of_hosts.items():
        found, chosen_at = of_inventory(name)
        for setting, source in sources.items():
            for answer in BLAMED[setting]:
                end = probe_provider(found, Host([answer]), SHORT, Clock(), chosen_at=chosen_at)
                assert isinstance(end, Blocked)
                assert source in end.hint
    content = json.dumps({"defaultSessionEnv": session_texts()}).encode()
    restored = session_from_config(content, "/opt/aegis/aegis.config.json")
    for setting, source in OF_FILE.items():
        for answer in BLAMED[setting]:
            end = probe_provider(restored, Host([answer]), SHORT, Clock())
            assert isinstance(end, Blocked)
            assert source in end.hint


def session_texts() -> dict[str, str]:
    texts = {"base_url": BASE_URL, "auth_token": "t-3", "model": "big", "fast_model": "small"}
    return {VARIABLE_OF[key]: text for key, text in texts.items()}


def asks_to_wait(text: str) -> HttpResponse:
    return HttpResponse(429, b"{}", 0.1, retry_after=text)


def test_the_provider_is_asked_again_when_it_says_and_not_before() -> None:
    end, host, clock = probed(asks_to_wait("7"), models("big", "small"))
    assert (end, clock.pauses, len(host.asked)) == (FOUND, [7.0], 2)
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    end, host, clock = probed(asks_to_wait(when), models("big", "small"))
    assert (end, len(host.asked)) == (FOUND, 2)
    assert 80 < clock.pauses[0] <= 90


@pytest.mark.parametrize("text", ["30", "86400"])
def test_the_provider_is_not_asked_again_where_it_says_that_this_is_too_soon(text: str) -> None:
    end, host, clock = probed(asks_to_wait(text), timeout=10.0)
    assert isinstance(end, Blocked)
    wait = {"30": "30 s", "86400": "1 d"}[text]
    assert end.message.startswith(
        f"the provider wants fewer requests (429) and asks to wait {wait}"
    )
    assert (len(host.asked), clock.pauses) == (1, [])


@pytest.mark.parametrize(
    ("text", "longest", "pauses"),
    [("25", 60.0, [25.0]), ("70", 60.0, []), ("290", 86_400.0, [290.0]), ("301", 86_400.0, [])],
)
def test_a_wait_that_is_asked_for_may_end_after_the_probes_own_time(
    text: str, longest: float, pauses: list[float]
) -> None:
    host, clock = Provider([asks_to_wait(text), models("big", "small")]), Clock()
    end = probe_provider(session(), host, 10.0, clock, longest=longest)
    assert clock.pauses == pauses
    assert isinstance(end, Ok if pauses else Blocked)
    assert len(host.asked) == 1 + len(pauses)


@pytest.mark.parametrize("text", ["0", "-5", "86401", "9" * 400, "soon", "1e3", "\x1b[2J"])
def test_a_wait_that_makes_no_sense_is_none(text: str) -> None:
    end, host, clock = probed(asks_to_wait(text), models("big", "small"))
    assert (end, clock.pauses, len(host.asked)) == (FOUND, [0.1], 2)
    end, _, _ = probed(asks_to_wait(text), timeout=SHORT)
    assert isinstance(end, Blocked)
    assert end.message == "the provider wants fewer requests (429): the token was not checked"


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
