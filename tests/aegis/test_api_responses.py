"""What Aegis' API says is read with care, and never believed to be what it is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.api_responses import (
    ClaudeCode,
    Health,
    active_sessions,
    dropped_config,
    parse_health,
    start_is_older,
)

WHOLE = {
    "status": "ok",
    "timestamp": "2026-11-25T10:15:00.500Z",
    "version": "0.6.6-preview.1",
    "platform": "linux",
    "uptime": 60.25,
    "sessions": {"active": 2, "total": 17},
    "tmux": {"healthy": True, "error": None},
}
AT = 1795601700.5
"""The timestamp in :data:`WHOLE`."""

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "ok", "9"])
JSON = LEAVES | st.lists(LEAVES, max_size=2) | st.fixed_dictionaries({"active": LEAVES})


def health(**changes: object) -> Health | None:
    return parse_health(200, json.dumps({**WHOLE, **changes}).encode())


def test_with_the_token_everything_is_told() -> None:
    assert health() == Health("ok", AT - 60.25, 2, "0.6.6-preview.1", 60.25, AT)


@pytest.mark.parametrize("word", ["ok", "degraded", "draining"])
def test_without_the_token_there_is_one_word(word: str) -> None:
    assert parse_health(200, json.dumps({"status": word}).encode()) == Health(word)


@pytest.mark.parametrize(
    "timestamp",
    [AT, AT * 1000, int(AT * 1000), "2026-11-25T11:15:00.5+01:00", "2026-11-25T10:15:00.500000Z"],
)
def test_a_timestamp_comes_in_several_forms(timestamp: object) -> None:
    found = health(timestamp=timestamp, uptime=0)
    assert found is not None
    assert found.started == pytest.approx(AT)


@pytest.mark.parametrize(
    "timestamp",
    [
        None,
        True,
        "",
        "yesterday",
        "2026-11-25T10:15:00",
        "9" * 5000,
        0,
        -1,
        12345,
        10**400,
        float("nan"),
        float("inf"),
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        [],
    ],
)
def test_a_timestamp_that_is_none_tells_no_start(timestamp: object) -> None:
    found = health(timestamp=timestamp)
    assert found == Health("ok", None, 2, "0.6.6-preview.1", 60.25)


@pytest.mark.parametrize("uptime", [None, True, -1, "60", 1e300, 10**400, float("nan"), {}])
def test_an_uptime_that_is_none_tells_no_start(uptime: object) -> None:
    found = health(uptime=uptime)
    assert found is not None
    assert found.started is None


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ({"active": 0}, 0),
        ({"active": 3.0}, 3),
        ({"active": -1}, None),
        ({"active": 1.5}, None),
        ({"active": "2"}, None),
        ({"active": True}, None),
        ({"active": 10**400}, None),
        ({"active": float("nan")}, None),
        ({}, None),
        ([2], None),
        (None, None),
    ],
)
def test_active_sessions_are_counted_where_they_are_told(
    sessions: object, expected: int | None
) -> None:
    found = health(sessions=sessions)
    assert found is not None
    assert found.active == expected


@pytest.mark.parametrize("version", [None, 1, "", "\x1b[31m", "v" * 41, "1.0\n"])
def test_a_version_that_is_none_is_not_repeated(version: object) -> None:
    found = health(version=version)
    assert found is not None
    assert found.version == ""


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"status": "ok"}'),
        (429, b'{"status": "ok"}'),
        (204, b""),
        (200, b""),
        (200, b"<html>"),
        (200, b"null"),
        (200, b'["ok"]'),
        (200, b"{}"),
        (200, b'{"status": 1}'),
        (200, b'{"status": ""}'),
        (200, b'{"status": "\\u001b[2J"}'),
        (200, b'{"status": "ok\\n"}'),
        (200, b'{"status": "\xff"}'),
        (200, b"[" * 100_000),
        (200, b'{"status": "ok", "more": ' + b"1" * 5000 + b"}"),
        (200, b'{"status": "ok"}' + b" " * (1 << 20)),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_what_is_no_health_is_none(status: int, body: bytes) -> None:
    assert parse_health(status, body) is None


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_bytes_upset_it(status: int, body: bytes) -> None:
    parse_health(status, body)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, JSON)))
def test_no_fields_upset_it(changes: dict[str, object]) -> None:
    found = health(**changes)
    if found is not None and found.started is not None:
        assert start_is_older(found, found.started) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, True),
        (204, True),
        (401, False),
        (403, False),
        (404, False),
        (429, False),
        (500, False),
    ],
)
def test_a_server_that_answers_without_a_token_lost_its_file(status: int, expected: bool) -> None:
    assert dropped_config(status) is expected


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        (0.0, True),
        (98.9, True),
        (99.0, None),
        (100.0, None),
        (101.9, None),
        (102.1, False),
        (200.0, False),
    ],
)
def test_a_start_near_the_files_time_is_neither_older_nor_newer(
    started: float, expected: bool | None
) -> None:
    assert start_is_older(Health("ok", started), 100.0) is expected


def test_nobody_knows_where_the_start_was_not_told() -> None:
    assert start_is_older(Health("ok"), 100.0) is None


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ([], 0),
        ([{"id": "a"}, {"id": "b"}], 2),
        ({"sessions": [{"id": "a"}], "total": 7}, 1),
        ({"total": 3}, 3),
        ({"total": -1}, None),
        ({}, None),
        ("x", None),
        (None, None),
    ],
)
def test_sessions_are_counted_where_they_are_listed(answer: object, count: int | None) -> None:
    assert active_sessions(200, json.dumps(answer).encode()) == count


def test_sessions_are_not_counted_in_a_refusal() -> None:
    assert active_sessions(401, b"[]") is None
    assert active_sessions(200, b"<html>") is None


CLAUDE = {"available": True, "healthy": False, "version": "2.0.9", "minimumVersion": "2.1.80"}


@pytest.mark.parametrize(
    ("claude", "known"),
    [
        (CLAUDE, ClaudeCode(available=True, healthy=False, version="2.0.9", minimum="2.1.80")),
        ({"available": False}, ClaudeCode(available=False, healthy=True)),
        ({**CLAUDE, "version": None}, ClaudeCode(available=True, healthy=False, minimum="2.1.80")),
        ({"available": "yes"}, None),
        (None, None),
        ([], None),
    ],
)
def test_which_claude_code_is_there(claude: object, known: ClaudeCode | None) -> None:
    found = health(claude=claude)
    assert found is not None
    assert found.claude == known
