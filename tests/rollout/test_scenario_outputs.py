"""What a run leaves for others to see: a stream, a page, a record, and no secret in any of them."""

from __future__ import annotations

import itertools
import json
import subprocess
from datetime import datetime

import pytest

from tests.fleet.hosts import CommandResult, Fleet
from tests.fleet.program import PROGRAM
from tests.rollout.fleet_reset import reset, with_settings
from tests.rollout.fleet_state import before_all, message_of, recorded

NAMES = ("well", "bad", "left")
PROVIDER_CANARY = "canary-provider-5b1e"
API_CANARY = "canary-api-90ff"
BOOK = """\
- name: One by one
  hosts: all
  serial: 1
  restart: changed
  verify: {health: true, timeout: 10s}
  on_failure: rollback
"""


def of_host(result: CommandResult, name: str) -> list[str]:
    """Return the events of a host in order, with the steps that began."""
    return [
        line.get("step") or line["event"]
        for line in result.lines
        if line.get("host") == name and line["event"] != "host_planned"
    ]


def test_events_are_streamed_in_order_and_in_full(fleet: Fleet) -> None:
    fleet["bad"].misbehave("lost_file", times=1)
    result = fleet.call("apply", fleet.playbook(BOOK), "--yes", "--format", "ndjson")
    assert result.exit_code == 4
    assert {line["schema"] for line in result.lines} == {"aegis-provision/event/v1"}
    times = [datetime.fromisoformat(line["at"]) for line in result.lines]
    assert all(earlier <= later for earlier, later in itertools.pairwise(times))
    rough = [line["event"] for line in result.lines if line.get("host") is None]
    assert rough == [
        "reading_started",
        "run_started",
        "play_started",
        "batch_started",
        "batch_started",
        "budget_spent",
        "run_finished",
    ]
    way = ["connect", "write", "host_written", "wait_for_sessions", "restart", "host_restarted"]
    assert of_host(result, "well") == [*way, "verify", "host_finished"]
    back = ["roll_back", "host_rolled_back", "restart", "host_restarted", "verify"]
    assert of_host(result, "bad") == [*way, "verify", *back, "host_finished"]
    assert of_host(result, "left") == []
    last = result.lines[-1]
    assert (last["exit_code"], last["run"]) == (4, result.lines[4]["run"])
    assert {host["host"]: host["status"] for host in last["hosts"]} == {
        "well": "applied",
        "bad": "rolled_back",
        "left": "not_attempted",
    }


def test_no_secret_is_in_the_output_the_page_or_the_record(fleet: Fleet) -> None:
    for host in fleet:
        host.write_config({**host.config(), "authToken": API_CANARY})
        host.restart()
    fleet["bad"].misbehave("lost_file", times=1)
    api = {name: {"api_token": "${API_TOKEN}"} for name in NAMES}
    # A restart command that talks of what it should not.
    api["left"]["restart_command"] = f"cat {fleet['left'].config_path}; exit 1"
    page = fleet.directory / "page.html"
    book = fleet.playbook(BOOK + "  max_fail: 100%\n")
    flags = ("--yes", "-vvv", "--diff", "--report", page, *with_settings(fleet, api))
    result = fleet.call(
        "apply", book, *flags, env={"GATEWAY_TOKEN": PROVIDER_CANARY, "API_TOKEN": API_CANARY}
    )
    assert result.exit_code == 4
    assert fleet["well"].loaded_env()["ANTHROPIC_AUTH_TOKEN"] == PROVIDER_CANARY
    shown = fleet.call("history", "last", "-vvv")
    texts = {
        "output": result.stdout + result.stderr,
        "history": shown.stdout + shown.stderr,
        "page": page.read_text(),
        **{path.name: path.read_text() for path in fleet.state.rglob("*.jsonl")},
    }
    assert len(texts) == 4
    for place, text in texts.items():
        for name in NAMES:
            assert name in text, place
        for secret in (PROVIDER_CANARY, API_CANARY, "old-token-not-real"):
            assert secret not in text, place


