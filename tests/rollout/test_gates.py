"""What opens a gate and what keeps it shut, by answers alone: values in, values out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.source import Source, Span
from aegis_provision.playbook.plays import Sessions
from aegis_provision.providers.probe_verdict import ConnectFailure
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session import VARIABLE_OF, Session, SessionSpec, Variable
from aegis_provision.rollout.aegis_client import AegisApi
from aegis_provision.rollout.health_check import wait_for_health
from aegis_provision.rollout.provider_probe import probe_provider
from aegis_provision.rollout.session_wait import wait_for_idle
from aegis_provision.rollout.verdict import Blocked, Ok
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN = Secret("token-of-this-test", "${TOKEN}")
LONG = 3600.0
SHORT = 0.02
AT_ONCE = 0.0
BASE_URL = "https://llm.example.com"
FOUND = Ok((), 'found "big" and "small" in "/models"')


@dataclass
class Host:
    """Answers questions in turn, the last answer for ever; takes note of what it was asked."""

    answers: Sequence[HttpResponse | HttpFailure]
    asked: list[HttpRequest] = field(default_factory=list)
    longest: float = 0.0
    timeouts: list[float] = field(default_factory=list)

    def __call__(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        self.timeouts.append(timeout)
        self.asked.append(request)
        self.longest = max(self.longest, timeout)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    @property
    def paths(self) -> list[str]:
        return [request.url.partition("9100")[2] for request in self.asked]


@dataclass
class Clock:
    """Does not wait, but for a moment where the gate's own time has to pass."""

    pauses: list[float] = field(default_factory=list)
    stops_after: int = 10**9

    def __call__(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        if seconds <= SHORT:
            time.sleep(seconds)
        return len(self.pauses) < self.stops_after


def health(status: str = "ok", **more: object) -> HttpResponse:
    return HttpResponse(200, json.dumps({"status": status, **more}).encode(), 0.01)


def whole(active: int = 0, uptime: float = 0.5, status: str = "ok") -> HttpResponse:
    return health(status, uptime=uptime, sessions={"active": active, "total": 9})


def listing(count: int) -> HttpResponse:
    return HttpResponse(
        200, json.dumps([{"id": str(number)} for number in range(count)]).encode(), 0.01
    )


LOCKED_OUT = HttpResponse(401, b"{}", 0.01)
TOO_OFTEN = HttpResponse(429, b"", 0.01)
NOT_AEGIS = HttpResponse(200, b"<html>", 0.01)
NOBODY = HttpFailure(ConnectFailure.NOT_LISTENING, "nothing listens there")
SILENT = HttpFailure(ConnectFailure.TIMED_OUT, "no answer in time")
UNASKED = HttpFailure(None, "the host's sshd does not forward connections")


def api(token: Secret | None = TOKEN, *, locked: bool = True) -> AegisApi:
    return AegisApi("127.0.0.1:9100", token, locked=locked)


# Sessions


@dataclass
class Wait:
    """How waiting for sessions went."""

    end: Ok | Blocked
    told: list[int]
    host: Host
    clock: Clock


def waited(
    *answers: HttpResponse | HttpFailure,
    policy: Sessions = Sessions.WAIT,
    limit: float = LONG,
    stops_after: int = 10**9,
) -> Wait:
    host, told, clock = Host(answers), list[int](), Clock(stops_after=stops_after)
    end = wait_for_idle(api(), host, policy, limit, pause=clock, tell=told.append)
    return Wait(end, told, host, clock)


def test_sessions_that_are_ignored_are_not_asked_about() -> None:
    ignored = waited(whole(3), policy=Sessions.IGNORE)
    assert (ignored.end, ignored.host.asked) == (Ok(), [])


@pytest.mark.parametrize("policy", [Sessions.WAIT, Sessions.REFUSE])
@pytest.mark.parametrize("answer", [whole(0), NOBODY], ids=["none running", "nobody listens"])
def test_where_there_is_no_session_there_is_none_to_lose(
    policy: Sessions, answer: HttpResponse | HttpFailure
) -> None:
    assert waited(answer, policy=policy).end == Ok()


def test_sessions_are_waited_for_and_told_of_whenever_their_number_changes() -> None:
    wait = waited(whole(2), whole(2), whole(3), SILENT, whole(1), whole(0))
    assert wait.end == Ok()
    assert wait.told == [2, 3, 1]
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
def test_where_it_can_not_be_told_nothing_is_restarted(
    answers: list[HttpResponse | HttpFailure], why: str
) -> None:
    end = waited(*answers, limit=AT_ONCE).end
    assert isinstance(end, Blocked)
    assert end.message == f"whether sessions are running can't be told: {why}"


# Health


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
def test_what_does_not_pass_by_is_told_at_the_end(
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


# The provider


def session(**changes: str | Secret | None) -> Session:
    keys: dict[str, str | Secret | None] = {
        "base_url": BASE_URL,
        "auth_token": TOKEN,
        "model": "big",
        "fast_model": "small",
        **changes,
    }
    values = {VARIABLE_OF[key]: value for key, value in keys.items() if value is not None}
    return Session(SessionSpec("gateway", (), allow_http=False, lineage=("gateway",)), values, ())


def probed(
    *answers: HttpResponse | HttpFailure, timeout: float = LONG, of: Session | None = None
) -> tuple[Ok | Blocked, Host, Clock]:
    host, clock = Host(answers), Clock()
    return probe_provider(of or session(), host, timeout, pause=clock), host, clock


def models(*names: str, seconds: float = 0.1) -> HttpResponse:
    return HttpResponse(
        200, json.dumps({"data": [{"id": name} for name in names]}).encode(), seconds
    )


def status(number: int) -> HttpResponse:
    return HttpResponse(number, b"{}", 0.1)


def test_a_provider_that_offers_the_models_is_asked_once_with_the_hosts_token() -> None:
    end, host, clock = probed(models("big", "small"))
    assert (end, clock.pauses) == (FOUND, [])
    assert [request.url for request in host.asked] == [f"{BASE_URL}/models"]
    assert host.asked[0].token is TOKEN


def test_a_token_that_is_no_secret_is_not_sent() -> None:
    _, host, _ = probed(models("big", "small"), of=session(auth_token="ollama-local"))
    assert host.asked[0].token is None


def test_a_slow_provider_is_a_warning() -> None:
    end, _, _ = probed(models("big", "small", seconds=9.0))
    slow = "the provider is slow: it took 9 s to list its models"
    assert end == Ok((slow,), FOUND.checked)


@pytest.mark.parametrize(
    "first",
    [status(429), status(500), status(503), NOBODY, SILENT],
    ids=["too many", "broken", "unavailable", "not up yet", "silent"],
)
def test_what_passes_by_is_asked_again(first: HttpResponse | HttpFailure) -> None:
    end, _, clock = probed(first, first, models("big", "small"))
    assert end == FOUND
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("answer", [status(503), NOBODY], ids=["unavailable", "down"])
def test_what_does_not_pass_by_holds_when_time_is_over(answer: HttpResponse | HttpFailure) -> None:
    end, host, _ = probed(answer, timeout=SHORT)
    assert isinstance(end, Blocked)
    assert end.message
    assert end.hint
    assert len(host.asked) >= 2


@pytest.mark.parametrize(
    "answer",
    [
        status(401),
        status(403),
        status(404),
        status(307),
        models("other"),
        HttpFailure(ConnectFailure.UNKNOWN_NAME, ""),
        HttpFailure(ConnectFailure.NOT_TLS, ""),
        HttpFailure(ConnectFailure.UNTRUSTED, ""),
        HttpFailure(ConnectFailure.WRONG_NAME, ""),
        HttpFailure(ConnectFailure.EXPIRED, ""),
        HttpFailure(ConnectFailure.NOT_HTTP, ""),
    ],
    ids=lambda answer: str(answer.cause if isinstance(answer, HttpFailure) else answer.status),
)
def test_what_asking_again_will_not_change_holds_at_once(
    answer: HttpResponse | HttpFailure,
) -> None:
    end, host, clock = probed(answer)
    assert isinstance(end, Blocked)
    assert end.hint
    assert clock.pauses == []
    forms = [f"{BASE_URL}/models", f"{BASE_URL}/v1/models"]
    assert [request.url for request in host.asked] == forms[: len(host.asked)]
    assert len(host.asked) == (2 if isinstance(answer, HttpResponse) else 1)


def test_where_anthropics_api_is_under_the_base_url_its_list_counts() -> None:
    end, host, _ = probed(status(404), models("big", "small"))
    assert end == Ok((), 'found "big" and "small" in "/v1/models"')
    first, second = host.asked
    assert (first.url, first.native) == (f"{BASE_URL}/models", False)
    assert (second.url, second.native) == (f"{BASE_URL}/v1/models", True)
    assert second.token is TOKEN


def test_a_second_form_that_is_silent_leaves_the_first_answer() -> None:
    end, host, _ = probed(status(401), SILENT)
    assert isinstance(end, Blocked)
    assert "(401)" in end.message
    assert len(host.asked) == 2


def test_the_second_form_gets_the_time_that_the_first_one_left() -> None:
    _, host, _ = probed(HttpResponse(404, b"", 3.0), status(404), timeout=5.0)
    assert host.timeouts == [pytest.approx(5.0, abs=0.1), pytest.approx(2.0, abs=0.1)]
    _, host, _ = probed(HttpResponse(404, b"", 4.9), status(404), timeout=5.0)
    assert host.timeouts[1] == 1.0


@pytest.mark.parametrize(
    ("from_recipe", "by_default", "hint"),
    [
        (False, False, "check GW_KEY, which auth_token names (inventory.yml:4:7), and "),
        (True, False, "check GW_KEY, which auth_token names, and "),
        (True, True, "set GW_KEY, which auth_token names: it is not set, and "),
    ],
)
def test_a_refused_token_is_told_with_its_variable_and_its_line(
    from_recipe: bool, by_default: bool, hint: str
) -> None:
    name = VARIABLE_OF["auth_token"]
    variable = Variable(
        name,
        "${GW_KEY}",
        setting="auth_token",
        sensitive=True,
        span=Span(Source("inventory.yml", ""), 4, 7, 4, 9),
        from_recipe=from_recipe,
    )
    spec = SessionSpec("gateway", (variable,), allow_http=False, lineage=("gateway",))
    defaulted = frozenset({name} if by_default else ())
    end, _, _ = probed(status(401), of=Session(spec, session().values, (), by_default=defaulted))
    assert isinstance(end, Blocked)
    assert end.hint.startswith(hint)


def test_the_variable_that_overrides_the_base_url_is_named() -> None:
    plain = session()
    variable = Variable(
        VARIABLE_OF["base_url"],
        "${GATEWAY_URL:-https://llm.example.com}",
        setting="base_url",
        sensitive=False,
        span=Span(Source("inventory.yml", ""), 1, 1, 1, 2),
        from_recipe=False,
    )
    named = Session(
        SessionSpec("gateway", (variable,), allow_http=False, lineage=("gateway",)),
        plain.values,
        (),
    )
    end, _, _ = probed(status(404), of=named)
    assert isinstance(end, Blocked)
    assert end.hint.startswith("check base_url (or GATEWAY_URL in your environment): ")


def test_a_provider_that_can_not_be_asked_is_a_warning() -> None:
    end, _, _ = probed(UNASKED)
    assert end == Ok(("the provider was not asked: the host's sshd does not forward connections",))


@pytest.mark.parametrize("missing", ["base_url", "auth_token", "model", "fast_model"])
def test_a_file_that_names_no_provider_in_full_is_a_warning(missing: str) -> None:
    end, host, _ = probed(models("big"), of=session(**{missing: None}))
    assert isinstance(end, Ok)
    assert end.warnings
    assert host.asked == []
