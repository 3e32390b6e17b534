"""The stand-in Aegis does as the contract says."""

from __future__ import annotations

import http.client
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.aegis_server import MISBEHAVIOURS, IgnoredFileError, parse
from tests.fleet.hosts import OLD_ENV, Fleet, FleetHost, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.aegis_server import Misbehaviour

NO_TOKEN = object()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_hosts(tmp_path_factory.mktemp("fleet"), 1, stop_timeout=1.0) as fleet:
        yield fleet


@pytest.fixture
def host(fleet: Fleet) -> Iterator[FleetHost]:
    """A host in its right mind, which is brought back to it."""
    host = fleet["host-01"]
    content, starts = host.config_path.read_bytes(), host.starts
    yield host
    host.behave(*MISBEHAVIOURS)
    if (host.starts, host.config_path.read_bytes()) == (starts, content):
        return
    host.write_config(content)
    for name in (".aegis", "manus.config.json"):
        path = host.config_path.with_name(name)
        if path.is_dir():
            (path / "config.yaml").unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
    host.restart()


def ask(
    host: FleetHost,
    path: str,
    *,
    token: object = None,
    method: str = "GET",
    body: object = None,
    timeout: float = 5,
) -> tuple[int, Any]:
    """Ask the API; ``token`` is the host's own where none is given."""
    headers = {}
    if token is not NO_TOKEN:
        headers["Authorization"] = f"Bearer {token or host.api_token}"
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("token", [NO_TOKEN, "wrong"])
def test_health_is_one_word_without_the_right_token(host: FleetHost, token: object) -> None:
    assert ask(host, "/v1/health", token=token) == (200, {"status": "ok"})


def test_health_with_the_token_tells_when_it_started(host: FleetHost) -> None:
    host.restart()
    status, health = ask(host, "/v1/health")
    assert (status, health["status"]) == (200, "ok")
    assert health["timestamp"].endswith("Z")
    assert 0 <= health["uptime"] < 60
    assert health["sessions"] == {"active": 0, "total": 0}


def test_health_is_answered_sixty_times_a_minute(host: FleetHost) -> None:
    host.restart()
    statuses = [ask(host, "/v1/health")[0] for _ in range(61)]
    assert statuses == [200] * 60 + [429]


@pytest.mark.parametrize(("token", "expected"), [(NO_TOKEN, 401), ("wrong", 401), (None, 200)])
def test_sessions_want_the_token(host: FleetHost, token: object, expected: int) -> None:
    assert ask(host, "/v1/sessions", token=token)[0] == expected


def test_a_changed_file_counts_at_the_next_start_only(host: FleetHost) -> None:
    host.write_config({**host.config(), "defaultSessionEnv": {"API_TIMEOUT_MS": "1"}})
    assert host.loaded_env() == OLD_ENV
    before = host.starts
    assert host.restart().returncode == 0
    assert host.loaded_env() == {"API_TIMEOUT_MS": "1"}
    assert host.starts == before + 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"authToken": 1}',
        b'{"port": 0}',
        b'{"port": true}',
        b'{"baseUrl": "nowhere"}',
        b'{"defaultSessionEnv": null}',
        b'{"defaultSessionEnv": {"API_TIMEOUT_MS": 60000}}',
        b'{"stateStore": "etcd"}',
        b'{"memoryBridge": {}}',
        b'{"tenantWorkdirs": {"a": {"root": 1}}}',
    ],
)
def test_one_wrong_field_loses_the_file(content: bytes) -> None:
    with pytest.raises(IgnoredFileError):
        parse(content)


@pytest.mark.parametrize(
    "content",
    [b"{}", b'{"prot": 1}', b'{"port": 9100.0}', b'{"alerting": {"webhooks": []}}'],
)
def test_a_right_file_is_taken(content: bytes) -> None:
    assert parse(content) == json.loads(content)


def test_a_lost_file_takes_the_token_with_it(host: FleetHost) -> None:
    host.write_config(b'{"authToken": "a-token-not-real", "port": "9100"}')
    host.restart()
    assert host.loaded_provider() is None
    assert ask(host, "/v1/sessions", token=NO_TOKEN)[0] == 200
    status, health = ask(host, "/v1/health", token=NO_TOKEN)
    assert (status, health["status"]) == (200, "ok")
    assert "Warning: ignoring" in (host.place.directory / "console").read_text()


