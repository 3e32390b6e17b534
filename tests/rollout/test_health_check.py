"""The health check, by responses alone: values in, values out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.rollout.gates import Blocked, Ok
from aegis_provision.rollout.health_check import wait_for_health
from aegis_provision.transport.http_messages import HttpFailure, HttpResponse

if TYPE_CHECKING:
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.gates import AegisApi

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
    api,
    health,
    listing,
    whole,
)


def watched(
    *answers: HttpResponse | HttpFailure,
    api: AegisApi = api(),  # noqa: B008 - a frozen value
    timeout: float = LONG,
    restarted: float | None = 0.1,
) -> tuple[Ok | Blocked, Host, Clock]:
    """Await health; ``restarted`` is how many seconds ago that was."""
    host, clock = Host(answers), Clock()
    since = None if restarted is None else time.monotonic() - restarted
    return wait_for_health(api, host, timeout, restarted=since, pause=clock), host, clock


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
        [health(), LOCKED_OUT],
        [whole(), SILENT],
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
        "token refused",
        "slow",
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
        ([health(), LOCKED_OUT] * 99, "its API does not take the token"),
    ],
    ids=["down", "degraded", "the old process", "token refused"],
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


@pytest.mark.parametrize("token", [TOKEN, None], ids=["token known", "token unknown"])
@pytest.mark.parametrize("status", ["ok", "degraded"])
def test_a_server_that_dropped_its_file_is_not_waited_for(
    token: Secret | None, status: str
) -> None:
    end, _, clock = watched(health(status), listing(0), api=api(token))
    assert isinstance(end, Blocked)
    assert end.message == "Aegis dropped its file: its API answers without a token"
    assert clock.pauses == []


def test_a_file_without_a_lock_is_not_asked_for_one() -> None:
    end, host, _ = watched(whole(), api=api(locked=False))
    assert (end, host.paths) == (Ok(), ["/v1/health"])


def test_without_the_token_a_restart_can_not_be_proved() -> None:
    end, host, _ = watched(health(), api=api(None, locked=False))
    assert end == Ok(("that it was restarted was not checked: its API's token is not known",))
    assert host.asked[0].token is None


def test_a_host_that_can_not_be_asked_is_a_warning() -> None:
    end, _, _ = watched(UNASKED)
    assert end == Ok(("its health was not checked: the host's sshd does not forward connections",))


def test_one_question_never_takes_all_the_time() -> None:
    assert watched(whole(), LOCKED_OUT)[1].longest <= 10
    assert watched(whole(), LOCKED_OUT, timeout=2.0)[1].longest <= 2
