"""The list of a host's sessions: all pages within one time, and why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.aegis.session_api import RefusedRequest
from aegis_provision.rollout.aegis_client import AskedTooOften
from aegis_provision.rollout.aegis_session_client import read_sessions, why_failed, why_refused
from aegis_provision.transport.http_messages import HttpFailure, HttpResponse
from tests.rollout.responses import TOKEN, Host, Timer, client

if TYPE_CHECKING:
    from aegis_provision.transport.http_messages import HttpRequest

from aegis_provision.aegis.api_verdict import RequestContext


@dataclass
class Endless:
    """A list of fifty pages, each of which takes all the time that it is given."""

    timer: Timer = field(default_factory=Timer)
    asked: int = 0

    def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse:
        self.asked += 1
        self.timer.pauses.append(timeout)
        body = {"sessions": [], "pagination": {"totalPages": 50, "total": 5000}}
        return HttpResponse(200, json.dumps(body).encode(), timeout)


def test_all_pages_have_one_time_together() -> None:
    host = Endless()
    found = read_sessions(client(host, TOKEN), 25.0, host.timer.now)
    assert isinstance(found, HttpFailure)
    assert found.reason == "the list of sessions did not end within 25 s"
    assert host.timer.pauses == [10.0, 10.0, 5.0]


def test_a_list_that_is_refused_keeps_what_aegis_says() -> None:
    body = json.dumps({"error": "Forbidden: missing read permission"}).encode()
    api = client(Host([HttpResponse(403, body, 0.1)]), TOKEN)
    found = read_sessions(api)
    assert found == RefusedRequest(403, "", "Forbidden: missing read permission")
    late = RefusedRequest(429, retry_after="42")
    again = client(Host([HttpResponse(429, b"", 0.1, retry_after="42")]), TOKEN)
    assert read_sessions(again) == late
    assert why_refused(late, again, RequestContext()).hint == "try again in 42 s"


def test_a_health_that_was_asked_for_too_often_says_when_to_come_again() -> None:
    api = client(Host([HttpResponse(429, b"", 0.1, retry_after="42")]), TOKEN)
    failure = api.health(1.0)
    assert isinstance(failure, AskedTooOften)
    assert failure.wait == 42.0
    why = why_failed(failure, api)
    assert why.message == "Aegis was asked too often (429), and asks to wait 42 s"
    assert why.hint == "try again in 42 s"
