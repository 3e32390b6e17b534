"""Secrets of an inventory are references and nothing else; what of a host is shown."""

from __future__ import annotations

import pytest

from aegis_provision.documents.nodes import Source, Span
from aegis_provision.providers.explain import shown_setting, shown_template
from aegis_provision.providers.recipes import template_problems
from aegis_provision.providers.redaction import exposes_secret
from aegis_provision.providers.secret import (
    is_named_secret,
    is_plain_value,
    is_secret_setting,
)

HERE = Span(Source("i.yml", "x"), 1, 1, 1, 2)


def problems(setting: str, template: str) -> list[tuple[str, str]]:
    return [(item.code, item.message) for item in template_problems(setting, template, HERE)]


@pytest.mark.parametrize(
    ("setting", "template"),
    [
        ("env.MAX_THINKING_TOKENS", "8000"),
        ("env.CLAUDE_CODE_MAX_OUTPUT_TOKENS", "32000"),
        ("env.CLAUDE_CODE_API_KEY_HELPER_TTL_MS", "3600000"),
        ("env.USE_KEY", "true"),
        ("env.MAX_TOKENS", "${MAX_TOKENS:-8000}"),
        ("env.MAX_TOKENS", "${MAX_TOKENS:-}"),
        ("env.MY_TOKEN", "${X}"),
        ("env.MY_TOKEN", "${X:-ollama-local}"),
        ("env.MODEL", "x"),
        ("env.HEADERS", "x-key: Bearer ${GW_KEY}"),
        ("env.HEADERS", "Bearer ${GW_KEY:-}"),
        ("env.HEADERS", "${MAX_TOKENS:-8000} x"),
        ("env.HEADERS", "${TENANT:-blue}"),
        ("auth_token", "${X}"),
        ("api_token", "${X:-}"),
        ("auth_token", "${X:-<local-token>}"),
    ],
)
def test_what_may_stand_there(setting: str, template: str) -> None:
    assert problems(setting, template) == []


@pytest.mark.parametrize(
    ("setting", "template", "words"),
    [
        ("auth_token", "8000", "is a literal"),
        ("api_token", "true", "is a literal"),
        ("auth_token", "${X:-8000}", "has a default"),
        ("auth_token", "a${X}", "is not exactly one"),
        ("env.MAX_TOKENS", "many", "is a literal"),
        ("env.MAX_TOKENS", "12345678901", "is a literal"),
        ("env.MY_TOKEN", "Bearer ${X}", "is not exactly one"),
        ("env.MY_TOKEN", "", "is a literal"),
        ("env.MY_TOKEN", "${X:-abc}", "has a default"),
        ("env.MY_TOKEN", "${x}", "is no reference"),
        ("env.HEADERS", "x ${GW_KEY:-abc}", "has a default"),
        ("env.HEADERS", "${GW_KEY:-abc}", "has a default"),
        ("env.HEADERS", "${A:-x} ${GW_KEY:-abc}", "has a default"),
    ],
)
def test_what_may_not(setting: str, template: str, words: str) -> None:
    [(code, message)] = problems(setting, template)
    assert code == "literal-secret"
    assert words in message
    assert "abc" not in message


def test_other_rules_for_templates_stay() -> None:
    assert [code for code, _ in problems("env.HEADERS", "${x}")] == ["stray-reference"]
    assert [code for code, _ in problems("model", "${MY_TOKEN}")] == ["secret-in-the-open"]
    assert [code for code, _ in problems("env.ANTHROPIC_AUTH_TOKEN", "1")] == ["managed-variable"]


@pytest.mark.parametrize(
    ("setting", "template", "secret"),
    [
        ("auth_token", "8000", True),
        ("api_token", "x", True),
        ("model", "${MY_TOKEN}", False),
        ("model", "Bearer ${X}", False),
        ("timeout_ms", "1", False),
        ("env.MY_TOKEN", "${X}", True),
        ("env.MAX_TOKENS", "8000", False),
        ("env.MAX_TOKENS", "${X}", True),
        ("env.A", "${MY_KEY}", True),
        ("env.A", "Bearer ${X}", True),
        ("env.A", "http://u:${X}@h", True),
        ("env.A", "a ${X}", False),
        ("env.A", "x", False),
    ],
)
def test_which_settings_are_secrets(setting: str, template: str, secret: bool) -> None:
    assert is_secret_setting(setting, template) is secret


@pytest.mark.parametrize(
    ("name", "value", "named", "held"),
    [
        ("MY_TOKEN", "x", True, True),
        ("MY_TOKEN", "8000", False, False),
        ("MODEL", "glm-4.5", False, False),
        ("MODEL", "sk-abc", False, True),
        ("URL", "http://x/?k=v", False, True),
        ("MY_KEY", "true", False, False),
        ("ANTHROPIC_AUTH_TOKEN", "8000", True, True),
        ("authToken", "1", True, True),
        ("clientAuthToken", "true", True, True),
    ],
)
def test_what_a_host_has(name: str, value: str, named: bool, held: bool) -> None:
    assert is_named_secret(name, value) is named
    assert (is_named_secret(name, value) or exposes_secret(value, (), name)) is held


def test_what_is_plain_on_a_host() -> None:
    assert is_plain_value("ANYTHING", "8000")
    assert not is_plain_value("ANYTHING", "x")
    assert not is_plain_value("ANTHROPIC_AUTH_TOKEN", "8000")


@pytest.mark.parametrize(
    ("key", "template", "shown"),
    [
        ("env.A", "x-key: Bearer ${GW}", "...${GW}"),
        ("env.A", "Bearer ${GW} x", "...${GW}..."),
        ("env.A", "Bearer x ${GW_TOKEN:-literal}", "...${GW_TOKEN:-...}"),
        ("env.A", "a ${B}", "a ${B}"),
        ("model", "sk-abc", "..."),
        ("env.MAX_TOKENS", "8000", "8000"),
        ("auth_token", "${A}", "${A}"),
        ("base_url", "http://u:p@${H}", "...${H}"),
        (
            "env.MODEL_SHA256",
            "0c1a2b3d4e5f607182930c1a2b3d4e5f",
            "0c1a2b3d4e5f607182930c1a2b3d4e5f",
        ),
        ("env.MODEL", "0c1a2b3d4e5f607182930c1a2b3d4e5f", "..."),
    ],
)
def test_how_a_template_is_shown(key: str, template: str, shown: str) -> None:
    assert shown_template(key, template) == shown


def test_how_a_setting_is_shown() -> None:
    assert [shown_setting(value) for value in ("x", "sk-abc", 22, True, ("a", "sk-abc"), ())] == [
        "x",
        "...",
        22,
        True,
        ("a", "..."),
        (),
    ]