def test_the_page_is_written_however_the_run_ends(fleet: Fleet) -> None:
    fleet["well"].misbehave("restart_fails")
    page = fleet.directory / "failed.html"
    result = fleet.call("apply", fleet.playbook(BOOK), "--yes", "--report", page)
    assert result.exit_code == 4
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize("flag", ["--check", "--list-hosts"])
def test_a_page_of_no_run_is_refused(fleet: Fleet, flag: str) -> None:
    page = fleet.directory / f"none{flag}.html"
    result = fleet.call("apply", flag, "--report", page)
    assert result.exit_code == 64
    assert "--report" in result.stderr
    assert not page.exists()


# --- a record that can't be written ---------------------------------------------------------------


def test_without_a_place_for_the_record_nothing_is_written(fleet: Fleet) -> None:
    was = before_all(fleet)
    file = fleet.directory / "no-directory"
    file.write_text("")
    result = fleet.call("apply", "--yes", env={"XDG_STATE_HOME": str(file)})
    assert result.exit_code == 6
    assert "error: nothing was written: " in result.stderr
    hint = "  = set XDG_STATE_HOME to a directory of yours that can be written\n"
    assert result.stderr.endswith(hint)
    restarting = fleet.call(
        "apply", fleet.playbook(BOOK), "--yes", env={"XDG_STATE_HOME": str(file)}
    )
    assert restarting.exit_code in {3, 6}
    assert restarting.stderr.endswith(hint)
    assert before_all(fleet) == was
    for command in ("history", "rollback", "status", "plan"):
        result = fleet.call(command, env={"XDG_STATE_HOME": str(file)})
        assert result.exit_code in {0, 3}
        assert result.exit_code == 0 or result.stderr.endswith(hint), command


def with_files_of_at_most(fleet: Fleet, size: int, *args: str) -> CommandResult:
    """Run the program where no file can grow beyond ``size`` bytes, as on a full disk."""
    done = subprocess.run(
        ["prlimit", f"--fsize={size}", *PROGRAM, *args],
        cwd=fleet.directory,
        # A compiled module that was cut short would fail every later import of it.
        env={**fleet.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def test_where_a_record_can_not_be_begun_the_run_is_refused(fleet: Fleet) -> None:
    was = before_all(fleet)
    result = with_files_of_at_most(fleet, 64, "apply", "--yes")
    assert result.exit_code == 6
    assert "nothing was written: the run's record, " in result.stderr
    assert before_all(fleet) == was


def test_where_a_record_can_not_go_on_no_further_host_is_written(fleet: Fleet) -> None:
    args = ("apply", "--yes", "--format", "json", "--forks", "1")
    fleet.call(*args)
    [record] = fleet.state.rglob("*.jsonl")
    lines = record.read_bytes().splitlines(keepends=True)
    writes = [at for at, line in enumerate(lines) if json.loads(line)["event"] == "write_begun"]
    # There is room for the first write's line and not for the second's.
    room = sum(map(len, lines[: writes[1]])) + 40
    reset(fleet)
    was = before_all(fleet)
    result = with_files_of_at_most(fleet, room, *args)
    assert result.exit_code == 4, result.stderr
    assert result.statuses == {"well": "restart_pending", "bad": "refused", "left": "refused"}
    assert "not written: the run's record, " in message_of(result, "bad")
    assert "set XDG_STATE_HOME to a directory of yours" in message_of(result, "bad")
    now = before_all(fleet)
    assert {name for name in NAMES if now[name] != was[name]} == {"well"}
    assert "Traceback" not in result.stderr


def test_runs_that_begin_within_one_second_are_in_order(fleet: Fleet) -> None:
    runs = [fleet.call("apply", "--yes", "--format", "json").json["run"] for _ in range(5)]
    assert runs == sorted(runs)
    assert recorded(fleet, "last")["run"] == runs[-1]
