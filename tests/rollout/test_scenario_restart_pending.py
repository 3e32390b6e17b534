"""Pending restarts: known later from the record or the API, and done once."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, Fleet
from tests.rollout.fleet_reset import age, reset, with_settings
from tests.rollout.fleet_state import is_new, message_of, recorded_hosts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.hosts import CommandResult

NAMES = ("a", "b", "c")
NOWHERE = {name: {"api": "127.0.0.1:1"} for name in NAMES}
"""Settings of hosts whose API can't be asked."""


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    reset(running)
    age(running)
    return running


def book(fleet: Fleet, restart: str = "changed", more: str = "") -> str:
    text = f"- name: Restart\n  hosts: all\n  restart: {restart}\n{more}"
    return str(fleet.playbook(text))


def write_only(fleet: Fleet, hosts: str) -> None:
    result = fleet.call("apply", "--yes", "--format", "json", "--limit", hosts)
    assert set(result.statuses.values()) == {"restart_pending"}


def apply(fleet: Fleet, *flags: str) -> CommandResult:
    result = fleet.call("apply", book(fleet), "--yes", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result


def restarts(fleet: Fleet) -> dict[str, int]:
    return {host.name: len(host.log("restart")) for host in fleet}


def restarted(fleet: Fleet, earlier: dict[str, int]) -> set[str]:
    return {name for name, count in restarts(fleet).items() if count > earlier[name]}


@pytest.mark.parametrize("known_from", ["api", "record"])
def test_exactly_the_pending_restarts_are_done(fleet: Fleet, known_from: str) -> None:
    write_only(fleet, "a:b")
    inventory: tuple[str, ...] = ()
    if known_from == "api":
        shutil.rmtree(fleet.state)
    else:
        inventory = with_settings(fleet, NOWHERE)
    apply(fleet, "--limit", "c", *inventory)
    earlier = restarts(fleet)
    result = apply(fleet, *inventory)
    assert result.statuses == {"a": "applied", "b": "applied", "c": "unchanged"}
    assert restarted(fleet, earlier) == {"a", "b"}
    assert all(host.loaded_env() == host.session_env() for host in fleet)
    earlier = restarts(fleet)
    assert set(apply(fleet, *inventory).statuses.values()) == {"unchanged"}
    assert restarted(fleet, earlier) == set()


def test_after_a_restart_by_hand_none_is_pending(fleet: Fleet) -> None:
    write_only(fleet, "all")
    # The same as waiting for some seconds before the restart: clocks are not that exact.
    for host in fleet:
        _let_pass(host.config_path, 30)
    fleet["a"].restart()
    earlier = restarts(fleet)
    result = apply(fleet)
    assert result.statuses == {"a": "unchanged", "b": "applied", "c": "applied"}
    assert restarted(fleet, earlier) == {"b", "c"}


def _let_pass(path: Path, seconds: float) -> None:
    found = path.stat()
    os.utime(path, (found.st_atime - seconds, found.st_mtime - seconds))


def test_a_plan_shows_and_counts_pending_restarts(fleet: Fleet) -> None:
    write_only(fleet, "a")
    apply(fleet, "--limit", "b:c")
    path = book(fleet)
    result = fleet.call("plan", path, "--format", "json", "--detailed-exitcode")
    assert result.exit_code == 2
    assert {host["host"]: host["restart_owed"] for host in result.json["hosts"]} == {
        "a": True,
        "b": False,
        "c": False,
    }
    assert "restart owed" in fleet.call("plan", path).stdout
    assert fleet.call("apply", path, "--check", "--detailed-exitcode").exit_code == 2
    assert fleet.call("plan", "--detailed-exitcode").exit_code == 0
    apply(fleet)
    assert fleet.call("plan", path, "--detailed-exitcode").exit_code == 0


def test_without_restarts_in_the_play_a_restart_stays_pending(fleet: Fleet) -> None:
    write_only(fleet, "all")
    text = "- name: A\n  hosts: a\n  restart: changed\n- name: B\n  hosts: b:c\n"
    result = fleet.call("apply", fleet.playbook(text), "--yes", "--format", "json")
    assert result.statuses == {"a": "applied", "b": "unchanged", "c": "unchanged"}


def test_always_restarts_what_did_not_change(fleet: Fleet) -> None:
    apply(fleet)
    earlier = restarts(fleet)
    result = fleet.call("apply", book(fleet, "always"), "--yes", "--format", "json")
    assert set(result.statuses.values()) == {"applied"}
    assert restarted(fleet, earlier) == set(NAMES)


def test_a_run_that_died_between_write_and_restart_is_known_as_such(fleet: Fleet) -> None:
    fleet["b"].misbehave("sessions", 1)
    path = book(fleet, more="  serial: 1\n  sessions: {wait: 5m}\n")
    with fleet.started("apply", path, "--yes", "--format", "ndjson") as program:
        assert program.stdout is not None
        for line in program.stdout:
            event = json.loads(line)
            if event["event"] == "step_started" and event["detail"].startswith(
                "1 session running: busy-0"
            ):
                break
        program.kill()
        program.wait()
    fleet["b"].behave("sessions")
    assert is_new(fleet["b"])
    assert fleet["b"].loaded_env() == OLD_ENV
    shown = fleet.call("history", "last", "--format", "json").json["run"]
    assert (shown["state"], shown["exit_code"]) == ("crashed", None)
    hosts = recorded_hosts(fleet)
    assert hosts["a"]["status"] == "applied"
    assert (hosts["b"]["status"], hosts["b"]["restart_owed"]) == (None, True)
    assert (hosts["c"]["status"], hosts["c"]["write"]) == (None, None)
    earlier = restarts(fleet)
    result = apply(fleet, "--retry", "last")
    assert result.statuses == {"b": "applied", "c": "applied"}
    assert restarted(fleet, earlier) == {"b", "c"}
    assert all(host.loaded_env() == host.session_env() for host in fleet)


def test_a_pending_restart_that_fails_stays_pending(fleet: Fleet) -> None:
    write_only(fleet, "a")
    apply(fleet, "--limit", "b:c")
    fleet["a"].misbehave("restart_fails", times=1)
    result = fleet.call("apply", book(fleet, more="  on_failure: rollback\n"), "--yes", "--format",
                     "json")  # fmt: skip
    assert (result.exit_code, result.statuses["a"]) == (4, "failed")
    assert "going back" not in message_of(result, "a")
    assert is_new(fleet["a"])
    result = apply(fleet)
    assert result.statuses["a"] == "applied"


def test_a_corrected_mode_does_not_hide_a_pending_restart(fleet: Fleet) -> None:
    write_only(fleet, "a:b")
    apply(fleet, "--limit", "c")
    for host in (fleet["a"], fleet["c"]):
        host.config_path.chmod(0o644)
    earlier = restarts(fleet)
    assert apply(fleet).statuses == {"a": "applied", "b": "applied", "c": "applied"}
    assert restarted(fleet, earlier) == {"a", "b"}
    assert fleet["a"].loaded_env() == fleet["a"].session_env()


def test_a_play_without_restarts_leaves_a_pending_one_to_a_later_play(fleet: Fleet) -> None:
    write_only(fleet, "a")
    fleet["a"].config_path.chmod(0o644)
    text = "- {name: A, hosts: a}\n- {name: B, hosts: a, restart: changed}\n"
    earlier = restarts(fleet)
    result = fleet.run("apply", fleet.playbook(text), "--yes", "--format", "json")
    assert result.statuses == {"a": "applied"}
    assert restarted(fleet, earlier) == {"a"}
