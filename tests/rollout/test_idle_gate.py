"""Waiting for sessions, by responses alone: values in, values out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from aegis_provision.playbook.plays import Gates, Sessions
from aegis_provision.rollout.idle_gate import wait_for_idle
from aegis_provision.rollout.verdicts import Blocked, Ok
from aegis_provision.transport.http_messages import HttpFailure, HttpResponse
from tests.rollout.responses import (
    AT_ONCE,
    LOCKED_OUT,
    LONG,
    NOBODY,
    NOT_AEGIS,
    SHORT,
    SILENT,
    TOKEN,
    TOO_OFTEN,
    UNASKED,
    Clock,
    Host,
    client,
    health,
    listing,
    whole,
)

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret


@dataclass
class Wait:
    """How waiting for sessions went."""

    end: Ok | Blocked
    reported: list[str]
    host: Host
    clock: Clock


def waited(
    *answers: HttpResponse | HttpFailure,
    policy: Sessions = Sessions.WAIT,
    limit: float = LONG,
    stops_after: int = 10**9,
    address_is_known: bool = True,
    tokens: tuple[Secret, ...] = (TOKEN,),
) -> Wait:
    host, reported, clock = Host(answers), list[str](), Clock(stops_after=stops_after)
    gates = Gates(sessions=policy, sessions_wait=limit, idle_after=900.0)
    asked = client(host, *tokens, address_is_known=address_is_known)
    end = wait_for_idle(asked, gates, pause=clock, on_running=reported.append)
    return Wait(end, reported, host, clock)


def test_sessions_that_are_ignored_are_not_asked_about() -> None:
    ignored = waited(whole(3), policy=Sessions.IGNORE)
    assert (ignored.end, ignored.host.asked) == (Ok(), [])


@pytest.mark.parametrize("policy", [Sessions.WAIT, Sessions.REFUSE])
@pytest.mark.parametrize("answer", [whole(0), NOBODY], ids=["none running", "none listens"])
def test_where_there_is_no_session_there_is_none_to_lose(
    policy: Sessions, answer: HttpResponse | HttpFailure
) -> None:
    assert waited(answer, policy=policy).end == Ok()


def test_sessions_are_waited_for_and_reported_when_their_number_changes() -> None:
    unlisted = HttpResponse(403, b"{}", 0.01)
    wait = waited(
        *(whole(2), unlisted, whole(2), unlisted, whole(3), unlisted),
        *(SILENT, whole(1), unlisted, whole(0)),
    )
    assert wait.end == Ok()
    assert wait.reported == ["2 sessions running", "3 sessions running", "1 session running"]
    assert len(wait.clock.pauses) == 5
    assert max(wait.clock.pauses) <= 3


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 session is running there"), (2, "2 sessions are running there")]
)
def test_sessions_refuse_a_restart_at_once_where_the_play_says_so(count: int, words: str) -> None:
    wait = waited(whole(count), policy=Sessions.REFUSE)
    assert wait.end == Blocked(words, "apply again when they are done, or restart it by hand")
    assert wait.clock.pauses == []


def test_sessions_that_do_not_end_keep_the_restart_off() -> None:
    end = waited(whole(2), limit=SHORT).end
    assert isinstance(end, Blocked)
    assert end.message == "2 sessions are still running after 0.02 s of waiting"


def test_a_stop_ends_the_waiting() -> None:
    wait = waited(whole(2), stops_after=2)
    assert isinstance(wait.end, Blocked)
    assert wait.end.message == "the run was stopped while it waited for sessions to end"
    assert len(wait.clock.pauses) == 2


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ([health(), listing(0)], Ok()),
        ([health(), HttpResponse(200, b'{"sessions": []}', 0.01)], Ok()),
        ([health(), listing(1), health(), listing(0)], Ok()),
    ],
    ids=["none", "none in an object", "one, then none"],
)
def test_where_health_does_not_tell_the_sessions_are_listed(
    answers: list[HttpResponse], end: Ok
) -> None:
    wait = waited(*answers, tokens=())
    assert wait.end == end
    assert wait.host.paths[:2] == ["/v1/health", "/v1/sessions"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([UNASKED], "the host's sshd does not forward connections"),
        ([health(), LOCKED_OUT], "the API is locked, and no token for it is known"),
        (
            [health(), HttpResponse(403, b"", 0.01)],
            "the API is locked, and no token for it is known",
        ),
    ],
    ids=["never asked", "locked out", "forbidden"],
)
def test_what_waiting_will_not_tell_is_not_waited_for(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    wait = waited(*answers, tokens=())
    assert isinstance(wait.end, Blocked)
    assert wait.end.message == f"whether sessions are running can't be told: {why}"
    assert wait.end.hint.startswith("set api")
    assert wait.clock.pauses == []


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([SILENT], "no answer in time"),
        ([NOT_AEGIS], "what answers there is not Aegis"),
        ([TOO_OFTEN], "Aegis was asked too often (429)"),
        ([health(), SILENT, health(), SILENT], "no answer in time"),
        ([health(), NOT_AEGIS, health(), NOT_AEGIS], "the API does not list them"),
    ],
)
def test_with_an_unknown_number_of_sessions_nothing_is_restarted(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    end = waited(*answers, limit=AT_ONCE, tokens=()).end
    assert isinstance(end, Blocked)
    assert end.message == f"whether sessions are running can't be told: {why}"


def test_a_token_that_is_not_taken_is_not_waited_for() -> None:
    wait = waited(health())
    assert isinstance(wait.end, Blocked)
    assert wait.end.message.endswith("the API takes none of the known tokens")
    assert wait.end.hint.startswith("set api_token")
    assert wait.clock.pauses == []


def test_where_the_address_is_a_guess_silence_is_no_proof() -> None:
    wait = waited(NOBODY, address_is_known=False)
    assert isinstance(wait.end, Blocked)
    assert "nothing listens on 127.0.0.1:9100, and that this is where Aegis" in wait.end.message
    assert wait.clock.pauses == []


NOW = 1_795_600_000
STAMP = "2026-11-25T09:46:40.000Z"


def aegis(active: int) -> HttpResponse:
    return health(uptime=9.0, timestamp=STAMP, sessions={"active": active, "total": 9})


def page(*sessions: tuple[str, str, int], pages: int = 1, total: int = 0) -> HttpResponse:
    """Return a page of sessions: each with its name, its status, and for how long it is idle."""
    entries = [
        {
            "id": f"id-{name}",
            "windowName": name,
            "status": status,
            "lastActivity": (NOW - idle) * 1000,
        }
        for name, status, idle in sessions
    ]
    body = {"sessions": entries, "pagination": {"total": total, "totalPages": pages}}
    return HttpResponse(200, json.dumps(body).encode(), 0.01)


def test_sessions_that_are_idle_for_long_are_ended_and_named() -> None:
    wait = waited(aegis(2), page(("old", "idle", 901), ("sick", "error", 5000)))
    assert wait.end == Ok(("the restart ends 2 idle sessions (old, sick)",))
    assert wait.host.paths == ["/v1/health", "/v1/sessions?page=1&limit=100"]


def test_what_holds_is_named_and_waited_for_until_it_is_idle_for_long() -> None:
    wait = waited(
        aegis(2),
        page(("build", "working", 9000), ("old", "idle", 9000)),
        aegis(2),
        page(("build", "idle", 10), ("old", "idle", 9000)),
        aegis(1),
        page(("old", "idle", 9000)),
    )
    assert wait.end == Ok(("the restart ends 1 idle session (old)",))
    assert wait.reported == [
        "1 session running: build (working)",
        "1 session running: build (idle)",
    ]


def test_every_page_is_read() -> None:
    first = page(*((f"s{number}", "idle", 9000) for number in range(100)), pages=2, total=101)
    wait = waited(aegis(101), first, page(("last", "working", 9000), pages=2), limit=AT_ONCE)
    assert isinstance(wait.end, Blocked)
    assert wait.end.message.startswith("1 session (last (working)) is still running")
    assert wait.host.paths[1:] == ["/v1/sessions?page=1&limit=100", "/v1/sessions?page=2&limit=100"]


def test_sessions_that_are_not_listed_hold() -> None:
    wait = waited(aegis(3), page(("old", "idle", 9000)), limit=AT_ONCE)
    assert isinstance(wait.end, Blocked)
    assert wait.end.message == "2 sessions are still running after 0 s of waiting"


def test_where_the_list_is_refused_the_count_holds() -> None:
    wait = waited(aegis(3), HttpResponse(403, b"{}", 0.01), policy=Sessions.REFUSE)
    assert isinstance(wait.end, Blocked)
    assert wait.end.message == "3 sessions are running there"


def test_a_list_that_was_asked_for_too_often_is_waited_out() -> None:
    assert waited(aegis(1), TOO_OFTEN, aegis(0)).end == Ok()
