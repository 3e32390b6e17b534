"""``kill -9`` at any moment, and connections that are cut: the record and the files agree."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.hosts import OLD_ENV, Fleet
from tests.rollout.fleet_reset import age, reset, with_settings
from tests.rollout.fleet_state import (
    before,
    is_new,
    left_behind,
    message_of,
    recorded,
    recorded_hosts,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.fleet.hosts import FleetHost

NAMES = ("a", "b", "c", "d")
LONGER_THAN_A_LOCK_LASTS = 700
BOOK = """\
- name: First
  hosts: a:b
  restart: changed
  sessions: ignore
  verify: {health: true, timeout: 20s}
  on_failure: rollback
- name: Then
  hosts: c:d
  serial: 1
  restart: changed
  sessions: ignore
"""


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    reset(running)
    age(running)
    return running


def let_locks_expire(fleet: Fleet) -> None:
    died = time.time() - LONGER_THAN_A_LOCK_LASTS
    for host in fleet:
        lock = host.config_path.parent / ".aegis-provision" / "lock"
        if lock.exists():
            os.utime(lock, (died, died))


def events(program: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert program.stdout is not None
    for line in program.stdout:
        yield json.loads(line)


def check_record_against_host(entry: dict[str, Any], host: FleetHost) -> None:
    new = is_new(host)
    if not entry["write_unknown"]:
        # A write is noted before it begins, and as done once it was read back.
        assert new is (entry["written"] and not entry["rolled_back"])
    if entry["restarted"]:
        assert host.loaded_env() == host.session_env()
    if new and host.loaded_env() == OLD_ENV:
        assert entry["restart_owed"]


# Counted in events of the stream: the same moments on a fast machine and a slow one.
@pytest.mark.parametrize("moment", [9, 13, 16, 19, 23])
def test_killed_at_any_moment_it_is_taken_up_again(fleet: Fleet, moment: int) -> None:
    book = fleet.playbook(BOOK)
    with fleet.started("apply", book, "--yes", "--format", "ndjson", "--forks", "2") as program:
        for count, event in enumerate(events(program), 1):
            assert event["event"] != "run_finished", "a later moment than there is"
            if count == moment:
                break
        program.send_signal(signal.SIGKILL)
        program.wait()
    # What was sent to a host before the end may still be carried out there.
    until = time.monotonic() + 2
    while any(host.pid() is None for host in fleet) and time.monotonic() < until:
        time.sleep(0.02)
    run = recorded(fleet)
    assert (run["state"], run["exit_code"]) == ("crashed", None)
    for name, entry in recorded_hosts(fleet).items():
        check_record_against_host(entry, fleet[name])
    let_locks_expire(fleet)
    result = fleet.call("apply", book, "--yes", "--format", "json", "--retry", "last")
    assert result.exit_code == 0, result.stderr
    assert set(result.statuses.values()) <= {"applied", "unchanged"}
    for host in fleet:
        assert is_new(host)
        assert host.loaded_env() == host.session_env()
        # Where nothing was left to write, an expired lock stays, and the receipt of a write that
        # died just before it was kept: neither is in the way, and the next write clears both.
        assert left_behind(host) <= {"lock", "receipt.json.new"}
    assert recorded(fleet)["retries"] == run["run"]


def test_a_retry_leaves_alone_what_went_well(fleet: Fleet) -> None:
    fleet["c"].misbehave("restart_fails", times=1)
    book = fleet.playbook(BOOK)
    first = fleet.call("apply", book, "--yes", "--format", "json")
    assert first.statuses == {"a": "applied", "b": "applied", "c": "failed", "d": "not_attempted"}
    restarts = len(fleet["a"].log("restart"))
    again = fleet.call("apply", book, "--yes", "--format", "json", "--retry", "last")
    assert (again.exit_code, again.statuses) == (0, {"c": "applied", "d": "applied"})
    assert len(fleet["a"].log("restart")) == restarts
    over = fleet.call("apply", book, "--yes", "--format", "json", "--retry", "last")
    assert "Traceback" not in over.stderr
    assert over.exit_code in {0, 3}


def connections(fleet: Fleet) -> set[int]:
    """Return the processes of sshd that serve a connection."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == fleet.sshd.process.pid:
            found.add(int(stat.parent.name))
    return found


def cut_connections(fleet: Fleet) -> None:
    """Cut every connection to the fleet, as a network does that loses its state."""
    for pid in connections(fleet):
        with suppress(ProcessLookupError):  # one that had ended by itself
            os.kill(pid, signal.SIGKILL)


