"""Recipes and the environment: what would be written, and what must not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.aegis.config_file import ConfigFile, merge, parse_config, render
from aegis_provision.aegis.variable_checks import check_session, check_spec
from aegis_provision.documents.diagnostic import Severity, has_errors
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.providers.recipes import VARIABLE_OF, builtin_recipes
from aegis_provision.providers.session_variables import (
    Session,
    SessionSpec,
    Variable,
    recipe_spec,
    resolve_env,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "render.json").read_text(encoding="utf-8")
)
SPAN = Span(Source("inv.yml", "x"), 1, 1, 1, 2)


def reasons_to_refuse(values: dict[str, str]) -> set[str]:
    """Say by the contract alone which of ``values`` must not reach a host."""
    refused = set()
    for name, value in values.items():
        if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
            refused.add(name)
        if len(value.encode()) > 8192 or "YOUR-RESOURCE" in value:
            refused.add(name)
    token = values["ANTHROPIC_AUTH_TOKEN"]
    if token != token.strip():
        refused.add("ANTHROPIC_AUTH_TOKEN")  # Aegis takes it; no provider would
    timeout = values["API_TIMEOUT_MS"]
    if not (timeout.isascii() and timeout.isdecimal() and 1 <= int(timeout) <= 2147483647):
        refused.add("API_TIMEOUT_MS")
    return refused


@pytest.mark.parametrize(
    "vector", VECTORS, ids=[f"{i}-{item['provider']}" for i, item in enumerate(VECTORS)]
)
def test_observed(vector: dict[str, Any]) -> None:
    session = resolve_env(recipe_spec(builtin_recipes()[vector["provider"]]), vector["env"])
    assert list(session.missing) == vector["missing"]
    if session.missing:
        return
    assert render(session.values, mask=None) == vector["output"]
    assert merge(None, session.values).decode() == vector["output"]
    refused = reasons_to_refuse(json.loads(vector["output"])["defaultSessionEnv"])
    errors = [item for item in check_session(session) if item.severity is Severity.ERROR]
    assert {item.message.split()[0] for item in errors} == refused
    taken = parse_config(merge(None, session.values))
    assert isinstance(taken, ConfigFile) or refused


def test_the_vectors_hold_both_kinds() -> None:
    kinds = {
        bool(reasons_to_refuse(json.loads(item["output"])["defaultSessionEnv"]))
        for item in VECTORS
        if not item["missing"]
    }
    assert kinds == {True, False}


def _spec(templates: Mapping[str, str] | None = None, *, allow_http: bool = False) -> SessionSpec:
    usual = {
        "base_url": "https://a.example/v1",
        "auth_token": "${T}",
        "model": "m",
        "fast_model": "f",
        "timeout_ms": "60000",
    }
    variables = [
        Variable(
            VARIABLE_OF.get(key, key),
            template,
            key if key in VARIABLE_OF else f"env.{key}",
            sensitive=key == "auth_token",
            span=SPAN,
            from_recipe=False,
        )
        for key, template in {**usual, **(templates or {})}.items()
    ]
    return SessionSpec("p", tuple(variables), allow_http)


def _session(
    templates: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Session:
    return resolve_env(_spec(templates), {"T": "token", **(environ or {})})


def test_nothing_to_say() -> None:
    assert check_spec(_spec()) == ()
    assert check_session(_session()) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "http://a.example/v1"),
        ("base_url", "https://YOUR-RESOURCE.a.example"),
        ("base_url", "https://u:p@a.example/"),
        ("model", ""),
        ("fast_model", "<your model>"),
        ("timeout_ms", "30s"),
        ("X", "a\nb"),
        ("X", "x" * 8193),
        ("PATH", "x"),
        ("AWS_REGION", "x"),
        ("lower", "x"),
    ],
)
def test_a_literal_is_refused_offline_and_when_filled(key: str, value: str) -> None:
    assert has_errors(check_spec(_spec({key: value})))
    assert has_errors(check_session(_session({key: value})))


@pytest.mark.parametrize(
    ("key", "template"),
    [
        ("base_url", "https://u:p@${H}/"),
        ("base_url", "${B}?x"),
        ("model", "a\n${M}"),
        ("base_url", "https://YOUR-RESOURCE.${H}"),
    ],
)
def test_literal_parts_are_refused_offline(key: str, template: str) -> None:
    diagnostics = check_spec(_spec({key: template}))
    assert has_errors(diagnostics)
    assert "from" not in diagnostics[0].message


def test_what_the_environment_decides_is_no_error_offline() -> None:
    assert check_spec(_spec({"model": "${M}", "timeout_ms": "${N}", "base_url": "${B}"})) == ()


def test_azure_without_its_resource() -> None:
    spec = recipe_spec(builtin_recipes()["azure-openai"])
    offline = check_spec(spec)
    assert [item.code for item in offline] == ["unusable-default"]
    assert not has_errors(offline)
    assert any("AZURE_OPENAI_BASE_URL" in item.message + item.hint for item in offline)
    filled = check_session(resolve_env(spec, {"AZURE_OPENAI_API_KEY": "k"}))
    assert has_errors(filled)
    url = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_BASE_URL": "https://a.example/v1"}
    assert not has_errors(check_session(resolve_env(spec, url)))


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({}, 2),
        ({"LM_STUDIO_MODEL": "mine"}, 1),
        ({"LM_STUDIO_MODEL": "local-model", "LM_STUDIO_FAST_MODEL": "local-model"}, 0),
    ],
)
def test_stand_in_models_are_told_where_they_were_not_asked_for(
    environ: dict[str, str], count: int
) -> None:
    session = resolve_env(recipe_spec(builtin_recipes()["lm-studio"]), environ)
    diagnostics = check_session(session)
    assert [item.code for item in diagnostics] == ["stand-in-model"] * count
    assert not has_errors(diagnostics)


def test_a_placeholder_token_is_lm_studios_alone() -> None:
    studio = recipe_spec(builtin_recipes()["lm-studio"])
    assert not has_errors(check_session(resolve_env(studio, {})))
    glm = recipe_spec(builtin_recipes()["glm"])
    assert has_errors(check_session(resolve_env(glm, {"GLM_API_KEY": "<local-token>"})))
    assert has_errors(check_session(_session(environ={"T": "<your key>"})))


def test_plain_http_where_the_provider_allows_it() -> None:
    url = {"base_url": "http://a.example/v1"}
    assert not has_errors(check_spec(_spec(url, allow_http=True)))
    assert not has_errors(check_session(resolve_env(_spec(url, allow_http=True), {"T": "t"})))
    assert not has_errors(check_session(_session({"base_url": "http://10.0.0.5/v1"})))


def test_an_empty_token_is_refused() -> None:
    assert has_errors(check_session(_session({"auth_token": "${NONE:-}"})))


def test_further_variables_may_be_empty() -> None:
    assert check_session(_session({"X": "${NONE:-}"})) == ()


def test_a_short_timeout_is_a_warning() -> None:
    short = {"timeout_ms": "60"}
    for diagnostics in (check_spec(_spec(short)), check_session(_session(short))):
        assert [(item.code, item.severity) for item in diagnostics] == [
            ("short-timeout", Severity.WARNING)
        ]


def test_messages_name_both_variables_and_no_value() -> None:
    canary = "canary"
    session = _session(
        {"timeout_ms": "${N}", "base_url": "${B}"},
        {"T": f"{canary}\n", "N": canary, "B": f"https://{canary}@a.example"},
    )
    diagnostics = check_session(session)
    text = " ".join(item.message + item.hint for item in diagnostics)
    assert canary not in text
    for name in ("ANTHROPIC_AUTH_TOKEN", "API_TIMEOUT_MS", "ANTHROPIC_BASE_URL"):
        assert any(item.message.startswith(name) for item in diagnostics)
    assert all(f"from {name}" in text for name in ("T", "N", "B"))


def test_undecodable_bytes_of_the_environment_are_refused() -> None:
    assert has_errors(check_session(_session(environ={"T": "a\udcffb"})))
