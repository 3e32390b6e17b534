"""The health check, by responses alone: values in, values out."""

from __future__ import annotations

import time

import pytest

from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.secret import Secret
from aegis_provision.rollout.health_gate import wait_for_health
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown
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


def watched(
    *answers: HttpResponse | HttpFailure,
    tokens: tuple[Secret, ...] = (TOKEN,),
    locked: bool = True,
    timeout: float = LONG,
    restarted: float | None = 0.1,
) -> tuple[Ok | Unknown | Blocked, Host, Clock]:
    """Await health; ``restarted`` is how many seconds ago that was."""
    host, clock = Host(answers), Clock()
    since = None if restarted is None else time.monotonic() - restarted
    asked = client(host, *tokens, locked=locked)
    return wait_for_health(asked, timeout, restarted=since, pause=clock), host, clock


def test_a_healthy_server_that_keeps_its_lock_passes_at_once() -> None:
    end, host, clock = watched(whole(), LOCKED_OUT)
    assert (end, clock.pauses) == (Ok(), [])
    assert [
        (path, bool(request.token)) for path, request in zip(host.paths, host.asked, strict=True)
    ] == [
        ("/v1/health", True),
        ("/v1/sessions", False),
    ]


@pytest.mark.parametrize(
    "first",
    [
        [NOBODY],
        [SILENT],
        [TOO_OFTEN],
        [NOT_AEGIS],
        [HttpFailure(ConnectFailure.HUNG_UP, "it hung up without an answer")],
        [whole(status="degraded"), LOCKED_OUT],
        [whole(status="draining"), LOCKED_OUT],
        [whole(uptime=5000.0)],
        [whole(), SILENT],
        [whole(), TOO_OFTEN],
    ],
    ids=[
        "not up yet",
        "silent",
        "asked too often",
        "something else",
        "hangs up",
        "degraded",
        "draining",
        "the old process",
        "slow",
        "sessions asked too often",
    ],
)
def test_what_passes_by_is_waited_for(first: list[HttpResponse | HttpFailure]) -> None:
    end, _, clock = watched(*first, *first, whole(), LOCKED_OUT)
    assert end == Ok()
    assert len(clock.pauses) == 2
    assert clock.pauses[0] < clock.pauses[1]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([NOBODY], "nothing listens there (127.0.0.1:9100)"),
        ([whole(status="degraded"), LOCKED_OUT] * 99, "it says it is degraded"),
        ([whole(uptime=5000.0)], "the server that answers is the one from before the restart"),
    ],
    ids=["down", "degraded", "the old process"],
)
def test_the_last_failure_is_reported_at_the_end(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    end, _, _ = watched(*answers, timeout=SHORT)
    assert isinstance(end, Blocked)
    assert end.message == f"Aegis is not healthy 0.02 s after its restart: {why}"
    assert end.hint


def test_without_a_restart_none_is_spoken_of() -> None:
    end, _, _ = watched(NOBODY, timeout=AT_ONCE, restarted=None)
    assert isinstance(end, Blocked)
    assert end.message == "Aegis is not healthy: nothing listens there (127.0.0.1:9100)"


def test_a_long_uptime_without_a_restart_is_no_fault() -> None:
    assert watched(whole(uptime=5000.0), LOCKED_OUT, restarted=None)[0] == Ok()


@pytest.mark.parametrize("tokens", [(TOKEN,), ()], ids=["token known", "token unknown"])
@pytest.mark.parametrize("status", ["ok", "degraded"])
def test_a_server_that_dropped_its_file_is_not_waited_for(
    tokens: tuple[Secret, ...], status: str
) -> None:
    end, _, clock = watched(health(status), listing(0), tokens=tokens)
    assert isinstance(end, Blocked)
    assert end.message == "Aegis dropped its file: its API answers without a token"
    assert clock.pauses == []


def test_a_token_that_is_not_taken_fails_at_once_and_names_what_to_set() -> None:
    end, host, clock = watched(health(), LOCKED_OUT)
    assert isinstance(end, Blocked)
    assert end.message == "its API takes none of the known tokens"
    assert end.hint.startswith("set api_token")
    assert (host.paths, clock.pauses) == (["/v1/health", "/v1/sessions"], [])


TOO_OLD = "Claude Code on the host is too old"
OTHER = Secret("another-token", "${OTHER}")


def test_tokens_are_tried_in_turn_where_failures_do_not_count() -> None:
    end, host, _ = watched(health(), whole(), LOCKED_OUT, tokens=(OTHER, TOKEN))
    assert end == Ok()
    assert [request.token for request in host.asked] == [OTHER, TOKEN, None]
    assert host.paths == ["/v1/health", "/v1/health", "/v1/sessions"]


def test_an_api_that_is_open_without_a_lock_in_the_file_is_warned_of() -> None:
    end, host, _ = watched(whole(), listing(0), locked=False)
    assert end == Ok(("its API answers without a token",))
    assert host.paths == ["/v1/health", "/v1/sessions"]


def test_an_api_that_is_locked_another_way_is_no_warning() -> None:
    assert watched(whole(), LOCKED_OUT, locked=False)[0] == Ok()


def test_without_the_token_a_restart_can_not_be_proved() -> None:
    end, host, _ = watched(health(), LOCKED_OUT, tokens=(), locked=False)
    assert isinstance(end, Unknown)
    assert end.message.startswith("that it was restarted was not checked: its API is locked")
    assert "set api_token" in end.message
    assert host.asked[0].token is None


@pytest.mark.parametrize(
    ("claude", "warning"),
    [
        ({"available": True, "healthy": True, "version": "2.1.90"}, None),
        ({"available": False}, "Aegis finds no Claude Code on the host: sessions can't start"),
        (
            {"available": True, "healthy": False, "version": "2.0.1", "minimumVersion": "2.1.80"},
            f"{TOO_OLD} (it is 2.0.1, and 2.1.80 is the oldest that serves)",
        ),
        ({"available": True, "healthy": False}, TOO_OLD),
    ],
)
def test_a_host_without_a_fitting_claude_code_is_warned_of(
    claude: dict[str, object], warning: str | None
) -> None:
    end, _, _ = watched(health(uptime=0.5, claude=claude), LOCKED_OUT)
    assert end == Ok((warning,) if warning else ())


def test_a_host_that_can_not_be_asked_is_unknown() -> None:
    end, _, _ = watched(UNASKED)
    assert end == Unknown(
        "its health was not checked: the host's sshd does not forward connections"
    )


def test_one_question_never_takes_all_the_time() -> None:
    assert watched(whole(), LOCKED_OUT)[1].longest <= 10
    assert watched(whole(), LOCKED_OUT, timeout=2.0)[1].longest <= 2
