"""Waiting for sessions, by responses alone: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from aegis_provision.playbook.plays import Sessions
from aegis_provision.rollout.gates import Blocked, Ok
from aegis_provision.rollout.session_wait import wait_for_idle
from aegis_provision.transport.http_messages import HttpFailure, HttpResponse
from tests.rollout.responses import (
    AT_ONCE,
    LOCKED_OUT,
    LONG,
    NOBODY,
    NOT_AEGIS,
    SHORT,
    SILENT,
    TOO_OFTEN,
    UNASKED,
    Clock,
    Host,
    api,
    health,
    listing,
    whole,
)


@dataclass
class Wait:
    """How waiting for sessions went."""

    end: Ok | Blocked
    reported: list[int]
    host: Host
    clock: Clock


def waited(
    *answers: HttpResponse | HttpFailure,
    policy: Sessions = Sessions.WAIT,
    limit: float = LONG,
    stops_after: int = 10**9,
) -> Wait:
    host, reported, clock = Host(answers), list[int](), Clock(stops_after=stops_after)
    end = wait_for_idle(api(), host, policy, limit, pause=clock, on_running=reported.append)
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
    wait = waited(whole(2), whole(2), whole(3), SILENT, whole(1), whole(0))
    assert wait.end == Ok()
    assert wait.reported == [2, 3, 1]
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
    wait = waited(*answers)
    assert wait.end == end
    assert wait.host.paths[:2] == ["/v1/health", "/v1/sessions"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([UNASKED], "the host's sshd does not forward connections"),
        ([health(), LOCKED_OUT], "the API does not take the token"),
        ([health(), HttpResponse(403, b"", 0.01)], "the API does not take the token"),
    ],
    ids=["never asked", "locked out", "forbidden"],
)
def test_what_waiting_will_not_tell_is_not_waited_for(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    wait = waited(*answers)
    assert isinstance(wait.end, Blocked)
    assert wait.end.message == f"whether sessions are running can't be told: {why}"
    assert "sessions: ignore" in wait.end.hint
    assert wait.clock.pauses == []


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([SILENT], "no answer in time"),
        ([NOT_AEGIS], "what answers there is not Aegis"),
        ([TOO_OFTEN], "Aegis was asked for its health too often"),
        ([health(), SILENT, health(), SILENT], "no answer in time"),
        ([health(), NOT_AEGIS, health(), NOT_AEGIS], "the API does not list them"),
    ],
)
def test_with_an_unknown_number_of_sessions_nothing_is_restarted(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    end = waited(*answers, limit=AT_ONCE).end
    assert isinstance(end, Blocked)
    assert end.message == f"whether sessions are running can't be told: {why}"
