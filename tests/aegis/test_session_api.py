"""One session: what is sent to start it, and what each response means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.session_api import (
    CreatedSession,
    RefusedField,
    RefusedRequest,
    ReusedSession,
    SessionHealth,
    is_session_id,
    normal_prompt,
    parse_delivered,
    parse_session,
    parse_session_health,
    prompt_problem,
    session_body,
    session_path,
)
from aegis_provision.providers.secret import Secret

ID = "0b6e3f2e-8f61-4f5c-9a3e-0a5d3a0e6c11"


def answer(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_the_body_holds_the_values_and_no_prompt() -> None:
    env: dict[str, str | Secret] = {
        "ANTHROPIC_AUTH_TOKEN": Secret("token-of-this-test", "${T}"),
        "A": "\u00fc",
    }
    body = json.loads(session_body("/srv", "build", env))
    expected = {"ANTHROPIC_AUTH_TOKEN": "token-of-this-test", "A": "\u00fc"}
    assert body == {"workDir": "/srv", "name": "build", "env": expected}


def test_without_an_override_there_is_no_env() -> None:
    assert json.loads(session_body("/srv")) == {"workDir": "/srv"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, answer(id=ID, windowName="b"), CreatedSession(ID, "b")),
        (200, answer(id=ID, windowName="b", reused=True), ReusedSession(ID, "b")),
        (200, answer(id=ID), ReusedSession(ID)),
        (201, answer(id="../../health"), RefusedRequest(201)),
        (201, b"<html>", RefusedRequest(201)),
        (
            500,
            answer(error="no", code="INTERNAL_ERROR"),
            RefusedRequest(500, "INTERNAL_ERROR", "no"),
        ),
        (
            429,
            answer(error="QUOTA_EXCEEDED", code="RATE_LIMITED", message="as many as may be"),
            RefusedRequest(429, "QUOTA_EXCEEDED", "as many as may be", (), "7"),
        ),
        (
            400,
            answer(
                error="Invalid request body",
                code="VALIDATION_ERROR",
                details=[{"path": ["env", "PATH"], "message": "no\x1b[1m"}, 3, {"path": "x"}],
            ),
            RefusedRequest(
                400,
                "VALIDATION_ERROR",
                "Invalid request body",
                (RefusedField("env.PATH", "no [1m"), RefusedField("x", "")),
            ),
        ),
    ],
)
def test_what_a_response_means(status: int, body: bytes, expected: object) -> None:
    again = "7" if status == 429 else ""
    assert parse_session(status, body, again) == expected


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_response_is_too_odd(status: int, body: bytes) -> None:
    assert isinstance(parse_session(status, body), RefusedRequest)
    assert parse_session_health(status, body) is None
    assert parse_delivered(status, body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (answer(claudeRunning=True, status="idle"), SessionHealth(True, "idle")),
        (answer(claudeRunning=False, status="unknown"), SessionHealth(False, "unknown")),
        (answer(claudeRunning="yes", status="idle"), SessionHealth(None, "idle")),
        (answer(status="idle"), SessionHealth(None, "idle")),
        (answer(claudeRunning=True), None),
    ],
)
def test_whether_claude_runs(body: bytes, expected: SessionHealth | None) -> None:
    assert parse_session_health(200, body) == expected


@pytest.mark.parametrize(("delivered", "expected"), [(True, True), (False, False), (None, None)])
def test_whether_a_prompt_arrived(delivered: object, expected: bool | None) -> None:
    assert parse_delivered(200, answer(ok=True, delivered=delivered)) is expected


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "-a", "x" * 65])
def test_what_is_no_id(text: str) -> None:
    assert not is_session_id(text)


def test_the_path_of_a_session() -> None:
    assert is_session_id(ID)
    assert session_path(ID, "health") == f"/v1/sessions/{ID}/health"
    assert session_path("a/../b") == "/v1/sessions/a%2F..%2Fb"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Explain\tthis.\r\nAnd that.", ""),
        ("x" * 10_000, ""),
        ("\U0001f600" * 5_000, ""),
        ("", "holds no text"),
        (" \n\t", "holds no text"),
        ("x" * 10_001, "is longer than 10,000 characters"),
        ("\U0001f600" * 5_001, "is longer than 10,000 characters"),
        ("a\x03", "(U+0003)"),
        ("a\x1b[A", "(U+001B)"),
        ("a\rb", "(U+000D)"),
        ("a\x9bA", "(U+009B)"),
        ("a\0b", "(U+0000)"),
        ("a\ud800", "half of a character"),
    ],
)
def test_what_can_be_a_prompt(text: str, problem: str) -> None:
    found = prompt_problem(normal_prompt(text))
    assert problem in found
    assert bool(found) is bool(problem)
