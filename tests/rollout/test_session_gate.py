"""A session as proof, by responses alone: what is ended and removed, and what is warned of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.planning.digests import DigestKey
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.aegis_client import AegisClient
from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
from aegis_provision.rollout.events import FileChange, WriteBegun
from aegis_provision.rollout.host_connection import HostConnection
from aegis_provision.rollout.host_job import HostJob, RunContext
from aegis_provision.rollout.session_gate import SessionGate
from aegis_provision.rollout.session_work_directory import SessionDirectories
from aegis_provision.rollout.thread_pool import CancelToken
from aegis_provision.rollout.verdicts import Blocked, Ok, Unknown
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
from aegis_provision.transport.lock import LockOwner
from tests.fleet.specs import specified
from tests.rollout.responses import (
    LOCKED_OUT,
    NOBODY,
    SILENT,
    TOKEN,
    TOO_OFTEN,
    UNASKED,
    Timer,
    health,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
ID = "6f1c"
PROMPT = "Say ok"
CLAUDE = {"available": True, "healthy": True}
WORDS = "a session started in 1.0 s"
Response = HttpResponse | HttpFailure


def answer(number: int, /, **content: object) -> HttpResponse:
    return HttpResponse(number, json.dumps(content).encode(), 0.01)


CREATED = answer(201, id=ID, windowName="ours")
RUNNING = answer(200, claudeRunning=True, status="idle")
NOT_RUNNING = answer(200, claudeRunning=False, status="unknown")
OK = answer(200, ok=True, delivered=True)
GONE = answer(404, error="Session not found")


@dataclass
class Aegis:
    """Answers by method and path; what is not said is the answer of one that does well.

    A list is a sequence of answers, the last of which repeats. ``lost`` raises at a request.
    """

    post: Sequence[Response] = (CREATED,)
    session_health: Sequence[Response] = (RUNNING,)
    send: Sequence[Response] = (OK,)
    delete: Sequence[Response] = (OK,)
    listed: Callable[[str], Sequence[object]] = lambda _: ()
    claude: object = field(default_factory=lambda: dict(CLAUDE))
    lost: str = ""
    asked: list[str] = field(default_factory=list)
    work_dir: str = ""
    timer: Timer = field(default_factory=Timer)
    spent: float = 0.0

    def __call__(self, request: HttpRequest, timeout: float) -> Response:
        assert timeout > 0
        path = request.url.partition("9100")[2].partition("?")[0]
        route = f"{request.method} {path.removeprefix('/v1/').replace(ID, 'ID')}"
        self.asked.append(route)
        if route == "POST sessions":
            assert request.body is not None
            body = json.loads(request.body)
            self.work_dir = body["workDir"]
            assert body == {"workDir": self.work_dir, "name": Path(self.work_dir).name}
            assert Path(self.work_dir).is_dir()
        if route == self.lost:
            raise Unreachable("http", "the connection was lost")
        match route:
            case "GET health":
                return health(uptime=1.0, claude=self.claude)
            case "GET sessions":
                name = Path(self.work_dir).name
                return answer(200, sessions=self.listed(name))
            case "POST sessions":
                return self._next(route, self.post)
            case "GET sessions/ID/health":
                return self._next(route, self.session_health)
            case "POST sessions/ID/send":
                assert request.body == json.dumps({"text": PROMPT}).encode()
                return self._next(route, self.send)
            case "DELETE sessions/ID":
                assert Path(self.work_dir).is_dir(), "the session ends before its directory goes"
                return self._next(route, self.delete)
            case _:
                pytest.fail(f"{route} is not part of the gate's work")

    def _next(self, route: str, answers: Sequence[Response]) -> Response:
        return answers[min(self.asked.count(route), len(answers)) - 1]


@dataclass
class Ended:
    """How a gate ended."""

    verdict: Ok | Unknown | Blocked
    warnings: list[str]
    clock: Timer


@pytest.fixture
def connection(tmp_path: Path) -> HostConnection:
    """Return a connection to this machine itself."""
    (tmp_path / "work").mkdir()
    inventory, specs = specified(
        "all: {vars: {provider: glm, connection: local}, hosts: "
        f"{{a: {{config_path: {tmp_path}/aegis.config.json}}}}}}"
    )
    job = HostJob(inventory.hosts["a"], resolve_env(specs["a"], {"GLM_API_KEY": "token-of-glm"}))
    options = ConnectOptions(15.0, None, (), False, None, tmp_path, "anna")
    context = RunContext(
        ConnectionSettings(connect, options, forks=1, deadline=60.0),
        ConnectionPool(0),
        lambda host, _: WriteBegun(host, FileChange(None, None)),
        lambda _: None,
        CancelToken(),
        "20261125T101500Z-0a1b2c",
        LockOwner("anna@desk"),
        DigestKey.of(b""),
    )
    return HostConnection(job, context, Deadline.after(60.0))


@pytest.fixture
def gate(connection: HostConnection, tmp_path: Path) -> Callable[..., Ended]:
    """Return what asks an :class:`Aegis`; no directory may be left."""

    def run(
        aegis: Aegis,
        *,
        prompt: str = "",
        timeout: float = 20.0,
        failing: tuple[str, ...] = (),
        parents: Sequence[str] = (),
        user: int | None = 0,
    ) -> Ended:
        api, clock = AegisClient("127.0.0.1:9100", (TOKEN,), True, aegis), Timer()
        aegis.timer = clock
        api.health(1)
        work = tmp_path / "work"
        found = SessionGate(
            api,
            connection,
            SessionDirectories(connection, user),
            tuple(parents or (str(work),)),
            lambda: failing,
            prompt,
            clock.pause,
            clock.now,
        )
        try:
            verdict = found.run(timeout)
        finally:
            assert list(work.iterdir()) == []
        return Ended(verdict, found.warnings, clock)

    return run


@pytest.mark.parametrize("prompt", ["", PROMPT])
def test_a_session_that_runs_is_a_proof_and_is_ended(
    gate: Callable[..., Ended], prompt: str
) -> None:
    aegis = Aegis(session_health=[RUNNING])
    done = gate(aegis, prompt=prompt)
    took = ", took its prompt" if prompt else ""
    assert done.verdict == Ok(checked=f"{WORDS}{took}, and was ended")
    assert done.warnings == []
    assert aegis.asked[-1] == "DELETE sessions/ID"
    assert aegis.asked.count("POST sessions/ID/send") == (1 if prompt else 0)


FAILURES = {
    "claude does not start": (
        Aegis(session_health=[NOT_RUNNING]),
        Blocked(
            "a session was started, and Claude did not start in it within 20 s",
            "look at the session on the host, and try 'claude' there as Aegis' user",
        ),
    ),
    "claude ends at once": (
        Aegis(session_health=[RUNNING, NOT_RUNNING]),
        Blocked(
            "a session was started, and Claude ended in it at once",
            "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
        ),
    ),
    "it is gone": (
        Aegis(session_health=[RUNNING, GONE], delete=[GONE]),
        Blocked(
            "a session was started, and Claude ended in it at once",
            "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
        ),
    ),
    "it is gone at once": (
        Aegis(session_health=[GONE], delete=[GONE]),
        Blocked(
            "a session was started, and Claude ended in it at once",
            "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
        ),
    ),
    "the prompt would answer a question": (
        Aegis(session_health=[answer(200, claudeRunning=True, status="permission_prompt")]),
        Unknown(
            "a session started, and its prompt was not sent: it would answer what the session asks "
            "(permission_prompt)"
        ),
    ),
    "no claude": (
        Aegis(session_health=[NOT_RUNNING], claude={"available": False}),
        Unknown("whether sessions start was not checked: Aegis finds no Claude Code on the host"),
    ),
    "it does not tell": (
        Aegis(session_health=[answer(200, status="idle")]),
        Unknown(
            "a session was started, and whether Claude runs in it was not checked: Aegis does not "
            "tell"
        ),
    ),
    "the prompt does not arrive": (
        Aegis(send=[answer(200, ok=True, delivered=False)]),
        Blocked(
            "a session started, and its prompt did not reach Claude",
            "look at a session on the host",
        ),
    ),
    "of the prompt nothing is told": (
        Aegis(send=[answer(200, ok=True)]),
        Unknown(
            "a session started, and whether its prompt reached Claude can't be told: Aegis does "
            "not say"
        ),
    ),
    "the prompt is refused": (
        Aegis(send=[answer(400, error="no")]),
        Blocked('a session started, and Aegis did not take its prompt (400): "no"'),
    ),
    "the prompt costs too much": (
        Aegis(send=[answer(429, error="QUOTA_EXCEEDED", message="spent")]),
        Unknown('a session started, and Aegis did not take its prompt (429): "spent"'),
    ),
    "the prompt is not answered": (
        Aegis(send=[SILENT]),
        Unknown(
            "a session started, and whether its prompt reached Claude can't be told: no answer in "
            "time"
        ),
    ),
    "nothing listens for the prompt": (
        Aegis(send=[NOBODY]),
        Blocked("a session started, and its prompt was not sent: nothing listens there"),
    ),
    "whether the prompt would answer a question is not told": (
        Aegis(session_health=[RUNNING, RUNNING, TOO_OFTEN]),
        Unknown(
            "a session started, and its prompt was not sent: whether the session asks something "
            "can't be told: Aegis was asked too often"
        ),
    ),
    "it is gone before the prompt": (
        Aegis(session_health=[RUNNING, RUNNING, GONE], delete=[GONE]),
        Blocked(
            "a session started, and Claude ended in it at once",
            "look at Aegis' log on the host, and try 'claude' there as Aegis' user",
        ),
    ),
    "the prompt can't be sent": (
        Aegis(send=[UNASKED]),
        Unknown(
            "a session started, and its prompt was not sent: the host's sshd does not forward "
            "connections"
        ),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_session_that_does_not_do_is_ended_all_the_same(
    gate: Callable[..., Ended], name: str
) -> None:
    aegis, verdict = FAILURES[name]
    aegis = replace(aegis, asked=[])
    prompt = PROMPT if "prompt" in name else ""
    done = gate(aegis, prompt=prompt)
    assert not isinstance(done.verdict, Ok)
    assert (done.verdict, done.warnings) == (verdict, [])
    assert aegis.asked.count("DELETE sessions/ID") == 1
    if "question" in name:
        assert "POST sessions/ID/send" not in aegis.asked


NOT_CHECKED = "whether sessions start was not checked: "
REFUSED = {
    "bad": (answer(400, code="VALIDATION_ERROR", error="no"), "Unknown", "400"),
    "forbidden": (answer(403, error="Forbidden"), "Unknown", 'token may not do that: "Forbidden"'),
    "unauthorized": (LOCKED_OUT, "Blocked", "(401)"),
    "too old": (answer(422, code="CC_VERSION_TOO_OLD"), "Blocked", "too old"),
    "quota": (answer(429, error="QUOTA_EXCEEDED"), "Unknown", "as many sessions"),
    "too often": (TOO_OFTEN, "Unknown", "(429)"),
    "fails": (answer(500, error="Internal server error"), "Blocked", "(500)"),
    "drains": (answer(503, error="Server is shutting down"), "Blocked", "takes no session now"),
    "not Aegis": (HttpResponse(200, b"<html>", 0.01), "Unknown", "200"),
    "reused": (answer(200, id="old", windowName="mine", reused=True), "Unknown", '("mine")'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_no_session_is_started_none_is_ended(gate: Callable[..., Ended], name: str) -> None:
    response, kind, words = REFUSED[name]
    aegis = Aegis(post=[response])
    done = gate(aegis)
    assert type(done.verdict).__name__ == kind
    assert not isinstance(done.verdict, Ok)
    assert words in done.verdict.message
    assert done.verdict.message.startswith(NOT_CHECKED) is (kind == "Unknown")
    assert done.warnings == []
    assert [route for route in aegis.asked if route != "GET health"] == ["POST sessions"]


def test_a_500_that_the_file_explains_names_the_variable(gate: Callable[..., Ended]) -> None:
    done = gate(Aegis(post=[answer(500)]), failing=("defaultSessionEnv.PATH: it is denied",))
    assert isinstance(done.verdict, Blocked)
    assert "defaultSessionEnv.PATH: it is denied" in done.verdict.message


def test_aegis_is_asked_again_when_it_says_but_not_after_the_time(
    gate: Callable[..., Ended],
) -> None:
    again = replace(TOO_OFTEN, retry_after="1")
    aegis = Aegis(post=[again, CREATED])
    done = gate(aegis, timeout=30.0)
    assert isinstance(done.verdict, Ok)
    assert done.clock.pauses[0] == 1.0

    late = gate(Aegis(post=[replace(TOO_OFTEN, retry_after="31"), CREATED]), timeout=30.0)
    assert isinstance(late.verdict, Unknown)


@pytest.mark.parametrize("lost", [SILENT, NOBODY, UNASKED], ids=["silent", "nobody", "unasked"])
def test_a_session_of_which_no_answer_told_is_found_by_its_name_and_ended(
    gate: Callable[..., Ended], lost: HttpFailure
) -> None:
    others = [{"id": "other", "windowName": "mine"}]
    listed: list[Sequence[object]] = [others, [*others, {"id": ID, "windowName": ""}]]

    def sessions(name: str) -> Sequence[object]:
        return [{**entry, "windowName": entry["windowName"] or name} for entry in listed.pop(0)]  # type: ignore[dict-item,index]

    aegis = Aegis(post=[lost], listed=sessions)
    done = gate(aegis)
    assert done.warnings == []
    assert aegis.asked[-1] == "DELETE sessions/ID"
    assert isinstance(done.verdict, Unknown if lost is UNASKED else Blocked)


def test_what_cannot_be_found_or_ended_is_warned_of_by_name(
    gate: Callable[..., Ended],
) -> None:
    aegis = Aegis(post=[SILENT])
    done = gate(aegis)
    name = Path(aegis.work_dir).name
    [warning] = done.warnings
    assert warning == (
        f"whether a session {name} was started is not known (no answer in time): if it is "
        "there, end it by hand"
    )

    aegis = Aegis(delete=[answer(500)])
    done = gate(aegis)
    assert done.verdict == Ok(checked=WORDS)
    [warning] = done.warnings
    assert warning == (
        f"the session {ID} ({Path(aegis.work_dir).name}) was started and could not be ended "
        "(Aegis answers with "
        "status 500): end it by hand"
    )
    assert gate(Aegis(delete=[SILENT, OK])).warnings == []


@pytest.mark.parametrize("lost", ["POST sessions", "GET sessions/ID/health"])
def test_over_a_lost_connection_all_of_it_is_still_cleared_up(
    gate: Callable[..., Ended], lost: str
) -> None:
    aegis = Aegis(lost=lost, listed=lambda name: [{"id": ID, "windowName": name}])
    with pytest.raises(Unreachable):
        gate(aegis)
    assert aegis.asked[-1] == "DELETE sessions/ID"


def test_a_directory_that_does_not_go_is_warned_of(
    gate: Callable[..., Ended], tmp_path: Path
) -> None:
    class Littering(Aegis):
        def __call__(self, request: HttpRequest, timeout: float) -> Response:
            response = super().__call__(request, timeout)
            if request.method == "POST":
                (Path(self.work_dir) / "thesis.tex").write_text("years")
            return response

    aegis = Littering()
    parent = tmp_path / "elsewhere"
    parent.mkdir()
    done = gate(aegis, parents=[str(parent)])
    assert isinstance(done.verdict, Ok)
    assert done.warnings == [
        f"{aegis.work_dir} was made for a session and could not be removed: remove it by hand"
    ]


def test_the_next_directory_is_tried_where_aegis_or_the_host_takes_none(
    gate: Callable[..., Ended], tmp_path: Path
) -> None:
    refused = answer(400, code="INVALID_WORKDIR", error="workDir is not allowed")
    denied = answer(403, code="TENANT_WORKDIR_DENIED", error="outside tenant root")
    work, nowhere = str(tmp_path / "work"), str(tmp_path / "nowhere")
    done = gate(Aegis(post=[refused, denied, CREATED]), parents=[nowhere, work, work, work])
    assert isinstance(done.verdict, Ok)
    done = gate(Aegis(post=[refused, denied]), parents=[nowhere, work, work])
    assert isinstance(done.verdict, Unknown)
    assert done.verdict.message.startswith(f"{NOT_CHECKED}there is no directory for one (")
    reasons = (": No such file or directory", ': "workDir is not allowed"', ': "outside tenant')
    assert all(reason in done.verdict.message for reason in reasons)


def test_a_claude_that_does_not_start_in_another_users_directory_proves_nothing(
    gate: Callable[..., Ended],
) -> None:
    stranger = 54321
    done = gate(Aegis(session_health=[NOT_RUNNING]), user=stranger)
    assert isinstance(done.verdict, Unknown)
    assert done.verdict.message.endswith("and its directory was another user's than Aegis'")
    assert isinstance(gate(Aegis(), user=stranger).verdict, Ok)


@pytest.mark.root
def test_a_host_that_takes_no_further_connection_is_no_failure(
    gate: Callable[..., Ended], connection: HostConnection
) -> None:
    connection.open()
    inventory, _ = specified(
        "all: {vars: {provider: glm, address: 127.0.0.1, port: 1}, hosts: {a: {}}}"
    )
    connection.job = replace(connection.job, host=inventory.hosts["a"])
    done = gate(Aegis())
    assert isinstance(done.verdict, Unknown)
    assert "root needs a further connection for it, and " in done.verdict.message


def test_a_host_that_answers_slowly_holds_its_batch_no_longer_than_the_clean_up(
    gate: Callable[..., Ended],
) -> None:
    class Slow(Aegis):
        def __call__(self, request: HttpRequest, timeout: float) -> Response:
            response = super().__call__(request, timeout)
            if request.method == "GET" and "page=" in request.url:
                self.spent += timeout
                self.timer.pauses.append(timeout)
                return answer(200, sessions=[], pagination={"totalPages": 50, "total": 5000})
            return response

    aegis = Slow(post=[SILENT])
    done = gate(aegis)
    assert aegis.spent <= 46.0
    assert len(done.warnings) == 1
