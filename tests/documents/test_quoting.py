"""Which lines may be repeated, and how: never one that may hold a secret."""

from __future__ import annotations

import pytest

from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.documents.quoting import excerpt, may_quote, quote
from aegis_provision.documents.secret_detection import looks_secret

CANARY = "canary"


def quotable(text: str) -> list[bool]:
    source = Source("t", text)
    return [may_quote(source, number) for number in range(1, text.count("\n") + 2)]


@pytest.mark.parametrize(
    "line",
    [
        "auth_token: canary", "auth_tokn: canary", "AUTH-TOKEN: canary", '"api_key": canary',
        "password: canary", "ansible_ssh_pass: canary", "DB_PWD: canary", "auth_token=canary",
        "auth_token canary", "modle: x  # the token is canary", "h: {auth_token: 'canary', a: b}",
        "h: {auth_token: '${X}', api_token: canary}", "auth_token: ${X:-canary}",
        "auth_token: Bearer ${X} canary", "auth_token: [canary]", "? auth_token  canary",
        "url: https://user:canary@a.example/", "url: https://a.example/?k=canary",
        "model: sk-or-v1-canary", "model: ghp_canary", "model: 0c1a2b3d4e5f60718293",
        "model: Zx9Qq7Rk2mP4vT8wL1nB", "x: !vault canary", "# -----BEGIN RSA PRIVATE KEY----- x",
    ],
)  # fmt: skip
def test_lines_that_are_withheld(line: str) -> None:
    assert quotable(line) == [False]


@pytest.mark.parametrize(
    "line",
    [
        "auth_token: ${GLM_API_KEY}", "auth_token: '${X:-}'", "auth_token:",
        "auth_token: ${X:-<local-token>}", "h: {auth_token: ${X}, modle: y}", "modle: glm-4.5",
        "model: claude-sonnet-4-20250514", "gpu-[01:08].example.com: {modle: x}",
        "config_path: /opt/aegis/aegis.config.json", "base_url: https://llm.example.com/v1",
    ],
)  # fmt: skip
def test_lines_that_are_quoted(line: str) -> None:
    assert quotable(line) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "auth_token:\n  canary", "auth_token: |\n  canary", "auth_token: >-\n  a\n\n  canary",
        "auth_token:\n- canary", "auth_token:\n  - x\n  - canary", "auth_token:\n  v: canary",
        "h: {auth_token:\ncanary", "auth_token: &a |\n  canary", "auth_token: 'a\n  canary'",
        "auth_token:  # see\n\n  # below\n  canary",
    ],
)  # fmt: skip
def test_lines_below_a_secrets_name_are_withheld(text: str) -> None:
    assert quotable(text)[-1] is False


def test_the_line_after_a_secret_is_quoted_again() -> None:
    assert quotable("h:\n  auth_token: ${X}\n  modle: x")[-1]
    assert quotable("a:\n  auth_token: |\n    canary\nb:\n  modle: x")[-1]


@pytest.mark.parametrize(
    "text",
    ["gpt-4o-mini", "qwen2.5-coder:32b", "a" * 30, "build-01.example", "disk-full", "task-runner"],
)
def test_names_do_not_look_like_secrets(text: str) -> None:
    assert not looks_secret(text)


def test_a_word_is_shown_short_and_visible() -> None:
    assert quote("a\x1bb") == '"a\\x1bb"'
    assert quote("x " * 60).endswith('..."')
    assert quote("sk-canary-1") == "(not shown)"


@pytest.mark.parametrize("column", [1, 50, 500, 999])
def test_a_long_line_is_cut_around_the_caret(column: int) -> None:
    line = "".join(f"h{number}, " for number in range(300))
    quote = excerpt(Span(Source("t", line), 1, column, 1, column + 2))
    assert quote is not None
    assert len(quote.text) < 120
    assert quote.text[quote.caret : quote.caret + 2] == line[column - 1 : column + 1]


def test_the_caret_counts_terminal_columns() -> None:
    line = "{model: 日本e\u0301x}"
    quote = excerpt(Span(Source("t", line), 1, 13, 1, 14))
    assert quote is not None
    assert (quote.text, quote.caret, quote.width) == (line, 13, 1)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("modle", "model"), ("Fast-Model", "fast_model"), ("zzz", ""), ("x" * 200, "")],
)
def test_did_you_mean(word: str, meant: str) -> None:
    hint = did_you_mean(word, ["model", "fast_model", "port"])
    assert hint == (f'did you mean "{meant}"?' if meant else "")
