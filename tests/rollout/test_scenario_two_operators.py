"""Two operators at once, dead ones among them: one wins, and no update is lost."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.rollout.fleet_state import left_behind, message_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.hosts import CommandResult, Fleet, FleetHost

NAMES = ("a", "b", "c")
LONGER_THAN_A_LOCK_LASTS = 700
BOOK = "- name: P\n  hosts: all\n  restart: changed\n  sessions: {wait: 5m}\n"


def environ_of(fleet: Fleet, operator: str) -> dict[str, str]:
    """Return the environment of an operator who wants a model of their own, and has own records."""
    state = fleet.directory / f"state-of-{operator}"
    return {
        "LOGNAME": operator,
        "GATEWAY_MODEL": f"model-of-{operator}",
        "XDG_STATE_HOME": str(state),
    }


def apply(fleet: Fleet, operator: str, *flags: str | Path) -> CommandResult:
    return fleet.run("apply", *flags, "--yes", "--format", "json", env=environ_of(fleet, operator))


def model_of(host: FleetHost) -> str:
    return host.session_env()["ANTHROPIC_DEFAULT_MODEL"]


@contextmanager
def at_work(fleet: Fleet, operator: str) -> Iterator[subprocess.Popen[str]]:
    """Run an apply that holds the locks of all hosts, for as long as their sessions run."""
    for name in NAMES:
        fleet[name].misbehave("sessions", 1)
    book = fleet.playbook(BOOK)
    args = ("apply", book, "--yes", "--format", "ndjson")
    with fleet.started(*args, env=environ_of(fleet, operator)) as program:
        assert program.stdout is not None
        waiting: set[str] = set()
        for line in program.stdout:
            event = json.loads(line)
            if event["event"] == "step_started" and "busy-0" in event["detail"]:
                waiting.add(event["host"])
            if waiting == set(NAMES):
                break
        yield program


def test_the_second_is_refused_with_who_and_since_when(fleet: Fleet) -> None:
    with at_work(fleet, "anna") as anna:
        second = apply(fleet, "bert")
        assert second.exit_code == 6
        assert set(second.statuses.values()) == {"refused"}
        for name in NAMES:
            words = message_of(second, name)
            assert "another run is writing here (held by anna@" in words
            assert f" since {time.strftime('%Y-%m-%d', time.gmtime())}" in words
        for name in NAMES:
            fleet[name].behave("sessions")
        anna.communicate(timeout=60)
    assert anna.returncode == 0
    assert {model_of(host) for host in fleet} == {"model-of-anna"}
    assert all(host.loaded_env() == host.session_env() for host in fleet)
    assert set(apply(fleet, "bert").statuses.values()) == {"restart_pending"}
    assert {model_of(host) for host in fleet} == {"model-of-bert"}


def test_where_one_host_alone_is_locked_the_others_are_written(fleet: Fleet) -> None:
    own = fleet["b"].config_path.parent / ".aegis-provision"
    own.mkdir(mode=0o700)
    (own / "lock").write_text('{"owner": "carl@desk", "since": "2026-11-25 03:00:00 UTC"}')
    result = apply(fleet, "bert")
    assert result.exit_code == 4
    assert result.statuses == {"a": "restart_pending", "b": "refused", "c": "restart_pending"}
    assert "held by carl@desk since 2026-11-25 03:00:00 UTC" in message_of(result, "b")


def test_two_at_once_lose_no_update(fleet: Fleet) -> None:
    for _ in range(3):
        with ThreadPoolExecutor() as pool:
            futures = {
                operator: pool.submit(apply, fleet, operator) for operator in ("anna", "bert")
            }
        ends = {operator: future.result().statuses for operator, future in futures.items()}
        for host in fleet:
            winner = model_of(host).removeprefix("model-of-")
            loser = {"anna": "bert", "bert": "anna"}[winner]
            # Both went well where one was done before the other even looked.
            assert ends[winner][host.name] in {"restart_pending", "unchanged"}
            assert ends[loser][host.name] in {"restart_pending", "unchanged", "refused"}
            assert left_behind(host) == set()


def test_the_lock_of_a_dead_run_expires(fleet: Fleet) -> None:
    with at_work(fleet, "anna") as anna:
        anna.kill()
        anna.wait()
        assert apply(fleet, "bert").exit_code == 6
    died = time.time() - LONGER_THAN_A_LOCK_LASTS
    for host in fleet:
        os.utime(host.config_path.parent / ".aegis-provision" / "lock", (died, died))
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(apply, fleet, operator) for operator in ("bert", "carl")]
    ends = [future.result().statuses for future in both]
    # Who takes the live lock for the expired one puts it back; its holder may have looked
    # meanwhile, and then both are sent away. The next one is not kept out.
    ends.append(apply(fleet, "dora").statuses)
    for host in fleet:
        statuses = [end[host.name] for end in ends]
        assert "restart_pending" in statuses
        assert set(statuses) <= {"restart_pending", "refused"}
        assert left_behind(host) == set()


def test_a_file_that_was_edited_meanwhile_is_not_restored(fleet: Fleet) -> None:
    host = fleet["a"]
    host.misbehave("dies", times=1)
    text = (
        "- name: P\n  hosts: a\n  restart: changed\n  on_failure: rollback\n"
        "  verify: {health: true, timeout: 3s}\n"
    )
    with fleet.started("apply", fleet.playbook(text), "--yes", "--format", "json") as program:
        until = time.monotonic() + 30
        while not host.log("died"):
            assert time.monotonic() < until
            time.sleep(0.01)
        host.write_config({"authToken": "of-another-operator"})
        out, _ = program.communicate(timeout=60)
    [end] = json.loads(out)["hosts"]
    assert (program.returncode, end["status"]) == (4, "rollback_failed")
    assert "the file changed since" in end["message"]
    assert host.config() == {"authToken": "of-another-operator"}
    assert left_behind(host) == set()
