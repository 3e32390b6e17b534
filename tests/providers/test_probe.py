"""A provider's answer is told apart in a person's words, and never repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.providers.offered_models import MOST_BYTES
from aegis_provision.providers.probe import (
    Silence,
    Verdict,
    judge,
    judge_silence,
    models_url,
    overriding_variable,
)
from aegis_provision.providers.recipes import builtin_recipes

OPENROUTER = "https://openrouter.ai/api/v1"


def offering(*names: str, **more: object) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names], **more}).encode()


def asked(status: int, body: bytes = b"", **changes: Any) -> Verdict:
    facts: dict[str, Any] = {
        "model": "big",
        "fast_model": "small",
        "checks_models": True,
        "seconds": 0.2,
        "base_url": "https://llm.example.com",
        "base_url_variable": "GATEWAY_BASE_URL",
        **changes,
    }
    return judge(status, body, **facts)


@pytest.mark.parametrize("base_url", [OPENROUTER, OPENROUTER + "/"])
def test_models_are_listed_below_the_base_url(base_url: str) -> None:
    assert models_url(base_url) == "https://openrouter.ai/api/v1/models"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${GLM_BASE_URL:-https://open.bigmodel.cn/api/paas/v4}", "GLM_BASE_URL"),
        ("${URL}", "URL"),
        ("https://${NAME}/v1", None),
        ("https://llm.example.com/v1", None),
        ("${A}${B}", None),
        ("", None),
    ],
)
def test_one_variable_overrides_a_whole_value(template: str, expected: str | None) -> None:
    assert overriding_variable(template) == expected


def test_every_built_in_recipe_has_a_variable_that_overrides_its_base_url() -> None:
    recipes = builtin_recipes().values()
    assert all(overriding_variable(recipe.values["base_url"].template) for recipe in recipes)


@pytest.mark.parametrize(
    "body",
    [
        offering("small", "big"),
        json.dumps([{"id": "big"}, {"id": "small"}]).encode(),
        json.dumps(["big", "small"]).encode(),
        json.dumps({"models": [{"name": "big"}, {"name": "small"}]}).encode(),
        offering("models/big", "models/small"),
        offering("big:latest", "small:latest"),
    ],
    ids=["openai", "bare", "names", "models", "google", "ollama"],
)
def test_models_that_are_offered_are_right(body: bytes) -> None:
    assert asked(200, body) == Verdict(ok=True)


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
            'did you mean "openai/gpt-4.1-mini" or "openai/gpt-4.1"?',
        ),
        (
            ["openai/gpt-4.1-mini", "small"],
            ("GPT-4.1-mini", "small"),
            'the provider does not offer the model "GPT-4.1-mini" (model)',
            'did you mean "openai/gpt-4.1-mini"?',
        ),
        (
            ["aaaa", "bbbb", "cccc", "dddd", "eeee"],
            ("big", "small"),
            'the provider does not offer the models "big" (model) and "small" (fast_model)',
            (
                "set the provider's exact model or deployment id; "
                'it offers "aaaa", "bbbb", "cccc" and 2 more'
            ),
        ),
        (
            [],
            ("big", "big"),
            'the provider does not offer the model "big" (model and fast_model)',
            "it offers none at all: load one there first (ollama pull, or LM Studio's own list)",
        ),
    ],
    ids=["typo", "publisher", "neither", "none"],
)
def test_a_model_that_is_not_offered_gets_near_ones(
    offered: list[str], wanted: tuple[str, str], message: str, hint: str
) -> None:
    verdict = asked(200, offering(*offered), model=wanted[0], fast_model=wanted[1])
    assert verdict == Verdict(ok=False, message=message, hint=hint)


def test_ollama_says_null_where_it_has_no_model() -> None:
    verdict = asked(200, b'{"object": "list", "data": null}')
    assert not verdict.ok
    assert verdict.hint.startswith("it offers none at all")


def test_a_part_of_the_list_proves_nothing() -> None:
    verdict = asked(200, offering("small", has_more=True))
    assert verdict.ok
    assert verdict.warnings == (
        'the provider lists a part of its models: "big" is not in it, and was not checked',
    )


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
        offering("big", "small") + b" " * MOST_BYTES,
    ],
    ids=["empty", "no text", "null", "object", "no list", "no names", "deep", "long"],
)
def test_an_answer_without_a_list_is_a_warning(body: bytes) -> None:
    assert asked(200, body) == Verdict(
        ok=True,
        warnings=("the provider's answer holds no list of models, so they were not checked",),
    )


def test_a_page_instead_of_a_list_hints_at_the_path() -> None:
    verdict = asked(200, b"\n<!doctype html><title>Hello</title>")
    assert verdict.ok
    [warning] = verdict.warnings
    assert "a page instead of a list" in warning
    assert "GATEWAY_BASE_URL" in warning
    assert "Hello" not in warning


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_named_as_the_cause(status: int) -> None:
    verdict = asked(status)
    assert not verdict.ok
    assert f"({status}): the mapped token is not valid there" in verdict.message
    assert "auth_token" in verdict.hint


@pytest.mark.parametrize(
    ("base_url", "variable", "hint"),
    [
        (
            "http://127.0.0.1:1234",
            "LM_STUDIO_BASE_URL",
            (
                "the path is often /v1: set base_url (or LM_STUDIO_BASE_URL in your environment) "
                'to "http://127.0.0.1:1234/v1"'
            ),
        ),
        (
            "https://llm.example.com/api/",
            None,
            'the path is often /v1: set base_url to "https://llm.example.com/api/v1"',
        ),
        (
            "https://open.bigmodel.cn/api/paas/v4",
            "GLM_BASE_URL",
            (
                "check base_url (or GLM_BASE_URL in your environment): "
                '"https://open.bigmodel.cn/api/paas/v4" is not where the provider\'s API begins'
            ),
        ),
    ],
)
def test_a_path_that_is_not_there_hints_at_v1(
    base_url: str, variable: str | None, hint: str
) -> None:
    verdict = asked(404, base_url=base_url, base_url_variable=variable)
    assert not verdict.ok
    assert "the base URL lacks its compatible path" in verdict.message
    assert verdict.hint == hint


@pytest.mark.parametrize(
    ("status", "passing"),
    [(400, False), (402, False), (405, False), (429, True), (500, True), (503, True), (408, True)],
)
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
    assert not verdict.ok


@pytest.mark.parametrize(
    ("seconds", "warnings"),
    [(5.0, ()), (7.4, ("the provider is slow: it took 7 s to list its models",))],
)
def test_a_slow_provider_is_a_warning(seconds: float, warnings: tuple[str, ...]) -> None:
    verdict = asked(200, offering("big", "small"), seconds=seconds)
    assert verdict == Verdict(ok=True, warnings=warnings)


@pytest.mark.parametrize("why", Silence)
def test_every_silence_has_a_cause_and_a_next_step(why: Silence) -> None:
    verdict = judge_silence(
        why,
        base_url="http://127.0.0.1:11434/v1",
        base_url_variable="OLLAMA_BASE_URL",
        seconds=15,
    )
    assert not verdict.ok
    assert verdict.message
    assert verdict.hint
    assert "127.0.0.1:11434" in verdict.message


def test_a_local_server_that_does_not_run_is_named() -> None:
    verdict = judge_silence(
        Silence.NOT_LISTENING,
        base_url="http://127.0.0.1:11434/v1",
        base_url_variable="OLLAMA_BASE_URL",
    )
    assert verdict.message == 'nothing listens on "127.0.0.1:11434", as the host sees it'
    assert "LM Studio and Ollama have to run on that host" in verdict.hint
    assert "OLLAMA_BASE_URL" in verdict.hint


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
