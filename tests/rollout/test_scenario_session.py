"""One session with a provider of its own: what the host's Aegis gets, and how each end is told."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

import aegis_provision as ap
from tests.fleet.aegis_server import MISBEHAVIOURS
from tests.fleet.arguments import arguments_watched
from tests.fleet.hosts import OLD_ENV, PROVIDERS, TOKEN, Fleet, running_hosts
from tests.fleet.needs import missing
from tests.rollout.fleet_reset import with_settings
from tests.rollout.fleet_state import logins
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.hosts import CommandResult, FleetHost

NAMES = ("one", "two", "three", "four")
OTHER = "token-of-the-other-not-real"
OTHER_ENV = {
    "ANTHROPIC_BASE_URL": "https://other.example.com/v1",
    "ANTHROPIC_AUTH_TOKEN": OTHER,
    "ANTHROPIC_DEFAULT_MODEL": "other-model",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "other-fast",
    "API_TIMEOUT_MS": "45000",
}
_DIRECTORIES = itertools.count()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    other = {
        "base_url": "https://other.example.com/v1",
        "auth_token": "${OTHER_TOKEN}",
        "model": "other-model",
        "fast_model": "${OTHER_FAST:-other-fast}",
        "timeout_ms": 45000,
    }
    with running_hosts(
        tmp_path_factory.mktemp("fleet"), NAMES, providers={**PROVIDERS, "other": other}
    ) as fleet:
        fleet.environ["OTHER_TOKEN"] = OTHER
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    yield running
    for host in running:
        host.behave(*MISBEHAVIOURS)


def directory(*hosts: FleetHost) -> str:
    """Return a new directory in which a session of any of ``hosts`` may work."""
    name = f"project-{next(_DIRECTORIES)}"
    for host in hosts:
        (host.place.directory / "work" / name).mkdir()
    return str(hosts[0].place.directory / "work" / name)


def start(fleet: Fleet, host: str, *flags: str, work_dir: str | None = None) -> CommandResult:
    where = work_dir or directory(fleet[host])
    result = fleet.call("session", "start", host, "--work-dir", where, *flags, "--format", "json")
    if result.stdout:
        check_document("session", result.json)
    for secret in (TOKEN, OTHER, fleet["one"].api_token, OLD_ENV["ANTHROPIC_AUTH_TOKEN"]):
        assert secret not in result.stdout + result.stderr
    return result


def entry(result: CommandResult) -> dict[str, Any]:
    [found] = result.json["hosts"]
    assert isinstance(found, dict)
    return found


def created(host: FleetHost) -> list[dict[str, Any]]:
    return host.log("session_created")


def test_a_session_gets_its_providers_five_variables_and_not_the_hosts(fleet: Fleet) -> None:
    host, where = fleet["one"], directory(fleet["one"])
    file = host.config_path.read_bytes()
    result = start(fleet, "one", "--provider", "other", "--name", "mine", work_dir=where)
    assert result.exit_code == 0, result.stderr
    last = created(host)[-1]
    assert (last["env"], last["work_dir"]) == (OTHER_ENV, where)
    assert entry(result) == {
        "host": "one",
        "status": "started",
        "id": last["id"],
        "name": "mine",
        "work_dir": where,
        "message": "",
        "hint": "",
        "warnings": [],
    }
    assert host.config_path.read_bytes() == file
    posted = [item for item in host.requests("/v1/sessions") if item["method"] == "POST"]
    assert [item["token"] for item in posted] == ["right"]


def test_without_a_provider_it_is_the_hosts_own_as_the_inventory_has_it(fleet: Fleet) -> None:
    result = start(fleet, "one", "--env", "ANTHROPIC_DEFAULT_MODEL=${M}", "--env", "MY_FLAG=1")
    assert result.exit_code == 3
    assert "M (needed by one)" in result.stderr
    fleet.environ["M"] = "given"
    try:
        assert (
            start(
                fleet, "one", "--env", "ANTHROPIC_DEFAULT_MODEL=${M}", "--env", "MY_FLAG=1"
            ).exit_code
            == 0
        )
    finally:
        del fleet.environ["M"]
    assert created(fleet["one"])[-1]["env"] == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/v1",
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "ANTHROPIC_DEFAULT_MODEL": "given",
        "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
        "API_TIMEOUT_MS": "60000",
        "MY_FLAG": "1",
    }


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("GITHUB_TOKEN=${OTHER_TOKEN}", "Aegis fails every session over a variable of this name"),
        ("AWS_REGION=eu", "this tool refuses names that begin with AWS_"),
        ("lower=x", "a session variable is named with A-Z"),
        ("EMPTY=", "it would be empty, and Aegis refuses that in the env of a single session"),
        ("EMPTY=${UNSET:-}", "it would be empty"),
        ("LONG=${LONG}", "it has 8193 bytes, and Aegis takes at most 8192"),
        ("BROKEN=${BROKEN}", "it holds a control character (U+000A)"),
        ("API_TIMEOUT_MS=30s", "a timeout is a whole number of milliseconds"),
        ("ANTHROPIC_BASE_URL=http://llm.example.com", "it would send the token over plain http://"),
        (f"ANTHROPIC_AUTH_TOKEN={OTHER}", "holds what is or may be a secret"),
    ],
)
def test_what_aegis_would_refuse_is_refused_before_any_connection(
    fleet: Fleet, assignment: str, words: str
) -> None:
    before = logins(fleet)
    more = {"LONG": "x" * 8193, "BROKEN": "a\nb"}
    fleet.environ.update(more)
    try:
        result = start(fleet, "one", "--env", assignment, work_dir="/srv/work")
    finally:
        for name in more:
            del fleet.environ[name]
    assert result.exit_code == 3
    assert words in result.stderr
    assert "--env:1:" in result.stderr
    assert logins(fleet) == before


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ((), 64, "Missing option '--work-dir'"),
        (("--work-dir", "srv/work"), 64, "takes an absolute path"),
        (("--work-dir", "/srv/work", "--name", "a b"), 64, "is made of letters, digits"),
        (("--work-dir", "/srv/work", "--provider", "othr"), 3, 'did you mean "other"?'),
        (("--work-dir", "/srv/work", "--prompt-file", "nowhere"), 3, "can't be read"),
        (("--work-dir", "/srv/work", "--prompt-file", "-"), 3, "holds no text"),
    ],
)
def test_wrong_input_is_told_before_any_connection(
    fleet: Fleet, flags: tuple[str, ...], code: int, words: str
) -> None:
    before = logins(fleet)
    result = fleet.call("session", "start", "one", *flags)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert logins(fleet) == before


def test_the_prompt_is_sent_to_the_new_session_once_claude_runs_in_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_bytes("Erkl\u00e4re dies.\r\nUnd das.\r\n".encode())
    result = start(fleet, "two", "--provider", "other", "--prompt-file", str(prompt))
    assert result.exit_code == 0, result.stdout
    [sent] = fleet["two"].log("sent")
    assert (sent["id"], sent["text"]) == (entry(result)["id"], "Erkl\u00e4re dies.\nUnd das.")
    asked = [item["path"].rpartition("/")[2] for item in fleet["two"].log("request")]
    assert asked[-1] == "send"
    assert "health" in asked[-3:]
    fleet["two"].misbehave("send_fails")
    failed = entry(start(fleet, "two", "--provider", "other", "--prompt-file", str(prompt)))
    assert failed["status"] == "failed"
    assert failed["message"] == (
        "Aegis says that the prompt was not delivered; the session is still there"
    )
    assert f"session stop two {failed['id']}'" in failed["hint"]


def test_a_prompt_that_is_too_long_or_no_text_is_told_before_any_connection(
    fleet: Fleet, tmp_path: Path
) -> None:
    prompt, before = tmp_path / "prompt.txt", logins(fleet)
    for data, words in (
        (b"x" * 10_001, "is longer than 10,000 characters"),
        ("\U0001f600".encode() * 5001, "is longer than 10,000 characters"),
        (b"x" * 100_000, "it is larger than 64 KiB"),
        (b"\xff", "is not UTF-8 text"),
        (b"a\0b", "holds a control character (U+0000)"),
        (b"hi\r\nthere\x1b[A", "holds a control character (U+001B)"),
        (b" \n", "holds no text"),
    ):
        prompt.write_bytes(data)
        result = fleet.call(
            "session", "start", "two", "--work-dir", "/srv/work", "--prompt-file", str(prompt)
        )
        assert result.exit_code == 3, data[:9]
        assert words in result.stderr
    assert logins(fleet) == before


def test_an_idle_session_that_aegis_gives_instead_is_a_failure(fleet: Fleet) -> None:
    where = directory(fleet["one"])
    first = entry(start(fleet, "one", "--provider", "other", work_dir=where))
    again = start(fleet, "one", work_dir=where)
    failed = entry(again)
    assert (again.exit_code, failed["status"], failed["id"]) == (4, "failed", "")
    assert failed["message"].startswith(
        f"the override was ignored: an idle session ({first['id']}) is in that directory already"
    )
    text = fleet.call(
        "session", "start", "one", "--work-dir", where, "--known-hosts", fleet.sshd.known_hosts,
        "--timeout", "9",
    )  # fmt: skip
    assert (
        f"name another --work-dir, or end that session with 'aegis-provision session stop one "
        f"{first['id']} --known-hosts {fleet.sshd.known_hosts} --timeout 9'"
    ) in text.stdout
    stopped = fleet.call("session", "stop", "one", first["id"])
    assert stopped.stdout == f"one: stopped {first['id']} ({first['name']}) in {where}\n"
    assert start(fleet, "one", work_dir=where).exit_code == 0


def test_claude_that_does_not_come_up_is_a_failure_and_the_session_is_named(fleet: Fleet) -> None:
    host = fleet["three"]
    host.misbehave("claude_fails")
    result = start(fleet, "three", "--wait", "0.5")
    failed = entry(result)
    assert (result.exit_code, failed["status"]) == (4, "failed")
    assert failed["message"] == (
        "Claude did not start in it within 0.5 s; the session is still there"
    )
    assert f"end it with 'aegis-provision session stop three {failed['id']}'" in failed["hint"]


def test_where_aegis_finds_no_claude_nothing_can_be_told_and_no_prompt_is_sent(
    fleet: Fleet, tmp_path: Path
) -> None:
    host = fleet["three"]
    host.misbehave("no_claude")
    result = start(fleet, "three")
    assert (result.exit_code, entry(result)["status"]) == (0, "started")
    assert entry(result)["warnings"] == [
        "whether Claude runs in it can't be told: Aegis finds no Claude Code on the host"
    ]
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("rm -r build")
    failed = entry(start(fleet, "three", "--prompt-file", str(prompt)))
    assert failed["status"] == "failed"
    assert failed["message"].startswith("the prompt was not sent, as whether Claude runs")
    host.behave("no_claude")
    host.misbehave("claude_asks")
    failed = entry(start(fleet, "three", "--prompt-file", str(prompt)))
    assert failed["message"] == (
        "the prompt was not sent: it would answer what the session asks (permission_prompt); the "
        "session is still there"
    )
    assert not host.log("sent")


def test_each_refusal_of_aegis_is_told_in_its_own_words(fleet: Fleet) -> None:
    host, where = fleet["three"], directory(fleet["three"])
    inside = host.place.directory / "work"
    (inside / "elsewhere").symlink_to("/etc")
    allowed = f"the file's allowedWorkDirs are {inside}, /srv/work"
    for path, words in (
        ("/etc", f"--work-dir is not allowed on the host (INVALID_WORKDIR): {allowed}"),
        (f"{inside}/elsewhere", f"not allowed on the host (INVALID_WORKDIR): {allowed}"),
        (f"{inside}/nowhere", "--work-dir is not there on the host"),
        (f"{inside}/../work", "Aegis takes no --work-dir with '..' in it"),
    ):
        result = start(fleet, "three", work_dir=path)
        assert result.exit_code == 4
        assert words in entry(result)["message"]
    host.misbehave("old_claude")
    assert "Claude Code on the host is too old" in entry(start(fleet, "three"))["message"]
    host.behave("old_claude")
    host.misbehave("quota", times=1)
    assert "as many sessions" in entry(start(fleet, "three", work_dir=where))["message"]
    host.misbehave("too_often", 7, times=1)
    assert entry(start(fleet, "three", work_dir=where))["hint"] == "try again in 7 s"


def test_a_host_whose_own_file_fails_every_session_is_told_so(fleet: Fleet) -> None:
    host, content = fleet["four"], fleet["four"].config()
    own = dict(OLD_ENV)
    try:
        # A name that Aegis refuses, and one of the five: the session's own goes before that.
        host.write_config(
            {
                **content,
                "defaultSessionEnv": {
                    **own, "GITHUB_TOKEN": "canary-of-the-host", "API_TIMEOUT_MS": "1\n",
                },
            }
        )  # fmt: skip
        host.restart()
        failed = entry(start(fleet, "four"))
        assert failed["message"] == (
            "Aegis fails every session over its own file (500): defaultSessionEnv.GITHUB_TOKEN: "
            "Aegis fails every session over a variable of this name"
        )
        # What decides over the provider's own would go along.
        host.write_config(
            {**content, "defaultSessionEnv": {**own, "ANTHROPIC_MODEL": "hosts", "GONE": "x"}}
        )
        host.restart()
        count = len(created(host))
        failed = entry(start(fleet, "four", "--provider", "other"))
        assert failed["message"].startswith(
            "the session would follow ANTHROPIC_MODEL of the host's"
        )
        assert len(created(host)) == count
        inventory = with_settings(fleet, {"four": {"env": {"GONE": None}}})
        document = json.loads((fleet.directory / "changed-inventory.yml").read_text())
        document["all"]["hosts"]["four"]["env"] = {"GONE": None}
        (fleet.directory / "changed-inventory.yml").write_text(json.dumps(document))
        result = start(
            fleet, "four", "--provider", "other", "--env", "ANTHROPIC_MODEL=mine", *inventory
        )
        assert result.exit_code == 0, result.stdout
        assert created(host)[-1]["env"] == {**OTHER_ENV, "ANTHROPIC_MODEL": "mine", "GONE": "x"}
        [warning] = entry(result)["warnings"]
        assert warning.startswith("the session has GONE of the host's own file")
        # A server that lost its file starts sessions for anybody.
        host.misbehave("lost_file")
        host.restart()
        failed = entry(start(fleet, "four"))
        assert failed["message"] == "Aegis dropped its file: its API answers without a token"
        host.place.stop(5)
        failed = entry(start(fleet, "four"))
        assert failed["message"] == f"nothing listens on 127.0.0.1:{host.port}"
    finally:
        host.behave("lost_file")
        host.write_config(content)
        host.restart()


def test_tokens_that_the_api_does_not_take(fleet: Fleet) -> None:
    host, content = fleet["four"], fleet["four"].config()
    try:
        host.write_config({**content, "authToken": "not-read-yet"})
        inventory = with_settings(fleet, {"four": {"api_token": "${API_TOKEN}"}})
        result = start(fleet, "four", *inventory)
        assert result.exit_code == 3
        assert "API_TOKEN (needed by four)" in result.stderr
        fleet.environ["API_TOKEN"] = "a-wrong-token-of-ours"
        failed = entry(start(fleet, "four", *inventory))
        assert failed["message"] == "the API takes none of the known tokens (401)"
        fleet.environ["API_TOKEN"] = host.api_token
        result = start(fleet, "four", *inventory)
        assert (result.exit_code, entry(result)["warnings"]) == (0, [])
        # A wrong token of ours, where the host's own file has the right one.
        host.write_config(content)
        fleet.environ["API_TOKEN"] = "a-wrong-token-of-ours"
        result = start(fleet, "four", *inventory)
        assert result.exit_code == 0
        [warning] = entry(result)["warnings"]
        words = r"api_token \(API_TOKEN, \S+:\d+:\d+\) is not taken by the API; the authToken of "
        assert re.fullmatch(words + "the host's own file is", warning)
        refused = start(fleet, "four", *inventory, work_dir="/etc")
        assert (refused.exit_code, entry(refused)["warnings"]) == (4, [warning])
    finally:
        fleet.environ.pop("API_TOKEN", None)
        host.write_config(content)


def test_several_hosts_have_one_session_each_and_the_budget_stops_what_has_not_begun(
    fleet: Fleet,
) -> None:
    where = directory(fleet["one"], fleet["two"], fleet["three"])
    # A directory that is the first host's own is in none of the others' lists.
    result = start(fleet, "one:two:three", "--serial", "1", "--max-fail", "0", work_dir=where)
    assert (result.exit_code, result.statuses) == (
        4,
        {"one": "started", "two": "failed", "three": "not_attempted"},
    )
    words = "Stopped: 1 host failed (two), and max_fail allows 0 hosts; nothing further is begun"
    assert result.stderr.count(words) == 1
    within = start(fleet, "two:three:four", "--forks", "1", "--max-fail", "0", work_dir="/nowhere")
    assert list(within.statuses.values()) == ["failed", "not_attempted", "not_attempted"]
    result = start(fleet, "two,three", "--serial", "1", work_dir="/srv/work")
    assert result.statuses == {"two": "failed", "three": "failed"}
    inventory = with_settings(fleet, {"two": {"port": 1}})
    result = start(fleet, "two", *inventory)
    assert (result.exit_code, result.statuses) == (5, {"two": "unreachable"})


def test_sessions_are_listed_and_those_that_the_token_does_not_show_are_counted(
    fleet: Fleet,
) -> None:
    host = fleet["two"]
    mine = entry(start(fleet, "two", "--name", "listed-one"))
    result = fleet.call("session", "list", "two:three", "--format", "json")
    check_document("sessions", result.json)
    by_host = {item["host"]: item for item in result.json["hosts"]}
    [shown] = [item for item in by_host["two"]["sessions"] if item["id"] == mine["id"]]
    assert (shown["name"], shown["work_dir"], shown["status"]) == (
        "listed-one",
        mine["work_dir"],
        "idle",
    )
    assert shown["created"] is not None
    host.misbehave("idle_sessions", [130, 7200])
    many = fleet.call("session", "list", "two", "--format", "json")
    assert len(many.json["hosts"][0]["sessions"]) > 130
    text = fleet.call("session", "list", "two")
    assert text.stdout.startswith("HOST  ID ")
    assert f" 2h 00m  2h 00m       {host.place.directory / 'work'}\n" in text.stdout


def test_a_session_is_stopped_by_the_beginning_of_its_id(fleet: Fleet) -> None:
    found = entry(start(fleet, "one"))
    for wanted, code, words in (
        ("zz", 4, "no session there is called zz"),
        ("", 3, "can't be the id of a session"),
        ("../health", 3, "can't be the id of a session"),
        (found["id"][:9], 0, f"stopped {found['id']}"),
        (found["id"], 4, "list them with 'aegis-provision session list one'"),
    ):
        result = fleet.call("session", "stop", "one", wanted)
        assert result.exit_code == code, result.stdout + result.stderr
        assert words in result.stdout + result.stderr
    fleet["one"].misbehave("idle_sessions", [3, 60])
    several = fleet.call("session", "stop", "one", "idle-")
    assert "3 sessions there begin with idle-: idle-0, idle-1, idle-2" in several.stdout


def test_events_are_what_their_schema_says(fleet: Fleet) -> None:
    started = fleet.call(
        "session", "start", "one", "--work-dir", directory(fleet["one"]), "--format", "ndjson"
    )
    listed = fleet.call("session", "list", "one", "--format", "ndjson")
    for line in (*started.lines, *listed.lines):
        check_document("event", line)
    assert [line["event"] for line in started.lines] == [
        "reading_started",
        "session_reported",
        "session_finished",
    ]
    assert listed.lines[-1]["event"] == "sessions_finished"


def test_the_request_is_shown_masked_and_without_a_connection(fleet: Fleet) -> None:
    before = logins(fleet)
    flags = ("--provider", "other", "--name", "n", "--env", "X_KEY=${X_KEY}", "--print", "json")
    result = fleet.call(
        "session", "start", "one", "--work-dir", "/srv/work", *flags, env={"OTHER_TOKEN": ""}
    )
    assert result.exit_code == 0, result.stderr
    check_document("session-request", result.json)
    [shown] = result.json["hosts"]
    assert shown["body"] == {
        "workDir": "/srv/work",
        "name": "n",
        "env": {**OTHER_ENV, "ANTHROPIC_AUTH_TOKEN": "<secret>", "X_KEY": "<secret>"},
    }
    assert shown["headers"]["Authorization"] == "Bearer <secret>"
    assert shown["url"] == f"http://127.0.0.1:{fleet['one'].port}/v1/sessions"
    # What holds the token under an innocent name is masked with it.
    leak = fleet.call(
        "session", "start", "one", "--work-dir", "/srv/work", "--provider", "other",
        "--env", "NOTE=${NOTE}", "--print", "json", env={"NOTE": f"see {OTHER}"},
    )  # fmt: skip
    assert leak.json["hosts"][0]["body"]["env"]["NOTE"] == "<secret>"
    assert logins(fleet) == before


HOSTILE = 'q"u\\o\'te\\" $HOME `id` %s %n \\n \\u0041 @x #; {} \u00e4\U0001f600'


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
def test_the_printed_command_starts_the_session_whatever_the_values_hold(
    fleet: Fleet, shell: str, tmp_path: Path
) -> None:
    program = shutil.which(shell)
    if program is None:
        missing(f"there is no {shell} on this machine")
    host = fleet["one"]
    where = directory(host)
    environ = {**fleet.environ, "OTHER_TOKEN": HOSTILE, "A": "a", "AEGIS_API_TOKEN": host.api_token}
    environ["LITERAL"] = 'it\'s "$A" \\u0000 \\\\'
    printed = fleet.call(
        "session", "start", "one", "--work-dir", where, "--provider", "other",
        "--env", "LITERAL=${LITERAL}", "--env", "MY_TOKEN=${A}",
        "--env", "HEADERS=X: Bearer ${OTHER_TOKEN}!", "--print", "curl",
        env={**environ, "OTHER_TOKEN": OTHER},
    )  # fmt: skip
    assert printed.exit_code == 0, printed.stderr
    for secret in (OTHER, host.api_token):
        assert secret not in printed.stdout + printed.stderr
    arguments = _noted_curl(tmp_path, environ)
    done = _shell(program, printed.stdout, environ)
    assert done.stdout.endswith("\n201\n"), done.stdout + done.stderr
    assert created(host)[-1]["env"] == {
        **OTHER_ENV,
        "ANTHROPIC_AUTH_TOKEN": HOSTILE,
        "LITERAL": environ["LITERAL"],
        "MY_TOKEN": "a",
        "HEADERS": f"X: Bearer {HOSTILE}!",
    }
    assert arguments.read_text() == "-q --config -\n"
    for name, value, words in (
        ("OTHER_TOKEN", "", "OTHER_TOKEN"),
        ("OTHER_TOKEN", "a\nb", "ANTHROPIC_AUTH_TOKEN holds a control character"),
        ("AEGIS_API_TOKEN", "a\x01b", "the token of the API holds a control character"),
    ):
        failed = _shell(program, printed.stdout, {**environ, name: value})
        assert (failed.returncode != 0, failed.stdout) == (True, "")
        assert words in failed.stderr


def _noted_curl(directory: Path, environ: dict[str, str]) -> Path:
    """Let ``environ`` lead to a curl that notes its arguments; return where it does."""
    program, arguments = directory / "curl", directory / "arguments"
    real = shutil.which("curl") or missing("there is no curl on this machine")
    program.write_text(f'#!/bin/sh\necho "$@" >>{arguments}\nexec {real} "$@"\n')
    program.chmod(0o755)
    environ["PATH"] = f"{directory}:{os.environ['PATH']}"
    return arguments


def _shell(program: str, script: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_no_process_has_a_secret_among_its_arguments(fleet: Fleet) -> None:
    with arguments_watched() as seen:
        work = ("--work-dir", directory(fleet["one"]))
        args = ("session", "start", "one", *work, "--provider", "other")
        result = fleet.run(*args, own_python=True)
    assert result.exit_code == 0, result.stdout
    assert any(b"aegis_provision" in line for line in seen)
    for secret in (TOKEN, OTHER, fleet["one"].api_token):
        assert not [line for line in seen if secret.encode() in line]


def test_sessions_from_python(fleet: Fleet) -> None:
    loaded, host = ap.load(fleet.inventory), fleet["one"]
    connection: dict[str, Any] = {
        "environ": fleet.environ,
        "known_hosts": [fleet.sshd.known_hosts],
        "ssh_config": "none",
    }
    where = directory(host)
    [started] = ap.start_session(
        loaded, "one", where, provider="other", env={"MY_FLAG": "${HOME}"}, **connection
    )
    assert (started.status, started.ok) == (ap.SessionStatus.STARTED, True)
    assert created(host)[-1]["env"] == {**OTHER_ENV, "MY_FLAG": fleet.environ["HOME"]}
    [listing] = ap.list_sessions(loaded, "one", **connection)
    assert started.id in [item.id for item in listing.sessions]
    stopped = ap.stop_session(loaded, "one", started.id, **connection)
    assert (stopped.status, stopped.id) == (ap.SessionStatus.STOPPED, started.id)
    with pytest.raises(ap.InputError, match="work_dir: it takes an absolute path"):
        ap.start_session(loaded, "one", "work", **connection)
    with pytest.raises(ap.InputError, match="name: it is made of letters"):
        ap.start_session(loaded, "one", where, name="a b", **connection)
    with pytest.raises(ap.InputError, match="wait: 0 is not above 0"):
        ap.start_session(loaded, "one", where, wait=0, **connection)
    with pytest.raises(ap.Error, match=r"^prompt: it holds half of a character"):
        ap.start_session(loaded, "one", where, prompt="\ud800", **connection)
    with pytest.raises(ap.Error) as refused:
        ap.start_session(loaded, "one", where, env={"MY_TOKEN": "not-a-reference"}, **connection)
    assert "--env" not in str(refused.value)
    [denied] = ap.start_session(loaded, "one", "/etc", **connection)
    assert denied.message.startswith("work_dir is not allowed on the host")


def test_ctrl_c_begins_no_further_host_and_sees_a_session_to_its_end(fleet: Fleet) -> None:
    where = directory(fleet["one"], fleet["two"])
    fleet["one"].misbehave("claude_fails")
    flags = ("--serial", "1", "--wait", "200", "--format", "ndjson")
    with fleet.started("session", "start", "one:two", "--work-dir", where, *flags) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        until = time.monotonic() + 120
        while not any(item["work_dir"] == where for item in created(fleet["one"])):
            assert time.monotonic() < until
            select.select([program.stdout], [], [], 0.05)
        program.send_signal(signal.SIGINT)
        err = ""
        while "Stopping" not in err:
            err += program.stderr.readline() or pytest.fail(err)
        fleet["one"].behave("claude_fails")  # and its Claude comes up
        out, _ = program.communicate(timeout=240)
    assert program.returncode == 130, err
    last = json.loads(out.splitlines()[-1])
    ends = {item["host"]: item for item in last["hosts"]}
    statuses = (ends["one"]["status"], ends["two"]["status"])
    assert statuses == ("started", "not_attempted"), ends
    assert ends["one"]["id"] == created(fleet["one"])[-1]["id"]
    assert "Stopping: no further host is begun; 1 under way will finish." in err
