"""A provider's answer is told apart in a person's words, and never repeated."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.connect_failure_verdict import connect_failure_verdict
from aegis_provision.providers.model_list import ModelList, near, parse_models
from aegis_provision.providers.probe_verdict import (
    Aspect,
    Expected,
    Reply,
    Verdict,
    models_url,
    native_models_url,
    probe_verdict,
    settles,
)
from aegis_provision.providers.recipes import builtin_recipes
from aegis_provision.providers.templates import single_reference
from aegis_provision.providers.value_source import ValueSource

MIB_8 = 8 * 1024 * 1024
OPENROUTER = "https://openrouter.ai/api/v1"
SOURCES = {
    "base_url": ValueSource("base_url", ("GATEWAY_BASE_URL",), "inventory.yml:2:14"),
    "auth_token": ValueSource("auth_token", ("GW_KEY",), "inventory.yml:3:16"),
    "model": ValueSource("model", ("GW_MODEL",), "inventory.yml:4:11"),
    "fast_model": ValueSource("fast_model", (), "inventory.yml:5:16"),
}
BASE_URL = "base_url (GATEWAY_BASE_URL, inventory.yml:2:14)"
TOKEN = "auth_token (GW_KEY, inventory.yml:3:16)"
MODEL = "model (GW_MODEL, inventory.yml:4:11)"
FAST_MODEL = "fast_model (inventory.yml:5:16)"
BOTH = f"{MODEL} and {FAST_MODEL}"


def offering(*names: str, **more: object) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names], **more}).encode()


def reply(status: int, body: bytes = b"", location: str = "", seconds: float = 0.2) -> Reply:
    return Reply(status, body, seconds, location)


def expecting(**changes: Any) -> Expected:
    fields: dict[str, Any] = {
        "model": "big",
        "fast_model": "small",
        "base_url": "https://llm.example.com",
        "sources": SOURCES,
        **changes,
    }
    return Expected(**fields)


def asked(
    status: int,
    body: bytes = b"",
    *,
    location: str = "",
    seconds: float = 0.2,
    second: Reply | None = None,
    **changes: Any,
) -> Verdict:
    return probe_verdict(reply(status, body, location, seconds), second, expecting(**changes))


def found(path: str = "/models") -> str:
    return f'found "big" and "small" in "{path}"'


@pytest.mark.parametrize("base_url", [OPENROUTER, OPENROUTER + "/"])
def test_models_are_listed_below_the_base_url(base_url: str) -> None:
    assert models_url(base_url) == "https://openrouter.ai/api/v1/models"
    assert native_models_url(base_url) == "https://openrouter.ai/api/v1/v1/models"


def test_every_built_in_recipe_has_a_variable_that_overrides_its_base_url() -> None:
    recipes = builtin_recipes().values()
    assert all(single_reference(recipe.values["base_url"].template) for recipe in recipes)


@pytest.mark.parametrize(
    "body",
    [
        offering("small", "big"),
        json.dumps([{"id": "big"}, {"id": "small"}]).encode(),
        json.dumps(["big", "small"]).encode(),
        json.dumps(
            {
                "data": [{"type": "model", "id": "big"}, {"type": "model", "id": "small"}],
                "has_more": False,
                "first_id": "big",
                "last_id": "small",
            }
        ).encode(),
        json.dumps({"models": [{"name": "big"}, {"name": "small"}]}).encode(),
        offering("models/big", "models/small"),
        offering("big:latest", "small:latest"),
    ],
    ids=["openai", "bare", "names", "anthropic", "models", "google", "ollama"],
)
def test_models_that_are_offered_are_right(body: bytes) -> None:
    verdict = asked(200, body)
    assert verdict == Verdict(ok=True, found=found())
    assert verdict.checked == (
        f"{found()}; Claude Code's sessions call \"/v1/messages\", clients of OpenAI's API "
        '"/chat/completions"'
    )


def test_a_routing_suffix_is_no_part_of_a_models_name() -> None:
    assert asked(200, offering("big", "small"), model="big:nitro").ok
    assert not asked(200, offering("big", "small"), model="big:32b").ok


@pytest.mark.parametrize(
    ("offered", "wanted", "message", "hint"),
    [
        (
            ["openai/gpt-4.1-mini", "openai/gpt-4.1", "qwen/qwen3"],
            ("openai/gpt-4.1-mni", "openai/gpt-4.1-mni"),
            'the provider does not offer the model "openai/gpt-4.1-mni" (model and fast_model)',
            f'did you mean "openai/gpt-4.1-mini" or "openai/gpt-4.1"? set {BOTH}',
        ),
        (
            ["openai/gpt-4.1-mini", "small"],
            ("GPT-4.1-mini", "small"),
            'the provider does not offer the model "GPT-4.1-mini" (model)',
            f'did you mean "openai/gpt-4.1-mini"? set {MODEL}',
        ),
        (
            ["aaaa", "bbbb", "cccc", "dddd", "eeee"],
            ("big", "small"),
            'the provider does not offer the models "big" (model) and "small" (fast_model)',
            (
                f"set {BOTH} to the provider's exact model or deployment id; "
                'it offers "aaaa", "bbbb", "cccc" and 2 more'
            ),
        ),
        (
            [],
            ("big", "big"),
            'the provider does not offer the model "big" (model and fast_model)',
            (
                "it offers none at all: load one there first (ollama pull, or LM Studio's own "
                f"list), then set {BOTH} to it"
            ),
        ),
    ],
    ids=["typo", "publisher", "neither", "none"],
)
def test_a_model_that_is_not_offered_gets_near_ones(
    offered: list[str], wanted: tuple[str, str], message: str, hint: str
) -> None:
    verdict = asked(200, offering(*offered), model=wanted[0], fast_model=wanted[1])
    assert verdict == Verdict(ok=False, message=message, hint=hint, aspect=Aspect.MODEL)


def test_ollama_says_null_where_it_has_no_model() -> None:
    verdict = asked(200, b'{"object": "list", "data": null}')
    assert not verdict.ok
    assert verdict.hint.startswith("it offers none at all")


@pytest.mark.parametrize(
    "more",
    [
        {"has_more": True, "first_id": "small", "last_id": "small"},
        {"nextPageToken": "x"},
        {"next_page_token": "x"},
        {"next_page": 2},
        {"next_cursor": "x"},
        {"next": "https://llm.example.com/v1/models?page=2"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_part_of_the_list_proves_nothing(more: dict[str, object]) -> None:
    assert asked(200, offering("small", **more)) == Verdict(
        ok=True,
        unchecked='the provider lists a part of its models: the model "big" (model) was not '
        "checked",
    )
    assert asked(200, offering("small", "big", **more)) == Verdict(ok=True, found=found())


def test_a_list_that_says_that_nothing_follows_is_whole() -> None:
    assert not asked(200, offering("small", has_more=False, next_page=None)).ok


def wildcards(names: str, models: str) -> Verdict:
    words = f"the gateway lists wildcards ({names}): {models} not checked"
    return Verdict(ok=True, unchecked=words)


@pytest.mark.parametrize("wildcard", ["*", "openai/*", "*/x", "anthropic/claude-*", "big*"])
def test_a_model_that_a_wildcard_may_stand_for_is_not_checked(wildcard: str) -> None:
    both = 'the models "big" (model) and "small" (fast_model) were'
    assert asked(200, offering(wildcard)) == wildcards(f'"{wildcard}"', both)
    assert asked(200, offering(wildcard, "small", "bigger")) == wildcards(
        f'"{wildcard}"', 'the model "big" (model) was'
    )
    one = 'the model "gpt-4o" (model and fast_model) was'
    verdict = asked(200, offering(wildcard), model="gpt-4o", fast_model="gpt-4o")
    assert verdict == wildcards(f'"{wildcard}"', one)


def test_models_that_are_listed_beside_a_wildcard_are_checked() -> None:
    assert asked(200, offering("*", "small", "big")) == Verdict(ok=True, found=found())


def test_a_few_wildcards_are_named() -> None:
    verdict = asked(200, offering("a/*", "b/*", "c/*", "d/*"))
    assert verdict.warnings[0].startswith('the gateway lists wildcards ("a/*", "b/*", "c/*"): ')


@pytest.mark.parametrize(
    ("body", "such_as"),
    [
        (offering("openai/*"), ""),
        (offering("openai/*", "gpt-4o"), ', such as "gpt-4o"'),
        (offering("gpt-4o"), ', such as "gpt-4o"'),
        (b"{}", ""),
    ],
)
def test_a_wildcard_is_no_model_to_run_on(body: bytes, such_as: str) -> None:
    verdict = asked(200, body, model="openai/*", fast_model="openai/*")
    assert verdict == Verdict(
        ok=False,
        message='no session can run on the model "openai/*" (model and fast_model): '
        "a wildcard stands for many models",
        hint=f"name one of the provider's own models{such_as}, in {BOTH}",
        aspect=Aspect.MODEL,
    )


@given(st.lists(st.sampled_from(["*", "openai/*", "openai/gpt", "big/*", "bigger", "x/smaller"])))
def test_a_wildcard_is_never_advised(names: list[str]) -> None:
    verdict = asked(200, offering(*names))
    assert verdict.ok == ("*" in "".join(names))
    assert "*" not in verdict.hint


def test_deployments_are_not_looked_for_among_models() -> None:
    verdict = asked(200, offering("gpt-4o"), checks_models=False)
    assert verdict == Verdict(ok=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"{}",
        b'{"data": {}}',
        b'{"data": [1, {}, {"id": 5}, {"id": ""}]}',
        b"[" * 100_000,
        offering("big", "small") + b" " * MIB_8,
    ],
    ids=["empty", "no text", "null", "object", "no list", "no names", "deep", "long"],
)
def test_an_answer_without_a_list_is_a_warning(body: bytes) -> None:
    assert asked(200, body) == Verdict(
        ok=True,
        unchecked="the provider's answer holds no list of models, so they were not checked",
    )


HTML = b"\n<!doctype html><title>Hello</title>"
XHTML = b'\xef\xbb\xbf<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html xmlns="y">'


@pytest.mark.parametrize("checks_models", [True, False])
@pytest.mark.parametrize("body", [HTML, XHTML, b"<HTML>", b"<!-- hello --><p>"])
@pytest.mark.parametrize("status", [200, 400, 403, 451])
def test_a_page_instead_of_an_answer_looks_like_a_proxys(
    status: int, body: bytes, checks_models: bool
) -> None:
    assert asked(status, body, checks_models=checks_models) == Verdict(
        ok=False,
        message=f"a page for people came instead of an answer ({status}): it looks like a proxy's "
        "or a portal's page, and not like the provider's API",
        hint=f'check {BASE_URL}: "https://llm.example.com" may not be where the provider\'s API '
        "begins; and whether a proxy or firewall stands before it",
        aspect=Aspect.ANSWER,
    )


@pytest.mark.parametrize("body", [b"{}", HTML])
def test_a_proxy_that_wants_a_login_is_told_from_the_provider(body: bytes) -> None:
    verdict = asked(407, body)
    assert verdict.message == (
        "a proxy on the way to the provider wants its own login (407): the token was not checked"
    )
    assert verdict.hint.endswith(f"or check {BASE_URL}")
    assert verdict.aspect is Aspect.ANSWER


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
    ids=["nginx", "go", "apache"],
)
def test_plain_http_to_a_port_of_tls_is_told_from_a_proxy(body: bytes) -> None:
    assert asked(400, body, base_url="http://llm.example.com:8443/v1") == Verdict(
        ok=False,
        message="the provider speaks TLS, and http:// was asked for (400)",
        hint=f"check the scheme and the port of {BASE_URL}: https:// is wanted",
        aspect=Aspect.TLS,
    )
    assert asked(400, body).aspect is Aspect.ANSWER


@pytest.mark.parametrize("status", [500, 502, 503, 504, 530])
def test_a_page_of_a_server_that_fails_is_a_proxys(status: int) -> None:
    assert asked(status, HTML) == Verdict(
        ok=False,
        message="a proxy or gateway before the provider fails at the moment "
        f"({status}, with a page for people)",
        hint=f"try again later, look at the provider's own status, or check {BASE_URL}",
        aspect=Aspect.ANSWER,
        passing=True,
    )


@pytest.mark.parametrize("body", [b"", b'{"error": {}}', b'<?xml version="1.0"?><Error/>'])
def test_what_is_no_page_is_the_providers_own(body: bytes) -> None:
    assert asked(403, body).aspect is Aspect.TOKEN
    assert asked(503, body).message == "the provider fails at the moment (503)"
    assert asked(401, HTML).aspect is Aspect.TOKEN
    assert asked(404, HTML).aspect is Aspect.PATH


@pytest.mark.parametrize(
    ("status", "message", "further"),
    [
        (
            401,
            "the provider refuses the token (401): the mapped token is not valid there",
            "that its token is this provider's",
        ),
        (
            403,
            (
                "the provider refuses the token (403): the mapped token is not valid there, "
                "or lacks the right"
            ),
            "what that token may do",
        ),
        (
            402,
            "the provider wants to be paid first (402)",
            "the account that its token belongs to",
        ),
    ],
)
def test_a_token_that_is_refused_is_named_by_setting_variable_and_line(
    status: int, message: str, further: str
) -> None:
    hint = f"check {TOKEN}, and {further}"
    assert asked(status) == Verdict(ok=False, message=message, hint=hint, aspect=Aspect.TOKEN)


def test_a_stand_in_that_is_refused_asks_for_its_variable() -> None:
    source = ValueSource(
        "auth_token", ("LM_STUDIO_API_KEY",), "i.yml:1:2", "lm-studio", by_default=True
    )
    verdict = asked(401, sources={"auth_token": source})
    assert verdict.hint == (
        "set LM_STUDIO_API_KEY: auth_token (LM_STUDIO_API_KEY is not set: the default of the "
        "recipe lm-studio, i.yml:1:2), and that stand-in was sent"
    )


@pytest.mark.parametrize(
    ("status", "seconds", "message"),
    [
        (429, None, "the provider wants fewer requests (429): the token was not checked"),
        (
            429,
            30.0,
            (
                "the provider wants fewer requests (429) and asks to wait 30 s: the token was not "
                "checked"
            ),
        ),
        (503, 150.0, "the provider fails at the moment (503) and asks to wait 2 min 30 s"),
    ],
)
def test_how_long_the_provider_asks_to_wait_is_told(
    status: int, seconds: float | None, message: str
) -> None:
    verdict = probe_verdict(
        Reply(status, b"{}", retry_after=seconds), None, expecting(base_url="https://h/v1")
    )
    assert (verdict.message, verdict.retry_after) == (message, seconds)
    assert verdict.hint.endswith(TOKEN if status == 429 else BASE_URL)
    assert verdict.hint.startswith("wait as long" if seconds == 30 else ("wait a", "try again"))
    assert (verdict.aspect, verdict.passing) == (Aspect.ANSWER, True)


# --- two forms -----------------------------------------------------------------------------------

LIST = reply(200, offering("big", "small"))
OTHERS = reply(200, offering("other"))
PAGE = reply(200, b"<html>")
NOTHING = reply(200, b"{}")
AWAY = reply(307, location="https://elsewhere.example.com")


@pytest.mark.parametrize(
    "first",
    [*map(reply, (400, 401, 403, 404, 405, 406, 410, 501)), AWAY, PAGE, NOTHING, OTHERS],
    ids=lambda first: f"{first.status}-{first.body.decode()}",
)
@pytest.mark.parametrize("base_url", ["https://h/anthropic", "https://h/anthropic/"])
def test_where_anthropics_form_lists_the_models_that_counts(first: Reply, base_url: str) -> None:
    wanted = expecting(base_url=base_url)
    assert not settles(first, wanted)
    native = probe_verdict(first, LIST, wanted)
    assert native == Verdict(ok=True, found=found("/anthropic/v1/models"))
    assert native.calls == 'Claude Code\'s sessions call "/anthropic/v1/messages"'
    openai = probe_verdict(LIST, first, wanted)
    assert openai == Verdict(ok=True, found=found("/anthropic/models"))
    assert openai.calls == (
        "Claude Code's sessions call \"/anthropic/v1/messages\", clients of OpenAI's API "
        '"/anthropic/chat/completions"'
    )


@pytest.mark.parametrize("first", [LIST, *map(reply, (402, 407, 408, 425, 429, 500, 502))])
def test_what_speaks_of_no_path_is_asked_nowhere_else(first: Reply) -> None:
    assert settles(first, expecting())


def test_where_models_are_not_checked_any_answer_but_a_page_will_do() -> None:
    wanted = expecting(checks_models=False)
    assert settles(NOTHING, wanted)
    assert not settles(reply(404), wanted)
    assert probe_verdict(reply(404), NOTHING, wanted) == Verdict(ok=True)
    assert probe_verdict(NOTHING, None, wanted) == Verdict(ok=True)


# From the one that is told before any other to the one that is told where there is no other.
BY_WORTH = [LIST, OTHERS, reply(401), reply(503), NOTHING, PAGE, AWAY, reply(400), reply(404)]


@pytest.mark.parametrize("status", [402, 403])
def test_a_refusal_of_the_token_is_told_before_a_path_that_is_not_there(status: int) -> None:
    wanted = expecting()
    for other in BY_WORTH[3:]:
        assert probe_verdict(other, reply(status), wanted) == probe_verdict(
            reply(status), None, wanted
        )
        assert probe_verdict(reply(status), other, wanted) == probe_verdict(
            reply(status), None, wanted
        )


@pytest.mark.parametrize("better", range(len(BY_WORTH)))
def test_the_better_answer_is_told(better: int) -> None:
    wanted = expecting(base_url="https://h/a")
    for worse in range(better + 1, len(BY_WORTH)):
        one, other = BY_WORTH[better], BY_WORTH[worse]
        alone = probe_verdict(one, None, wanted)
        assert probe_verdict(one, other, wanted) == alone
        swapped = probe_verdict(other, one, wanted)
        assert dataclasses.replace(swapped, found=alone.found) == alone


def test_of_two_alike_the_first_is_told() -> None:
    first, second = (
        reply(301, location="https://a.example"),
        reply(301, location="https://b.example"),
    )
    assert "a.example" in probe_verdict(first, second, expecting()).message


@pytest.mark.parametrize(
    ("base_url", "second", "has"),
    [
        ("http://h:1", 404, 'neither "/models" nor "/v1/models" (404)'),
        ("http://h/api/v1/", 404, 'neither "/api/v1/models" nor "/api/v1/v1/models" (404)'),
        ("http://h/api", 405, 'neither "/api/models" nor "/api/v1/models" (404, 405)'),
        ("http://h/api", None, 'no "/api/models" (404)'),
    ],
)
def test_without_a_list_under_the_base_url_neither_form_is_advised(
    base_url: str, second: int | None, has: str
) -> None:
    other = reply(second) if second else None
    verdict = asked(404, second=other, base_url=base_url)
    assert verdict == Verdict(
        ok=False,
        message=f"the provider has {has}: the base URL lacks its compatible path, or it lists no "
        "models at all",
        hint=f'check {BASE_URL}: "{base_url}" may not be where the provider\'s API begins; '
        "a provider that lists no models can't be probed",
        aspect=Aspect.PATH,
    )


@pytest.mark.parametrize(
    ("status", "passing"),
    [
        (400, False), (402, False), (405, False), (429, True), (500, True), (503, True),
        (408, True), (425, True), (501, False), (599, True), (600, False),
    ],
)  # fmt: skip
def test_what_passes_is_told_from_what_does_not(status: int, passing: bool) -> None:
    verdict = asked(status)
    assert (verdict.ok, verdict.passing) == (False, passing)
    assert f"({status})" in verdict.message
    assert verdict.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused(status: int) -> None:
    verdict = asked(status, offering("big", "small"), location="https://elsewhere.example.com/v1")
    assert verdict.message == (
        'the provider redirects to "https://elsewhere.example.com/v1" '
        f"({status}), and the token was not sent there"
    )
    assert verdict.hint == f"if that is right, set {BASE_URL} to where it points"
    assert (verdict.ok, verdict.aspect) == (False, Aspect.PATH)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (
            "https://me:hunter2@h.example:8/v1/models?key=abc#x",
            ' to "https://h.example:8/v1/models"',
        ),
        ("/login?next=/v1/models", ' to "/login"'),
        ("//h.example/v1", ' to "//h.example/v1"'),
        ("?token=abc", ""),
        ("https://[::1", " to an address that is none"),
        ("https://h.example/\x1b[2J", ' to "https://h.example/\\x1b[2J"'),
        ("", ""),
    ],
)
def test_of_where_a_redirect_points_nothing_secret_is_told(location: str, shown: str) -> None:
    verdict = asked(302, location=location)
    assert verdict.message == (
        f"the provider redirects{shown} (302), and the token was not sent there"
    )


@pytest.mark.parametrize(
    ("seconds", "warnings"),
    [(5.0, ()), (7.4, ("the provider is slow: it took 7 s to list its models",))],
)
def test_a_slow_provider_is_a_warning(seconds: float, warnings: tuple[str, ...]) -> None:
    verdict = asked(200, offering("big", "small"), seconds=seconds)
    assert (verdict.ok, verdict.warnings, verdict.found) == (True, warnings, found())


OLLAMA = ValueSource(
    "base_url", ("OLLAMA_BASE_URL",), "inventory.yml:3:15", "ollama", by_default=True
)


def unconnected(why: ConnectFailure, **changes: Any) -> Verdict:
    fields = {"base_url": "http://127.0.0.1:11434/v1", "sources": {"base_url": OLLAMA}, **changes}
    return connect_failure_verdict(why, expecting(**fields), seconds=15)


@pytest.mark.parametrize("why", ConnectFailure)
def test_every_silence_has_a_cause_a_next_step_and_the_values_source(why: ConnectFailure) -> None:
    verdict = unconnected(why)
    assert not verdict.ok
    assert verdict.aspect in {Aspect.CONNECTION, Aspect.TLS, Aspect.ANSWER}
    assert "127.0.0.1:11434" in verdict.message
    assert str(OLLAMA) in verdict.hint
    others = {unconnected(other).message for other in ConnectFailure if other is not why}
    assert verdict.message not in others


@pytest.mark.parametrize(
    ("why", "aspect", "passing"),
    [
        (ConnectFailure.NOT_LISTENING, Aspect.CONNECTION, True),
        (ConnectFailure.UNKNOWN_NAME, Aspect.CONNECTION, False),
        (ConnectFailure.UNREACHABLE, Aspect.CONNECTION, True),
        (ConnectFailure.TIMED_OUT, Aspect.CONNECTION, True),
        (ConnectFailure.HUNG_UP, Aspect.CONNECTION, True),
        (ConnectFailure.NOT_HTTP, Aspect.ANSWER, False),
        (ConnectFailure.NOT_TLS, Aspect.TLS, False),
        (ConnectFailure.UNTRUSTED, Aspect.TLS, False),
        (ConnectFailure.UNTRUSTED_BY_HOST, Aspect.TLS, False),
        (ConnectFailure.WRONG_NAME, Aspect.TLS, False),
        (ConnectFailure.EXPIRED, Aspect.TLS, False),
    ],
)
def test_what_of_the_provider_failed_is_told(
    why: ConnectFailure, aspect: Aspect, passing: bool
) -> None:
    verdict = unconnected(why)
    assert (verdict.aspect, verdict.passing) == (aspect, passing)


@pytest.mark.parametrize(
    ("base_url", "server", "start"),
    [
        ("http://127.0.0.1:11434/v1", "Ollama", "start Ollama on that host"),
        ("http://[::1]:1234/v1", "LM Studio", "start LM Studio on that host"),
        (
            "http://localhost:1234/v1",
            "",
            "start the provider's server on that host (LM Studio and Ollama have to run there)",
        ),
        ("http://gpu-1:11434/v1", "Ollama", "start Ollama there"),
        ("https://llm.example.com/v1", "", "start the provider's server there"),
    ],
)
def test_a_server_that_does_not_run_is_named(base_url: str, server: str, start: str) -> None:
    verdict = unconnected(ConnectFailure.NOT_LISTENING, base_url=base_url, local_server=server)
    where = base_url.removesuffix("/v1").partition("//")[2]
    assert verdict.message == f'nothing listens on "{where}", as the host sees it'
    assert verdict.hint == f"{start}, or set {OLLAMA}"


@pytest.mark.parametrize(("scheme", "tls"), [("http", " (https:// may be wanted)"), ("https", "")])
def test_who_hangs_up_may_want_tls(scheme: str, tls: str) -> None:
    verdict = unconnected(ConnectFailure.HUNG_UP, base_url=f"{scheme}://llm.example.com/v1")
    what = f"check that the provider's API is what listens there{tls}"
    assert verdict.hint == f"{what}, or set {OLLAMA}"


@pytest.mark.parametrize(
    ("why", "who", "here"),
    [
        (ConnectFailure.UNTRUSTED, "this machine", "set SSL_CERT_FILE here to its certificates"),
        (
            ConnectFailure.UNTRUSTED_BY_HOST,
            "the host",
            "add its certificates to the host's own",
        ),
    ],
)
def test_an_unknown_authority_is_made_known_here_and_to_sessions(
    why: ConnectFailure, who: str, here: str
) -> None:
    assert unconnected(why, base_url="https://llm.example.com/v1", sources=SOURCES) == Verdict(
        ok=False,
        message=f'the certificate of "llm.example.com" is of an authority that {who} does not '
        "trust",
        hint=f"if it is your own authority's, {here}, and set NODE_EXTRA_CA_CERTS (under env) to a "
        f"file with them on the host, for Claude Code there; or set {BASE_URL}",
        aspect=Aspect.TLS,
    )


SECRET = "sk-or-v1-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode(),
        offering(SECRET, f"{SECRET}x"),
        SECRET.encode(),
        f"<p>{SECRET}".encode(),
    ],
    ids=["error", "model", "text", "page"],
)
def test_a_token_that_comes_back_is_not_shown(status: int, body: bytes) -> None:
    verdict = asked(status, body, location=f"https://example.com/?key={SECRET}")
    assert SECRET[:12] not in repr(verdict)


def test_a_models_name_cannot_reach_the_terminal() -> None:
    verdict = asked(200, offering("big\x1b[2J", "b\u202eig"))
    assert verdict.hint
    assert verdict.hint.isprintable()


@given(st.integers(100, 599), st.binary(max_size=100))
def test_no_answer_upsets_it(status: int, body: bytes) -> None:
    verdict = asked(status, body)
    assert verdict.ok == (not verdict.message)


NAMES = st.lists(st.sampled_from(["big", "small", "bigger", "x/big", "BIG", "", "a" * 300]))


@given(NAMES)
def test_it_is_right_exactly_where_both_are_offered(names: list[str]) -> None:
    verdict = asked(200, offering(*names))
    if verdict.warnings:
        assert not {"big", "small"} & set(names)
    else:
        assert verdict.ok == ({"big", "small"} <= set(names))


# --- bounds --------------------------------------------------------------------------------------


def test_a_list_of_eight_mebibytes_is_read_and_no_longer_one() -> None:
    body = offering("big")
    assert parse_models(body.ljust(MIB_8)) == ModelList(("big",), partial=False)
    assert parse_models(body.ljust(MIB_8 + 1)) is None


def test_a_list_of_ten_thousand_models_is_whole_and_a_longer_one_a_part() -> None:
    names = [f"m{number}" for number in range(10_001)]
    assert parse_models(json.dumps(names[:-1]).encode()) == ModelList(
        tuple(names[:-1]), partial=False
    )
    assert parse_models(json.dumps(names).encode()) == ModelList(tuple(names[:-1]), partial=True)


def test_a_name_of_200_characters_counts_and_a_longer_one_does_not() -> None:
    found = parse_models(json.dumps(["a" * 200, "b" * 201]).encode())
    assert found == ModelList(("a" * 200,), partial=False)
    assert near(["a" * 200], "a" * 200) == ["a" * 200]
    assert near(["a" * 200], "a" * 201) == []


def test_two_thousand_names_are_compared_and_at_most_three_are_near() -> None:
    names = [f"{number:04}" for number in range(2_000)]
    assert near([*names[:-1], "claude"], "claude") == ["claude"]
    assert near([*names, "claude"], "claude") == []
    assert len(near(["claude1", "claude2", "claude3", "claude4"], "claude")) == 3
