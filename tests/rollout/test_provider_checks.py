"""The checks of a provider: one fault fails one of them, in the words of the gates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from aegis_provision.diagnosis.checks import CheckResult
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.recipes import builtin_recipes
from aegis_provision.providers.session_variables import recipe_spec, resolve_env
from aegis_provision.rollout.provider_checks import provider_checks
from aegis_provision.rollout.provider_probe import probe_provider
from aegis_provision.rollout.verdicts import Blocked
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import (
    Connected,
    HttpFailure,
    HttpRequest,
    HttpResponse,
)
from tests.fleet.certificates import make_authority
from tests.fleet.clients import options, target_at
from tests.fleet.openssh import free_port, running_sshd
from tests.fleet.provider_server import running_provider
from tests.rollout.responses import SHORT, Clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_provision.diagnosis.checks import Check
    from aegis_provision.providers.session_variables import Session
    from tests.fleet.openssh import Sshd

TOKEN = "token-of-this-test"
BASE_URL = "https://llm.example.com/v1"
GATEWAY = {
    "OPENROUTER_API_KEY": TOKEN,
    "OPENROUTER_BASE_URL": BASE_URL,
    "OPENROUTER_MODEL": "big",
    "OPENROUTER_FAST_MODEL": "small",
}
OF_BASE_URL = "base_url (OPENROUTER_BASE_URL, recipe openrouter, inventory.yml:3:5)"
OF_TOKEN = "auth_token (OPENROUTER_API_KEY, recipe openrouter, inventory.yml:3:5)"
OF_MODEL = "model (OPENROUTER_MODEL, recipe openrouter, inventory.yml:3:5)"
OK, WARN, FAIL, NOT = CheckResult.OK, CheckResult.WARN, CheckResult.FAIL, CheckResult.NOT_CHECKED
ASKED_WITH = (NOT, "asked with --probe", "")
ON_PROVIDER, ON_TOKEN = (NOT, "rests on provider", ""), (NOT, "rests on token", "")
FOUND = (OK, 'found "big" and "small" in "/v1/models"', "")
TAKEN = (OK, "it is taken: without it the answer is 401", "")
NO_MESSAGES = (
    WARN,
    (
        '"/v1/models" answers, but there is no "/v1/v1/messages" (404), which Claude Code\'s '
        'sessions call; clients of OpenAI\'s API call "/v1/chat/completions"'
    ),
    (
        f"where sessions fail with 404, set {OF_BASE_URL} to what comes before the provider's "
        "/v1/messages"
    ),
)

Answer = HttpResponse | HttpFailure


def session(name: str = "openrouter", environ: Mapping[str, str] = GATEWAY) -> Session:
    return resolve_env(recipe_spec(builtin_recipes()[name]), environ)


def response(status: int, body: bytes = b'{"error": {}}', **more: object) -> HttpResponse:
    fields = {"seconds": 0.1, **more}
    return HttpResponse(status, body, **fields)  # type: ignore[arg-type]


def listing(*names: str, seconds: float = 0.1) -> HttpResponse:
    body = json.dumps({"data": [{"id": name} for name in names]}).encode()
    return HttpResponse(200, body, seconds)


AT_ONCE = Connected(0.1)


@dataclass
class Web:
    """Answers by method, path and whether a token came; 404 elsewhere. Takes note of it all."""

    routes: Mapping[str, Answer]
    connection: Connected | HttpFailure = AT_ONCE
    asked: list[str] = field(default_factory=list)

    def request(self, request: HttpRequest, timeout: float) -> Answer:
        assert timeout > 0
        assert (request.method == "POST") == (request.body == b"{}")
        path = request.url.removeprefix("https://llm.example.com")
        name = f"{request.method} {path}" + ("" if request.token else " without")
        self.asked.append(name)
        return self.routes.get(name, response(404))

    def try_connection(self, request: HttpRequest, timeout: float) -> Connected | HttpFailure:
        assert timeout > 0
        assert request.token is None
        self.asked.append(f"connect {request.url}")
        return self.connection


def told(checks: tuple[Check, ...]) -> dict[str, tuple[CheckResult, str, str]]:
    return {check.check: (check.result, check.text, check.remedy) for check in checks}


def probed(
    routes: Mapping[str, Answer], of: Session | None = None
) -> dict[str, tuple[CheckResult, str, str]]:
    checks = provider_checks(
        of or session(), Web(routes), 15.0, probe=True, chosen_at="inventory.yml:3:5"
    )
    assert [check.check for check in checks] == ["provider", "token", "model"]
    return told(checks)


LIST = listing("big", "small")
PRIVATE: dict[str, Answer] = {"GET /v1/models": LIST, "GET /v1/models without": response(401)}
PUBLIC: dict[str, Answer] = {"GET /v1/models": LIST, "GET /v1/models without": LIST}
HTML = b"<!doctype html>"


@pytest.mark.parametrize(
    ("answer", "at"),
    [
        (HttpFailure(why, ""), "provider") for why in ConnectFailure
    ] + [
        (response(200, HTML), "provider"),
        (response(403, HTML), "provider"),
        (response(407, HTML), "provider"),
        (response(502, HTML), "provider"),
        (response(302, location="https://me:x@h.example/login?token=abc"), "provider"),
        (response(400), "provider"),
        (response(404), "provider"),
        (response(429, retry_after="30"), "provider"),
        (response(500), "provider"),
        (response(401), "token"),
        (response(402), "token"),
        (response(403), "token"),
        (listing("other"), "model"),
        (listing(), "model"),
    ],
    ids=lambda value: str(getattr(value, "cause", None) or getattr(value, "status", value)),
)  # fmt: skip
def test_one_fault_fails_one_check_in_the_words_of_the_gates(answer: Answer, at: str) -> None:
    checks = provider_checks(
        session(),
        Web({"GET /v1/models": answer, "GET /v1/v1/models": answer}),
        15.0,
        probe=True,
        chosen_at="inventory.yml:3:5",
    )
    [failed] = [check for check in checks if check.result is FAIL]
    assert failed.check == at

    def send(_request: HttpRequest, _timeout: float) -> Answer:
        return answer

    gate = probe_provider(session(), send, SHORT, Clock(), chosen_at="inventory.yml:3:5")
    assert isinstance(gate, Blocked)
    in_time = failed.message.replace("within 15 s", "within 1 s")
    assert (in_time, failed.remedy) == (gate.message, gate.hint)
    after = checks[checks.index(failed) + 1 :]
    assert {(check.result, check.text) for check in after} <= {(NOT, f"rests on {at}")}


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (PRIVATE, (NO_MESSAGES, TAKEN, FOUND)),
        (
            PRIVATE | {"POST /v1/v1/messages": response(400)},
            (
                (
                    OK,
                    (
                        '"/v1/models" answers, and so does what Claude Code\'s sessions call: '
                        '"/v1/v1/messages"'
                    ),
                    "",
                ),
                TAKEN,
                FOUND,
            ),
        ),
        (
            PRIVATE | {"POST /v1/v1/messages": response(403)},
            (
                (
                    OK,
                    (
                        '"/v1/models" answers; Claude Code\'s sessions call "/v1/v1/messages", '
                        'clients of OpenAI\'s API "/v1/chat/completions"'
                    ),
                    "",
                ),
                (
                    WARN,
                    (
                        '"/v1/models" takes it, and "/v1/v1/messages", which Claude Code\'s '
                        "sessions call, does not (403)"
                    ),
                    f"check {OF_TOKEN}, and what that token may do",
                ),
                FOUND,
            ),
        ),
        (
            PUBLIC,
            (
                NO_MESSAGES,
                (
                    NOT,
                    (
                        "the provider gives the same answers without it: whether it is taken does "
                        "not show"
                    ),
                    "",
                ),
                FOUND,
            ),
        ),
        (
            PUBLIC
            | {
                "POST /v1/v1/messages": response(422),
                "POST /v1/v1/messages without": response(401),
            },
            (
                (
                    OK,
                    (
                        '"/v1/models" answers, and so does what Claude Code\'s sessions call: '
                        '"/v1/v1/messages"'
                    ),
                    "",
                ),
                TAKEN,
                FOUND,
            ),
        ),
        (
            PUBLIC | {"POST /v1/v1/messages": response(401)},
            (
                (
                    OK,
                    (
                        '"/v1/models" answers, and so does what Claude Code\'s sessions call: '
                        '"/v1/v1/messages"'
                    ),
                    "",
                ),
                (
                    FAIL,
                    "the provider refuses the token (401): the mapped token is not valid there",
                    f"check {OF_TOKEN}, and that its token is this provider's",
                ),
                ON_TOKEN,
            ),
        ),
        (
            PRIVATE | {"GET /v1/models": listing("openai/*")},
            (
                NO_MESSAGES,
                TAKEN,
                (
                    NOT,
                    (
                        'the gateway lists wildcards ("openai/*"): the models "big" (model) and '
                        '"small" (fast_model) were not checked'
                    ),
                    "",
                ),
            ),
        ),
        (
            PRIVATE | {"GET /v1/models": listing("small", "bog")},
            (
                NO_MESSAGES,
                TAKEN,
                (
                    FAIL,
                    'the provider does not offer the model "big" (model)',
                    f'did you mean "bog"? set {OF_MODEL}',
                ),
            ),
        ),
    ],
    ids=["openai", "both", "403", "public", "public-proven", "public-401", "wildcard", "model"],
)
def test_a_provider_that_lists_its_models(
    routes: Mapping[str, Answer], expected: tuple[tuple[CheckResult, str, str], ...]
) -> None:
    assert tuple(probed(routes).values()) == expected


def test_anthropics_form_under_the_base_url_is_told_as_what_sessions_call() -> None:
    routes = {
        "GET /v1/v1/models": LIST,
        "GET /v1/v1/models without": response(401),
        "POST /v1/v1/messages": response(400),
    }
    so_does = (
        '"/v1/v1/models" answers, and so does what Claude Code\'s sessions call: "/v1/v1/messages"'
    )
    assert tuple(probed(routes).values()) == (
        (OK, so_does, ""),
        TAKEN,
        (OK, 'found "big" and "small" in "/v1/v1/models"', ""),
    )


LISTS_NONE = (
    WARN,
    (
        'the provider lists no models, but "/v1/v1/messages", which Claude Code\'s sessions call, '
        "is there"
    ),
    "leave probe out of the plays for such hosts: it fails without a list",
)
NO_MODELS = (NOT, "the provider lists no models", "")


@pytest.mark.parametrize("status", [400, 422])
def test_a_provider_without_a_list_is_one_where_what_sessions_call_is_there(status: int) -> None:
    routes = {"POST /v1/v1/messages": response(status)}
    [provider, token, model] = probed(routes).values()
    assert (provider, token[0], model) == (LISTS_NONE, NOT, NO_MODELS)
    routes["POST /v1/v1/messages without"] = response(401)
    assert tuple(probed(routes).values()) == (LISTS_NONE, TAKEN, NO_MODELS)


def test_without_a_list_a_refused_token_is_told() -> None:
    [provider, token, model] = probed({"POST /v1/v1/messages": response(401)}).values()
    assert (provider, token[0], model) == (LISTS_NONE, FAIL, ON_TOKEN)
    assert token[1].startswith("the provider refuses the token (401)")


@pytest.mark.parametrize(
    "answer", [response(404), response(403), response(200, HTML), response(400, HTML)]
)
def test_a_path_that_is_not_there_is_wrong_whatever_a_firewall_says(answer: Answer) -> None:
    [provider, token, model] = probed({"POST /v1/v1/messages": answer}).values()
    assert (provider[0], token, model) == (FAIL, ON_PROVIDER, ON_PROVIDER)
    assert 'neither "/v1/models" nor "/v1/v1/models" (404)' in provider[1]
    assert provider[2].startswith(f"check {OF_BASE_URL}: ")


def test_a_slow_provider_is_a_warning() -> None:
    routes = {**PRIVATE, "GET /v1/models": listing("big", "small", seconds=9.0)}
    routes["POST /v1/v1/messages"] = response(400)
    provider = probed(routes)["provider"]
    assert provider[0] is WARN
    assert provider[1].startswith("the provider is slow: it took 9 s to list its models; ")
    assert provider[2]


def test_a_local_server_that_asks_for_no_token_is_fine() -> None:
    environ = {"OLLAMA_BASE_URL": BASE_URL, "OLLAMA_MODEL": "big", "OLLAMA_FAST_MODEL": "small"}
    checks = probed(PUBLIC, session("ollama", environ))
    assert checks["token"] == (OK, "the provider asks for none", "")


def test_names_of_deployments_are_not_looked_for_among_models() -> None:
    environ = {"AZURE_OPENAI_BASE_URL": BASE_URL, "AZURE_OPENAI_API_KEY": TOKEN}
    checks = probed(PRIVATE, session("azure-openai", environ))
    assert checks["token"] == TAKEN
    assert checks["model"] == (NOT, "the provider lists models, and sessions name deployments", "")


def test_a_provider_that_can_not_be_asked_fails_nothing() -> None:
    unasked = HttpFailure(None, "the host's sshd forwards nothing, and there is no curl")
    [provider, token, model] = probed({"GET /v1/models": unasked}).values()
    assert provider[:2] == (NOT, f"the provider was not asked: {unasked.reason}")
    assert (token, model) == (ON_PROVIDER, ON_PROVIDER)


def test_a_secret_that_the_provider_repeats_is_not_shown() -> None:
    for repeated in (f"x{TOKEN}", f"{TOKEN}/*"):
        routes = {**PRIVATE, "GET /v1/models": listing(repeated)}
        assert "(secret)" in repr(probed(routes)["model"])
        assert TOKEN not in repr(probed(routes))


# --- without a request ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (Connected(0.1), (OK, 'the host connects to "llm.example.com" over TLS', "")),
        (
            Connected(7.0),
            (
                WARN,
                'the provider is slow: it took 7 s to connect to "llm.example.com"',
                "look at the network between the host and the provider",
            ),
        ),
        (HttpFailure(None, "no tunnel"), (NOT, "not tried: no tunnel", "ask with --probe")),
    ],
)
def test_without_probe_a_connection_is_all(
    connection: Connected | HttpFailure, expected: tuple[CheckResult, str, str]
) -> None:
    web = Web({}, connection)
    checks = provider_checks(session(), web, 15.0, probe=False)
    assert tuple(told(checks).values()) == (expected, ASKED_WITH, ASKED_WITH)
    assert web.asked == [f"connect {BASE_URL}"]


@pytest.mark.parametrize("probe", [True, False])
def test_a_host_without_values_is_asked_for_what_it_has(probe: bool) -> None:
    web = Web({})
    lacking = session(environ={"OPENROUTER_BASE_URL": BASE_URL})
    checks = told(provider_checks(lacking, web, 15.0, probe=probe))
    assert checks["provider"][0] is OK
    why = "the session variables have no auth_token" if probe else "asked with --probe"
    assert checks["token"] == checks["model"] == (NOT, why, "")
    web = Web({})
    checks = told(provider_checks(session("azure-openai", {}), web, 15.0, probe=probe))
    assert web.asked == ["connect https://YOUR-RESOURCE.openai.azure.com/openai/v1"]


def test_from_a_real_host_a_connection_is_tried_and_nothing_is_sent(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "operator"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    ours, strange = (make_authority(tmp_path / name) for name in ("ours", "strange"))
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.ca_file))
    with (
        running_provider() as plain,
        running_provider(certificate=ours.issue("127.0.0.1")) as trusted,
        running_provider(certificate=strange.issue("127.0.0.1")) as untrusted,
        running_sshd(tmp_path / "sshd", settings=["AllowTcpForwarding no"]) as closed,
    ):
        expected = {
            plain.base_url(): (OK, "without TLS"),
            trusted.base_url(): (OK, "over TLS"),
            untrusted.base_url(): (FAIL, "is of an authority that this machine does not trust"),
            plain.base_url(scheme="https"): (FAIL, "does not speak TLS as https:// wants it"),
            f"http://127.0.0.1:{free_port()}/v1": (FAIL, "nothing listens on "),
        }
        with connect(target_at(sshd), options(home, sshd.known_hosts), Deadline.after(60)) as host:
            for url, (result, words) in expected.items():
                found = session(environ={**GATEWAY, "OPENROUTER_BASE_URL": url})
                checks = told(provider_checks(found, host, 15.0, probe=False))
                rest = ON_PROVIDER if result is FAIL else ASKED_WITH
                assert (checks["provider"][0], checks["token"], checks["model"]) == (
                    result,
                    rest,
                    rest,
                )
                assert words in checks["provider"][1]
            assert [*plain.asked, *trusted.asked, *untrusted.asked] == []
            native = {**GATEWAY, "OPENROUTER_BASE_URL": plain.base_url("native", path="")}
            checks = told(provider_checks(session(environ=native), host, 15.0, probe=True))
            assert [result for result, _, _ in checks.values()] == [OK, OK, OK]
            assert checks["token"] == TAKEN
            assert plain.tokens == {TOKEN}
        before = len(plain.asked)
        target, known = target_at(closed), closed.known_hosts
        with connect(target, options(home, known), Deadline.after(60)) as host:
            found = session(environ={**GATEWAY, "OPENROUTER_BASE_URL": plain.base_url()})
            checks = told(provider_checks(found, host, 15.0, probe=False))
        assert checks["provider"] == (
            NOT,
            ("not tried: the host's sshd forwards nothing, and its own curl would send a request"),
            "ask with --probe",
        )
        assert len(plain.asked) == before
