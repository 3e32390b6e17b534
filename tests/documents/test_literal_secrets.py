"""Secrets that are written down: under every key, in every kind of file, and never repeated."""

from __future__ import annotations

import pytest

from aegis_provision.documents.diagnostic import (
    Diagnostic,
    drop_followups,
    error,
    note,
    warning,
)
from aegis_provision.documents.literal_secrets import literal_secrets
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.documents.yaml_reader import read_document
from aegis_provision.report.diagnostics import diagnostics_fields, diagnostics_lines

CANARY = "sk-or-v1-canary"


def found(text: str, **options: object) -> list[Diagnostic]:
    node, diagnostics = read_document(Source("t.yml", text))
    assert node is not None
    assert not diagnostics
    return list(literal_secrets(node, **options))  # type: ignore[arg-type]


def places(text: str, **options: object) -> list[tuple[int, int]]:
    return [(item.span.line, item.span.column) for item in found(text, **options) if item.span]


@pytest.mark.parametrize(
    "key",
    [
        "model",
        "fast_model",
        "base_url",
        "timeout_ms",
        "restart_command",
        "api",
        "service",
        "user",
        "address",
        "become_user",
        "config_path",
        "identity_file",
        "provider",
        "extends",
        "note",
        "name",
        "connection",
        "become",
        "port",
    ],
)
def test_a_token_is_refused_under_every_key(key: str) -> None:
    [item] = found(f"{key}: {CANARY}")
    assert item.code == "literal-secret"
    words = f'"{key}" holds what looks like a secret'
    assert item.message == f"{words}: a secret never stands in an inventory"
    assert not item.quotable
    assert "auth_token" in item.hint


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f"jump: [a, {CANARY}]", [(1, 11)]),
        (f"env: {{A: x, B: {CANARY}, C: 'http://u:p@h'}}", [(1, 16), (1, 36)]),
        (f"all: {{hosts: {{{CANARY}: }}}}", [(1, 15)]),
        (f"{CANARY}: {{hosts: }}", [(1, 1)]),
        (f"a: {{b: [{{c: {CANARY}}}]}}", [(1, 13)]),
        (f"- name: {CANARY}\n  hosts: {CANARY}", [(1, 9), (2, 10)]),
        (f"{CANARY}: {CANARY}", [(1, 1), (1, 18)]),
    ],
)
def test_it_is_found_wherever_it_stands(text: str, where: list[tuple[int, int]]) -> None:
    assert places(text) == where


def test_the_words_for_a_name_a_value_and_a_file() -> None:
    [name] = found(f"{CANARY}: ")
    assert name.message == "this name is a token: a secret never stands in an inventory"
    [value] = found(f"env: {{A: {CANARY}}}", file="a playbook")
    assert value.message.endswith(": a secret never stands in a playbook")
    assert value.hint.startswith("write a reference there")
    [inside] = found(f"A: {{env: {{address: {CANARY}}}}}")
    assert inside.hint == value.hint


@pytest.mark.parametrize(
    "text",
    [
        "user: sk-bratislava-01",
        "address: sk-bratislava-01",
        "jump: [sk-gw-01]",
        "config_path: /srv/0c1a2b3d4e5f607182930c1a2b3d4e5f/x",
        "service: sk",
        "ansible_ssh_pass: sk-or-v1-canary",
        "ansible_note: {a: [sk-or-v1-canary]}",
        f"auth_token: {CANARY}",
        f"api_token: {CANARY}",
        f"password: {CANARY}",
        f"identity_passphrase: {CANARY}",
        f"pin_reason: {CANARY}",
        "env: {A: 'Bearer ${B}'}",
        "model: qwen2.5-coder:32b",
        "port: 22",
        "a: [1, true, null]",
    ],
)
def test_what_is_none_or_has_a_rule_of_its_own(text: str) -> None:
    assert not found(text)


HASH = "0c1a2b3d4e5f607182930c1a2b3d4e5f"


@pytest.mark.parametrize("name", ["MODEL_SHA256", "commit", "FILE_HASH", "DIGEST", "checksum"])
def test_a_hash_is_one_under_a_name_that_says_so(name: str) -> None:
    for size in (32, 40, 64, 128):
        assert not found(f"env: {{{name}: {(HASH * 4)[:size]}}}")
    assert found(f"env: {{{name}: {HASH}x}}")
    assert found(f"env: {{{name}: {(HASH * 4)[:39]}}}")
    assert found(f"env: {{{name}: {(HASH * 4)[:31]}}}")
    assert found(f"env: {{MODEL: {HASH}}}")
    assert found(f"env: {{{name}: {CANARY}}}")


def test_in_env_a_name_is_a_variables_and_no_setting() -> None:
    assert places("env: {address: sk-bratislava-01}") == [(1, 16)]
    assert places(f"env: {{pin_reason: {CANARY}}}") == [(1, 19)]
    assert places(f"env: {{ansible_x: {CANARY}}}") == [(1, 18)]


def test_ansibles_names_for_settings_are_looked_at() -> None:
    text = f"{{ansible_host: {CANARY}, ansible_x: {CANARY}}}"
    assert places(text, names=("ansible_host",)) == [(1, 16)]
    assert not found("ansible_host: sk-bratislava-01", names=("ansible_host",))


def test_no_diagnostic_repeats_it() -> None:
    diagnostics = found(f"model: {CANARY}\nb: &b {CANARY}\nc: *b\n{CANARY}: x\n")
    text = "\n".join(line.plain for line in diagnostics_lines(diagnostics))
    assert CANARY not in text + str(diagnostics_fields(diagnostics))
    assert text.count("(line not shown: it may hold a secret)") == 4


SOURCE = Source("t.yml", "model: x\n")
HERE, THERE = Span(SOURCE, 1, 1, 1, 2), Span(SOURCE, 1, 3, 1, 4)


def test_a_more_exact_error_replaces_that_of_a_secret_and_is_not_quoted() -> None:
    secret, other = error("literal-secret", "a", HERE), error("refused-value", "b", HERE)
    [told] = drop_followups([secret, other])
    assert (told.code, told.quotable) == ("refused-value", False)


@pytest.mark.parametrize("other", [warning("w", "b", HERE), note("n", "b", HERE)])
def test_what_is_no_error_does_not_stand_for_one(other: Diagnostic) -> None:
    secret = error("literal-secret", "a", HERE)
    told = drop_followups([secret, other])
    assert [item.code for item in told] == ["literal-secret", other.code]
    assert not told[1].quotable


def test_errors_elsewhere_and_without_a_place_are_left_alone() -> None:
    items = [error("literal-secret", "a", HERE), error("x", "b", THERE), error("y", "c")]
    assert [item.code for item in drop_followups(items)] == ["literal-secret", "x", "y"]
    assert [item.quotable for item in drop_followups(items)] == [False, True, True]
    form = [error("wrong-type", "a", HERE), error("x", "b", HERE), error("x", "c", THERE)]
    assert [item.message for item in drop_followups(form)] == ["a", "c"]
