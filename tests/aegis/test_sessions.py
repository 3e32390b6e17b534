"""Which sessions hold a restart, by what Aegis lists."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.sessions import (
    HoldingSessions,
    RunningSession,
    ended_by_restart,
    holding_sessions,
    parse_sessions,
    sessions_path,
)

NOW = 1_795_600_000.0
AGEING = ("idle", "error", "unknown")
HOLDING = ("working", "compacting", "waiting_for_input", "acquired", "")


def listed(*sessions: dict[str, object], **pagination: int) -> bytes:
    root: dict[str, object] = {"sessions": sessions}
    if pagination:
        root["pagination"] = pagination
    return json.dumps(root).encode()


def entry(**changes: object) -> dict[str, object]:
    known: dict[str, object] = {
        "id": "s-1",
        "windowName": "build",
        "workDir": "/srv/work",
        "status": "idle",
        "createdAt": 1_795_500_000_000,
        "lastActivity": 1_795_599_000_000,
    }
    return {**known, **changes}


def test_a_page() -> None:
    page = parse_sessions(200, listed(entry(), page=2, limit=1, total=41, totalPages=41))
    assert page is not None
    created = NOW - 100_000
    assert page.sessions == (
        RunningSession("s-1", "build", "idle", NOW - 1000, "/srv/work", created),
    )
    assert (page.pages, page.total) == (41, 41)


def test_pages_are_as_long_as_aegis_allows() -> None:
    assert sessions_path(3) == "/v1/sessions?page=3&limit=100"


@pytest.mark.parametrize("body", [listed(entry()), json.dumps([entry()]).encode()])
def test_a_list_without_pages_is_one_page(body: bytes) -> None:
    page = parse_sessions(200, body)
    assert page is not None
    assert (len(page.sessions), page.pages, page.total) == (1, 1, 1)


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, listed()), (200, b""), (200, b"{}"), (200, b'{"sessions": 3}'), (200, b'"sessions"')],
)
def test_what_is_no_list(status: int, body: bytes) -> None:
    assert parse_sessions(status, body) is None


@pytest.mark.parametrize("odd", [None, 3, "idle", [], {}, {"status": 7, "lastActivity": "soon"}])
def test_an_entry_of_another_shape_holds_a_restart(odd: object) -> None:
    page = parse_sessions(200, json.dumps({"sessions": [odd]}).encode())
    assert page is not None
    assert holding_sessions(page.sessions, 1, NOW, 60).count == 1


@pytest.mark.parametrize("status", AGEING)
def test_what_ages_holds_until_it_is_old(status: str) -> None:
    session = RunningSession("s", "s", status, NOW - 900)
    assert holding_sessions([session], 1, NOW, 900).count == 1
    assert holding_sessions([session], 1, NOW, 899).count == 0


@pytest.mark.parametrize("status", HOLDING)
def test_any_other_status_holds_at_any_age(status: str) -> None:
    session = RunningSession("s", "s", status, NOW - 1e7)
    assert holding_sessions([session], 1, NOW, 900).listed == (session,)


@pytest.mark.parametrize(("now", "last"), [(None, NOW - 1e7), (NOW, None), (NOW, NOW + 1e7)])
def test_an_unknown_age_holds(now: float | None, last: float | None) -> None:
    assert holding_sessions([RunningSession("s", "s", "idle", last)], 1, now, 900).count == 1


def test_sessions_that_the_token_does_not_show_hold() -> None:
    old = RunningSession("s", "s", "idle", NOW - 1e7)
    assert holding_sessions([old], 3, NOW, 900) == HoldingSessions((), 2)


@given(
    st.lists(st.tuples(st.sampled_from([*AGEING, *HOLDING]), st.integers(-100, 5000)), max_size=6),
    st.integers(0, 9),
    st.integers(0, 3000),
)
def test_none_is_forgotten(sessions: list[tuple[str, int]], active: int, idle_after: int) -> None:
    every = [RunningSession("s", "s", status, NOW - age) for status, age in sessions]
    holding = holding_sessions(every, active, NOW, idle_after)
    passed = [item for item in every if item not in holding.listed]
    assert all(item.status in AGEING for item in passed)
    assert holding.count >= active - len(passed)


def test_what_is_said_of_them() -> None:
    sessions = [RunningSession("a", "build", "working"), RunningSession("b", "", "")]
    assert str(HoldingSessions(tuple(sessions))) == "build (working), b (no status)"
    assert str(HoldingSessions((), 1)) == "1 that is not listed"
    many = tuple(RunningSession(str(index), "", "idle") for index in range(7))
    assert str(HoldingSessions(many, 2)).endswith("4 (idle), 2 more, 2 that are not listed")
    assert ended_by_restart(sessions) == "the restart ends 2 idle sessions (build, b)"
    assert ended_by_restart(many).endswith("3, 4, ...)")
    assert ended_by_restart([]) == ""


def test_a_name_can_not_drive_the_terminal() -> None:
    page = parse_sessions(200, listed(entry(windowName="a\x1b[2Jb\n" + "x" * 500)))
    assert page is not None
    assert page.sessions[0].name.isprintable()
    assert len(page.sessions[0].name) == 60