def test_a_file_before_ours_shadows_it(host: FleetHost) -> None:
    other = host.config_path.with_name(".aegis") / "config.yaml"
    other.parent.mkdir()
    other.write_text('{"defaultSessionEnv": {"API_TIMEOUT_MS": "2"}}')
    host.restart()
    assert host.loaded_env() == {"API_TIMEOUT_MS": "2"}


def test_a_dropped_file_gives_way_to_the_next_one(host: FleetHost) -> None:
    host.write_config(b"{")
    host.config_path.with_name("manus.config.json").write_text(
        '{"defaultSessionEnv": {"API_TIMEOUT_MS": "3"}}'
    )
    host.restart()
    assert host.loaded_env() == {"API_TIMEOUT_MS": "3"}


@pytest.mark.parametrize("content", [b'{"alerting": {}}', b'{"port": 65536}'])
def test_some_files_end_it_at_its_start(host: FleetHost, content: bytes) -> None:
    host.write_config(content)
    assert host.restart(wait=False).returncode == 0
    assert host.log("crashed")
    gone(host)


def start(host: FleetHost, work_dir: str = "", **further: object) -> tuple[int, Any]:
    body = {"workDir": work_dir or str(host.config_path.parent), **further}
    return ask(host, "/v1/sessions", method="POST", body=body)


def test_a_session_comes_and_goes(host: FleetHost) -> None:
    host.restart()
    status, session = start(host, name="a b")
    path = f"/v1/sessions/{session['id']}"
    assert (status, session["windowName"], session["status"]) == (201, "ab", "unknown")
    assert ask(host, "/v1/health")[1]["sessions"]["active"] == 1
    assert ask(host, path)[1]["workDir"] == str(host.config_path.parent.resolve())
    assert ask(host, f"{path}/health")[1]["claudeRunning"] is True
    sent = ask(host, f"{path}/send", method="POST", body={"text": "hello"})
    assert sent == (200, {"ok": True, "delivered": True, "attempts": 1})
    assert ask(host, f"{path}/send", method="POST", body={"text": ""})[0] == 400
    assert ask(host, path, method="DELETE")[0] == 200
    assert ask(host, f"{path}/health")[0] == 404
    assert ask(host, "/v1/health")[1]["sessions"]["active"] == 0


def test_an_idle_session_is_used_again_and_its_env_ignored(host: FleetHost) -> None:
    host.restart()
    _, first = start(host)
    ask(host, f"/v1/sessions/{first['id']}/health")
    status, second = start(host, env={"A": "1"})
    assert (status, second["id"], second["reused"]) == (200, first["id"], True)


@pytest.mark.parametrize(
    ("work_dir", "words"),
    [
        ("/srv/../tmp", "path traversal"),
        ("/srv", "not in the allowed directories list"),
        ("/srv/work/there-is-no-such-directory-here", "does not exist"),
    ],
)
def test_where_no_session_may_work(host: FleetHost, work_dir: str, words: str) -> None:
    status, said = start(host, work_dir)
    assert (status, said["code"]) == (400, "INVALID_WORKDIR")
    assert words in said["error"]


def test_a_body_of_another_shape(host: FleetHost) -> None:
    status, said = start(host, model="x")
    assert (status, said["details"][0]["code"]) == (400, "unrecognized_keys")


@pytest.mark.parametrize(
    ("told", "value", "status", "code"),
    [
        ("quota", 1, 429, "RATE_LIMITED"),
        ("too_often", 3, 429, "RATE_LIMITED"),
        ("old_claude", 1, 422, "CC_VERSION_TOO_OLD"),
    ],
)
def test_why_no_session_is_started(
    host: FleetHost, told: Misbehaviour, value: float, status: int, code: str
) -> None:
    host.misbehave(told, value)
    found, said = start(host)
    assert (found, said["code"]) == (status, code)


def test_sessions_in_which_claude_does_not_run(host: FleetHost) -> None:
    host.misbehave("claude_fails")
    _, session = start(host)
    assert ask(host, f"/v1/sessions/{session['id']}/health")[1]["claudeRunning"] is False


@pytest.mark.parametrize("env", [{"PATH": "/bin"}, {"AWS_X": "1"}, {"A": ""}, {"A": 1}, {"a": "1"}])
def test_a_sessions_own_variable_may_be_refused(host: FleetHost, env: dict[str, object]) -> None:
    status, said = start(host, env=env)
    assert (status, said["code"]) == (400, "VALIDATION_ERROR")
    assert said["details"][0]["path"] == ["env", *env]


