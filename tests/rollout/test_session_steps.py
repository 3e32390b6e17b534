"""Once a session was started: whether Claude runs in it, and what becomes of its prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.session_api import RefusedRequest
from aegis_provision.rollout.session_steps import (
    STEADY,
    ClaudeFound,
    ClaudeState,
    Delivery,
    Sent,
    await_claude,
    deliver_prompt,
)
from aegis_provision.transport.http_messages import HttpResponse
from tests.rollout.responses import (
    LOCKED_OUT,
    NOBODY,
    SILENT,
    TOKEN,
    TOO_OFTEN,
    UNASKED,
    Host,
    Timer,
    client,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest

    Answer = HttpResponse | HttpFailure


def said(number: int, /, **content: object) -> HttpResponse:
    return HttpResponse(number, json.dumps(content).encode(), 0.01)


RUNS = said(200, claudeRunning=True, status="idle")
NOT_YET = said(200, claudeRunning=False, status="unknown")
NO_SUCH = said(404, error="Session not found")
FAILS = said(503)


@pytest.mark.parametrize(
    ("answers", "installed", "found"),
    [
        ([RUNS], True, ClaudeFound(ClaudeState.RUNS)),
        ([NOT_YET, SILENT, TOO_OFTEN, FAILS, RUNS], None, ClaudeFound(ClaudeState.RUNS)),
        ([RUNS, NOT_YET, RUNS], True, ClaudeFound(ClaudeState.RUNS)),
        ([RUNS, NOT_YET], True, ClaudeFound(ClaudeState.ENDED)),
        ([RUNS, NO_SUCH], True, ClaudeFound(ClaudeState.GONE)),
        ([NO_SUCH], True, ClaudeFound(ClaudeState.GONE)),
        ([NOT_YET], True, ClaudeFound(ClaudeState.DID_NOT_START)),
        ([NOT_YET], False, ClaudeFound(ClaudeState.NOT_FOUND)),
        ([NOT_YET, RUNS], False, ClaudeFound(ClaudeState.RUNS)),
        ([said(200, status="idle")], True, ClaudeFound(ClaudeState.UNKNOWN, "Aegis does not tell")),
        ([LOCKED_OUT], True, ClaudeFound(ClaudeState.UNKNOWN, "Aegis answers with status 401")),
        ([TOO_OFTEN], True, ClaudeFound(ClaudeState.UNKNOWN, "Aegis was asked too often")),
        ([SILENT], True, ClaudeFound(ClaudeState.UNKNOWN, "no answer in time")),
    ],
)
def test_whether_claude_runs(
    answers: Sequence[Answer], installed: bool | None, found: ClaudeFound
) -> None:
    timer = Timer()
    api = client(Host(answers), TOKEN)
    end = await_claude(api, "a", 20.0, installed=installed, pause=timer.pause, now=timer.now)
    assert end == found
    assert (STEADY in timer.pauses) is (RUNS in answers)
    waited = 5.0 if installed is False else 20.0
    assert timer.now() - timer.began <= waited + STEADY + 5.0


@dataclass
class Prompted:
    """A session that answers questions after its health in turn, then takes note of a prompt."""

    health: Sequence[Answer]
    send: Answer = field(default_factory=lambda: said(200, delivered=True))
    sent: int = 0
    asked: int = 0

    def __call__(self, request: HttpRequest, timeout: float) -> Answer:
        assert timeout > 0
        if request.method == "POST":
            self.sent += 1
            return self.send
        self.asked += 1
        return self.health[min(self.asked, len(self.health)) - 1]


def delivered(session: Prompted) -> Delivery:
    timer = Timer()
    api = client(session, TOKEN)
    return deliver_prompt(api, "a", "Say ok", pause=timer.pause, now=timer.now)


@pytest.mark.parametrize(
    ("health", "end"),
    [
        ([said(200, status="permission_prompt")], Delivery(Sent.QUESTION, "permission_prompt")),
        ([RUNS, said(200, status="plan_mode")], None),
        ([said(200, status="unheard_of")], None),
        ([NOT_YET, SILENT, NOT_YET], None),
        ([SILENT], Delivery(Sent.NOT_TOLD, "no answer in time")),
        ([NOT_YET, SILENT], Delivery(Sent.NOT_TOLD, "no answer in time")),
        ([TOO_OFTEN], Delivery(Sent.NOT_TOLD, "Aegis was asked too often")),
        ([FAILS], Delivery(Sent.NOT_TOLD, "Aegis answers with status 503")),
        ([LOCKED_OUT], Delivery(Sent.NOT_TOLD, "Aegis answers with status 401")),
        ([said(200)], Delivery(Sent.NOT_TOLD, "Aegis does not tell")),
        ([NO_SUCH], Delivery(Sent.GONE)),
    ],
)
def test_a_prompt_is_sent_only_where_it_answers_no_question(
    health: Sequence[Answer], end: Delivery | None
) -> None:
    session = Prompted(health)
    assert delivered(session) == (end or Delivery(Sent.DELIVERED))
    assert session.sent == (0 if end else 1)


@pytest.mark.parametrize(
    ("response", "end"),
    [
        (said(200, delivered=False), Delivery(Sent.NOT_DELIVERED)),
        (said(200), Delivery(Sent.NOT_SAID)),
        (SILENT, Delivery(Sent.UNKNOWN, "no answer in time")),
        (NOBODY, Delivery(Sent.NOT_SENT, NOBODY.reason, cause=NOBODY.cause)),
        (UNASKED, Delivery(Sent.NOT_SENT, UNASKED.reason)),
        (NO_SUCH, Delivery(Sent.GONE)),
        (said(400, error="no"), Delivery(Sent.REFUSED, refused=RefusedRequest(400, "", "no"))),
    ],
)
def test_what_became_of_a_prompt_that_was_sent_once(response: Answer, end: Delivery) -> None:
    session = Prompted([RUNS], response)
    assert delivered(session) == end
    assert session.sent == 1
