"""A provider's answer is told apart in a person's words, and never repeated."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.providers.model_list import ModelList, near, parse_models
from aegis_provision.providers.probe_verdict import (
    ConnectFailure,
    Expected,
    Reply,
    TokenSource,
    Verdict,
    connect_failure_verdict,
    models_url,
    native_models_url,
    probe_verdict,
    settles,
)
from aegis_provision.providers.recipes import builtin_recipes
from aegis_provision.providers.templates import single_reference

MIB_8 = 8 * 1024 * 1024
OPENROUTER = "https://openrouter.ai/api/v1"


def offering(*names: str, **more: object) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names], **more}).encode()


def reply(status: int, body: bytes = b"", location: str = "", seconds: float = 0.2) -> Reply:
    return Reply(status, body, seconds, location)


def expecting(**changes: Any) -> Expected:
    fields: dict[str, Any] = {
        "model": "big",
        "fast_model": "small",
        "base_url": "https://llm.example.com",
        "base_url_variable": "GATEWAY_BASE_URL",
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
    assert asked(200, body) == Verdict(ok=True, checked=found())


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
        warnings=(
            'the provider lists a part of its models: the model "big" (model) was not checked',
        ),
    )
    assert asked(200, offering("small", "big", **more)) == Verdict(ok=True, checked=found())


def test_a_list_that_says_that_nothing_follows_is_whole() -> None:
    assert not asked(200, offering("small", has_more=False, next_page=None)).ok


def wildcards(names: str, models: str) -> Verdict:
    words = f"the gateway lists wildcards ({names}): {models} not checked"
    return Verdict(ok=True, warnings=(words,))


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
    assert asked(200, offering("*", "small", "big")) == Verdict(ok=True, checked=found())


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
        hint=f"name one of the provider's own models{such_as}",
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
        warnings=("the provider's answer holds no list of models, so they were not checked",),
    )


def test_a_page_instead_of_a_list_hints_at_the_path() -> None:
    verdict = asked(200, b"\n<!doctype html><title>Hello</title>")
    assert verdict.ok
    [warning] = verdict.warnings
    assert warning == (
        "the provider answered with a page instead of a list of models, so they were not checked: "
        'check base_url (or GATEWAY_BASE_URL in your environment): "https://llm.example.com" may '
        "not be where the provider's API begins"
    )


SOURCE = TokenSource(("GW_KEY",), "inventory.yml:2:50")


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
    for token, names in (
        (SOURCE, "GW_KEY, which auth_token names (inventory.yml:2:50)"),
        (TokenSource(("GLM_API_KEY",)), "GLM_API_KEY, which auth_token names"),
        (TokenSource(), "which variable auth_token names"),
    ):
        verdict = asked(status, token=token)
        hint = f"check {names}, and {further}"
        assert verdict == Verdict(ok=False, message=message, hint=hint)


def test_a_stand_in_that_is_refused_asks_for_its_variable() -> None:
    verdict = asked(401, token=TokenSource(("LM_STUDIO_TOKEN",), "i.yml:1:2", stand_in=True))
    assert verdict.hint == (
        "set LM_STUDIO_TOKEN, which auth_token names (i.yml:1:2): it is not set, and the recipe's "
        "own stand-in was sent"
    )


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
    assert probe_verdict(first, LIST, wanted) == Verdict(
        ok=True, checked=found("/anthropic/v1/models")
    )
    assert probe_verdict(LIST, first, wanted) == Verdict(
        ok=True, checked=found("/anthropic/models")
    )


@pytest.mark.parametrize("first", [LIST, *map(reply, (402, 408, 425, 429, 500, 502, 503))])
def test_what_speaks_of_no_path_is_asked_nowhere_else(first: Reply) -> None:
    assert settles(first, expecting())


def test_where_models_are_not_checked_any_answer_will_do() -> None:
    wanted = expecting(checks_models=False)
    assert settles(PAGE, wanted)
    assert not settles(reply(404), wanted)
    assert probe_verdict(reply(404), PAGE, wanted) == Verdict(ok=True)
    assert probe_verdict(PAGE, None, wanted) == Verdict(ok=True)


# From the one that is told before any other to the one that is told where there is no other.
BY_WORTH = [LIST, OTHERS, reply(401), reply(503), NOTHING, AWAY, reply(400), reply(404)]


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
        assert dataclasses.replace(swapped, checked=alone.checked) == alone


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
    verdict = asked(404, second=other, base_url=base_url, base_url_variable=None)
    assert verdict == Verdict(
        ok=False,
        message=f"the provider has {has}: the base URL lacks its compatible path, or it lists no "
        "models at all",
        hint=f'check base_url: "{base_url}" may not be where the provider\'s API begins; '
        "a provider that lists no models can't be probed",
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
    assert not verdict.ok


@pytest.mark.parametrize(
    ("seconds", "warnings"),
    [(5.0, ()), (7.4, ("the provider is slow: it took 7 s to list its models",))],
)
def test_a_slow_provider_is_a_warning(seconds: float, warnings: tuple[str, ...]) -> None:
    verdict = asked(200, offering("big", "small"), seconds=seconds)
    assert verdict == Verdict(ok=True, warnings=warnings, checked=found())


@pytest.mark.parametrize("why", ConnectFailure)
def test_every_silence_has_a_cause_and_a_next_step(why: ConnectFailure) -> None:
    verdict = connect_failure_verdict(
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
    verdict = connect_failure_verdict(
        ConnectFailure.NOT_LISTENING,
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
