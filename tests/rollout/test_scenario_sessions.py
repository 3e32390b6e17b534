"""Sessions that are running: waited for, not killed; and the message where they are unknown."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, Fleet
from tests.rollout.fleet_reset import with_settings
from tests.rollout.fleet_state import (
    is_new,
    left_behind,
    logins,
    message_of,
    recorded,
    recorded_hosts,
)

if TYPE_CHECKING:
    from tests.fleet.hosts import CommandResult

NAMES = ("busy", "idle", "other")

BUSY = "busy-0 (working), busy-1 (working), busy-2 (working)"


def book(sessions: str, hosts: str = "busy:idle") -> str:
    return (
        f"- name: Now\n  hosts: {hosts}\n  restart: changed\n  sessions: {sessions}\n"
        "  verify: {health: true, timeout: 10s}\n"
    )


def apply(fleet: Fleet, sessions: str, *flags: str) -> CommandResult:
    return fleet.call("apply", fleet.playbook(book(sessions)), "--yes", "--format", "json", *flags)


def test_sessions_that_end_in_time_are_waited_for(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", [2, 2])
    result = apply(fleet, "{wait: 60s}", "--deadline", "20")
    assert (result.exit_code, result.statuses) == (0, {"busy": "applied", "idle": "applied"})
    assert fleet["busy"].loaded_env() == fleet["busy"].session_env()
    start = fleet["busy"].log("start")[-1]
    assert start["at"] >= _told(fleet, "busy") + 2
    assert {host["host"] for host in recorded(fleet)["hosts"]} == {"busy", "idle"}


def _told(fleet: Fleet, name: str) -> float:
    content = json.loads((fleet[name].place.directory / "misbehaviour" / "sessions").read_text())
    timeout: float = content["value"][2]
    return timeout


@pytest.mark.parametrize(
    ("sessions", "why"),
    [
        (
            "{wait: 1s}",
            f"not restarted: 3 sessions ({BUSY}) are still running after 1 s of waiting",
        ),
        ("refuse", f"not restarted: 3 sessions ({BUSY}) are running there"),
    ],
)
def test_sessions_are_not_killed(fleet: Fleet, sessions: str, why: str) -> None:
    fleet["busy"].misbehave("sessions", 3)
    starts = fleet["busy"].starts
    result = apply(fleet, sessions)
    assert (result.exit_code, result.statuses) == (
        4,
        {"busy": "restart_pending", "idle": "applied"},
    )
    assert (
        message_of(result, "busy")
        == f"{why}; try: apply again when they are done, or restart it by hand"
    )
    assert fleet["busy"].starts == starts
    assert is_new(fleet["busy"])
    assert left_behind(fleet["busy"]) == set()
    assert recorded_hosts(fleet)["busy"]["restart_owed"]


def test_sessions_that_are_idle_for_long_are_not_waited_for(fleet: Fleet) -> None:
    fleet["busy"].misbehave("idle_sessions", [2, 3600])
    result = apply(fleet, "{wait: 5m}")
    assert (result.exit_code, result.statuses["busy"]) == (0, "applied")
    assert "warning: the restart ends 2 idle sessions (idle-0, idle-1)" in result.stderr


def test_when_an_idle_session_counts_no_more_is_the_playbooks_to_say(fleet: Fleet) -> None:
    fleet["busy"].misbehave("idle_sessions", [1, 120])
    assert apply(fleet, "{wait: 1s}").statuses["busy"] == "restart_pending"
    assert apply(fleet, "{wait: 1s, idle_after: 1m}").statuses["busy"] == "applied"


def test_a_wait_is_told_once_with_its_end(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", 3)
    result = apply(fleet, "{wait: 4s}")
    lines = [line for line in result.stderr.splitlines() if "waits until" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"busy: wait for sessions (3 sessions running: {BUSY}; waits until ")
    assert lines[0].endswith(" UTC at the latest)")


def test_a_host_that_did_not_pass_stops_what_comes_next(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", 1)
    text = book("refuse", "busy") + book("refuse", "idle")
    result = fleet.call("apply", fleet.playbook(text), "--yes", "--format", "json")
    assert (result.exit_code, result.statuses) == (
        4,
        {"busy": "restart_pending", "idle": "not_attempted"},
    )
    assert "Stopped: 1 host did not pass (busy), and max_fail allows 0 hosts" in result.stderr
    fleet["busy"].behave("sessions")
    again = fleet.call(
        "apply", "--retry", "last", fleet.playbook(text), "--yes", "--format", "json"
    )
    assert (again.exit_code, set(again.statuses.values())) == (0, {"applied"})


def test_a_play_may_go_on_regardless(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", 1)
    text = book("refuse", "busy") + "  unverified: go_on\n" + book("refuse", "idle")
    result = fleet.call("apply", fleet.playbook(text), "--yes", "--format", "json")
    assert (result.exit_code, result.statuses) == (
        0,
        {"busy": "restart_pending", "idle": "applied"},
    )


def test_sessions_are_ended_where_the_playbook_says_so(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", 3)
    result = apply(fleet, "ignore")
    assert (result.exit_code, result.statuses["busy"]) == (0, "applied")
    assert fleet["busy"].loaded_env() == fleet["busy"].session_env()


def test_with_a_wrong_token_the_one_of_the_file_is_tried(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"busy": {"api_token": "${API_TOKEN}"}})
    asked = len(fleet["busy"].requests("/v1/health"))
    result = fleet.call(
        "apply",
        fleet.playbook(book("refuse")),
        "--yes",
        "--format",
        "json",
        *inventory,
        env={"API_TOKEN": "a-wrong-token"},
    )
    assert (result.exit_code, result.statuses["busy"]) == (0, "applied")
    tokens = [entry["token"] for entry in fleet["busy"].requests("/v1/health")[asked:]]
    assert tokens.count("wrong") <= 2, "each token is tried once in the plan and once in the run"
    assert "right" in tokens


def test_without_a_token_that_is_taken_nothing_is_restarted_without_a_wait(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"busy": {"api_token": "${API_TOKEN}"}})
    fleet["busy"].write_config({**fleet["busy"].config(), "authToken": "not-read-yet"})
    starts, began = fleet["busy"].starts, time.monotonic()
    result = fleet.call(
        "apply",
        fleet.playbook(book("{wait: 5m}")),
        "--yes",
        "--format",
        "json",
        *inventory,
        env={"API_TOKEN": "a-wrong-token"},
    )
    assert time.monotonic() - began < 60
    assert (result.exit_code, result.statuses["busy"]) == (4, "restart_pending")
    assert message_of(result, "busy") == (
        "not restarted: whether sessions are running can't be told: the API takes none of the "
        "known tokens; try: set api_token to a token that Aegis takes there (its "
        "AEGIS_AUTH_TOKEN, or a key)"
    )
    assert fleet["busy"].starts == starts


def test_a_token_of_the_operators_opens_the_api(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"busy": {"api_token": "${API_TOKEN}"}})
    host = fleet["busy"]
    asked = len(host.requests("/v1/health"))
    result = fleet.call(
        "apply",
        fleet.playbook(book("refuse")),
        "--yes",
        "--format",
        "json",
        *inventory,
        env={"API_TOKEN": host.api_token},
    )
    assert result.statuses == {"busy": "applied", "idle": "applied"}
    assert {entry["token"] for entry in host.requests("/v1/health")[asked:]} == {"right"}


def test_a_missing_token_is_reported_before_any_connection(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"busy": {"api_token": "${API_TOKEN}"}})
    earlier = logins(fleet)
    result = fleet.call("apply", fleet.playbook(book("refuse")), "--yes", *inventory)
    assert result.exit_code == 3
    assert "API_TOKEN (needed by busy)" in result.stderr
    assert logins(fleet) == earlier


def test_a_token_that_no_request_uses_may_be_missing(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"busy": {"api_token": "${API_TOKEN}"}})
    result = fleet.call("apply", "--yes", "--format", "json", "--limit", "busy", *inventory)
    assert result.statuses == {"busy": "restart_pending"}


def test_without_api_the_port_of_the_hosts_own_file_is_asked(fleet: Fleet) -> None:
    document = json.loads(fleet.inventory.read_text())
    del document["all"]["hosts"]["busy"]["api"]
    inventory = fleet.directory / "without-api.yml"
    inventory.write_text(json.dumps(document))
    host = fleet["busy"]
    host.write_config({**host.config(), "port": host.port})
    host.misbehave("sessions", 1)
    path = fleet.playbook(book("refuse", "busy"))
    words = ("apply", path, "--yes", "--format", "json", "-i", str(inventory))
    assert "1 session (busy-0 (working)) is running" in fleet.call(*words).stdout
    fleet["busy"].behave("sessions")
    assert fleet.call(*words).statuses == {"busy": "applied"}


def test_where_the_address_is_a_guess_silence_is_no_proof(fleet: Fleet) -> None:
    document = json.loads(fleet.inventory.read_text())
    del document["all"]["hosts"]["busy"]["api"]
    inventory = fleet.directory / "without-api.yml"
    inventory.write_text(json.dumps(document))
    fleet["busy"].place.stop(5)
    path = fleet.playbook(book("refuse", "busy"))
    result = fleet.call("apply", path, "--yes", "--format", "json", "-i", str(inventory))
    assert (result.exit_code, result.statuses) == (4, {"busy": "restart_pending"})
    assert "that this is where Aegis listens is a guess" in message_of(result, "busy")


def test_a_server_that_is_down_has_no_sessions_to_lose(fleet: Fleet) -> None:
    fleet["busy"].place.stop(5)
    result = apply(fleet, "refuse")
    assert result.statuses == {"busy": "applied", "idle": "applied"}
    assert fleet["busy"].loaded_env() == fleet["busy"].session_env()


def test_ctrl_c_while_sessions_are_waited_for_restarts_nothing(fleet: Fleet) -> None:
    fleet["busy"].misbehave("sessions", 1)
    path = fleet.playbook(book("{wait: 5m}", "busy") + book("wait", "other"))
    with fleet.started("apply", path, "--yes", "--format", "ndjson") as program:
        assert program.stdout is not None
        for line in program.stdout:
            event = json.loads(line)
            if event["event"] == "step_started" and event["detail"].startswith(
                "1 session running: busy-0"
            ):
                break
        program.send_signal(signal.SIGINT)
        rest, err = program.communicate(timeout=60)
    assert program.returncode == 130
    last = json.loads(rest.splitlines()[-1])
    ends = {host["host"]: host for host in last["hosts"]}
    assert last["event"] == "run_finished"
    assert ends["busy"]["status"] == "restart_pending"
    assert "the run was stopped while it waited" in ends["busy"]["message"]
    assert ends["other"]["status"] == "not_attempted"
    assert fleet["busy"].loaded_env() == OLD_ENV
    assert left_behind(fleet["busy"]) == set()
    assert "Traceback" not in err
    run = recorded(fleet)
    assert (run["exit_code"], run["stopped"]) == (130, True)