def play(on_failure: str, more: str = "") -> str:
    return (
        f"- name: P\n  hosts: a\n  restart: changed\n  on_failure: {on_failure}\n"
        f"  verify: {{health: true, timeout: 30s}}\n{more}"
    )


@pytest.mark.parametrize(
    ("on_failure", "status"), [("keep", "failed"), ("rollback", "rolled_back")]
)
@pytest.mark.parametrize("step", ["wait_for_sessions", "restart", "verify"])
def test_a_connection_that_is_cut_after_the_write(
    fleet: Fleet, on_failure: str, status: str, step: str
) -> None:
    host, was = fleet["a"], before(fleet["a"])
    misbehaviour: Callable[[], None] = {
        "wait_for_sessions": lambda: host.misbehave("sessions", 1),
        "restart": lambda: host.misbehave("restart_hangs", 3, times=1),
        "verify": lambda: host.misbehave("degraded", 0, times=1),
    }[step]
    misbehaviour()
    book = fleet.playbook(play(on_failure))
    with fleet.started("apply", book, "--yes", "--format", "ndjson", "--timeout", "5") as program:
        stream = events(program)
        for event in stream:
            if event["event"] == "step_started" and event["step"] == step:
                break
        asked = len(host.requests("/v1/health"))
        if step == "verify":
            _wait_until(lambda: len(host.requests("/v1/health")) > asked)
        if step == "restart":
            _wait_until(lambda: len(host.log("restart")) > was.starts)
        host.behave("sessions")
        cut_connections(fleet)
        *_, last = stream
        _, err = program.communicate(timeout=60)
    if step == "restart":  # what was cut off goes on over there, and comes to its end
        _wait_until(lambda: host.starts > was.starts + (on_failure == "rollback"))
    [end] = last["hosts"]
    assert (program.returncode, end["status"]) == (4, status), end
    assert "Traceback" not in err
    if on_failure == "rollback":
        assert host.config_path.read_bytes() == was.content
        assert host.loaded_env() == OLD_ENV
        assert left_behind(host) == set()
    else:
        assert "the new file is in place" in end["message"]
        assert is_new(host)
        assert end["warnings"] == ["the lock could not be removed; it expires in 600 seconds"]


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_connections_gone_stale_in_a_pause_are_made_anew(fleet: Fleet) -> None:
    text = "- name: P\n  hosts: a:b:c\n  serial: 1\n  pause: 6s\n  restart: changed\n"
    flags = ("--yes", "--format", "ndjson", "--limit", "a:b")
    with fleet.started("apply", fleet.playbook(text), *flags) as program:
        stream = events(program)
        for event in stream:
            if event["event"] == "pause_started":
                break
        cut_connections(fleet)
        *_, last = stream
        program.communicate(timeout=60)
    assert program.returncode == 0
    assert {host["host"]: host["status"] for host in last["hosts"]} == {
        "a": "applied",
        "b": "applied",
    }


def test_hosts_that_are_unreachable_when_read_are_only_that(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"a": {"port": 1}, "b": {"user": "nobody-at-all"}})
    was = {name: before(fleet[name]) for name in "ab"}
    result = fleet.call("apply", "--yes", "--format", "json", *inventory)
    assert result.exit_code == 5
    assert result.statuses == {
        "a": "unreachable",
        "b": "unreachable",
        "c": "restart_pending",
        "d": "restart_pending",
    }
    assert message_of(result, "b").startswith("login: ")
    assert {name: before(fleet[name]) for name in "ab"} == was
    assert recorded_hosts(fleet)["a"]["write"] is None


def test_ctrl_c_in_a_pause_begins_nothing_new(fleet: Fleet) -> None:
    text = "- name: P\n  hosts: a:b\n  serial: 1\n  pause: 5m\n- name: Q\n  hosts: c\n"
    with fleet.started("apply", fleet.playbook(text), "--yes", "--format", "ndjson") as program:
        stream = events(program)
        for event in stream:
            if event["event"] == "pause_started":
                break
        program.send_signal(signal.SIGINT)
        rest = list(stream)
        _, err = program.communicate(timeout=60)
    assert program.returncode == 130
    assert [event["event"] for event in rest] == ["stop_requested", "run_finished"]
    assert {host["host"]: host["status"] for host in rest[-1]["hosts"]} == {
        "a": "restart_pending",
        "b": "not_attempted",
        "c": "not_attempted",
    }
    assert "Stopping" in err
    assert not is_new(fleet["b"])
    assert not is_new(fleet["c"])
    run = recorded(fleet)
    assert (run["state"], run["exit_code"], run["stopped"]) == ("interrupted", 130, True)