@pytest.mark.parametrize(
    "entry",
    [{"lower": "x"}, {"OPENAI_API_KEY": "x"}, {"A": "x\n"}, {"A": "x" * 8193}],
    ids=["name", "denied", "control", "long"],
)
def test_a_bad_default_breaks_every_session(host: FleetHost, entry: dict[str, str]) -> None:
    host.write_config({**host.config(), "defaultSessionEnv": entry})
    host.restart()
    assert ask(host, "/v1/health")[1]["status"] == "ok"
    assert start(host)[0] == 500


def test_late(host: FleetHost) -> None:
    host.misbehave("late", 0.3, times=1)
    host.restart()
    [start] = host.log("start")[-1:]
    [listening] = host.log("listening")[-1:]
    assert listening["at"] - start["at"] >= 0.3


def test_without_its_file_once(host: FleetHost) -> None:
    host.misbehave("lost_file", times=1)
    host.restart()
    assert ask(host, "/v1/sessions", token=NO_TOKEN)[0] == 200
    host.restart()
    assert ask(host, "/v1/sessions", token=NO_TOKEN)[0] == 401


def test_open_sessions(host: FleetHost) -> None:
    host.misbehave("open_sessions")
    host.restart()
    assert ask(host, "/v1/sessions", token=NO_TOKEN)[0] == 200
    assert ask(host, "/v1/health", token=NO_TOKEN)[1] == {"status": "ok"}
    assert host.loaded_env() == OLD_ENV


def test_dies(host: FleetHost) -> None:
    host.misbehave("dies", times=1)
    assert host.restart(wait=False).returncode == 0
    gone(host)


def test_silent(host: FleetHost) -> None:
    host.misbehave("silent")
    host.restart()
    with pytest.raises(TimeoutError):
        ask(host, "/v1/health", timeout=0.2)
    assert ask(host, "/v1/sessions")[0] == 200


def test_degraded_for_a_while(host: FleetHost) -> None:
    host.misbehave("degraded", 0.5)
    host.restart()
    assert ask(host, "/v1/health")[1]["status"] == "degraded"
    until = time.monotonic() + 5
    while ask(host, "/v1/health")[1]["status"] != "ok":
        assert time.monotonic() < until
        time.sleep(0.15)


def test_slow_stop(host: FleetHost) -> None:
    host.misbehave("slow_stop", 0.3, times=1)
    before = time.monotonic()
    host.restart()
    assert time.monotonic() - before >= 0.3
    assert not host.log("killed")


def test_what_ignores_sigterm_is_killed(host: FleetHost) -> None:
    old = host.pid()
    host.misbehave("ignores_term", times=1)
    host.restart()
    assert [entry["pid"] for entry in host.log("killed")] == [old]
    assert host.pid() not in {None, old}


def test_a_restart_that_restarts_nothing(host: FleetHost) -> None:
    old = host.pid()
    host.misbehave("keeps_running")
    assert host.restart().returncode == 0
    assert host.pid() == old


def test_a_restart_that_fails(host: FleetHost) -> None:
    old = host.pid()
    host.misbehave("restart_fails")
    done = host.restart()
    assert (done.returncode, host.pid()) == (1, old)
    assert "failed" in done.stderr


def test_a_restart_that_takes_its_time(host: FleetHost) -> None:
    host.misbehave("restart_hangs", 0.3)
    before = time.monotonic()
    host.restart()
    assert time.monotonic() - before >= 0.3


def test_sessions_that_end_by_themselves(host: FleetHost) -> None:
    host.misbehave("sessions", (2, 0.3))
    assert ask(host, "/v1/health")[1]["sessions"]["active"] == 2
    until = time.monotonic() + 5
    while ask(host, "/v1/health")[1]["sessions"]["active"]:
        assert time.monotonic() < until
        time.sleep(0.15)


def test_sessions_that_end_when_told(host: FleetHost) -> None:
    host.misbehave("sessions", 3)
    assert ask(host, "/v1/health")[1]["sessions"]["active"] == 3
    host.behave("sessions")
    assert ask(host, "/v1/health")[1]["sessions"]["active"] == 0


def gone(host: FleetHost) -> None:
    """Return when no Aegis runs."""
    until = time.monotonic() + 5
    while host.pid() is not None:
        assert time.monotonic() < until
        os.sched_yield()
