"""What version 0.1.0 left behind still serves: records, receipts on hosts, a saved plan.

``tests/fixtures/v0_1_0/write.py`` has let it write them, and say what they hold. They speak of
absolute paths, so they are put where they were written; one test at a time has that place.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run as run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0_1_0"
RUNS = sorted(path.stem for path in FIXTURES.rglob("*.jsonl"))
FINISHED, INTERRUPTED, KILLED, UNDONE, ROLLBACK, LAST = RUNS


@dataclass(frozen=True, slots=True)
class _Operator:
    """Who had 0.1.0, and has this version now."""

    place: Path

    def says(self, *args: str, code: int = 0, model: str = "big") -> Any:
        """Run a command to its end and return its document."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place / "home"),
            "XDG_STATE_HOME": str(self.place / "state"),
            "AEGIS_PROVISION_INVENTORY": "inventory.yml",
            "GATEWAY_TOKEN": "gateway-token-not-real",
            "GATEWAY_MODEL": model,
        }
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.place), redirect_stdout(out), redirect_stderr(err):
            assert run_program([*args, "--format", "json"], environ) == code, err.getvalue()
        return json.loads(out.getvalue())

    def statuses(self, *args: str, model: str = "big") -> dict[str, str]:
        """Return how each host ended."""
        result = self.says(*args, "--yes", model=model)
        return {host["host"]: host["status"] for host in result["hosts"]}

    def session(self, host: str) -> dict[str, str]:
        """Return the session variables in the file of ``host``."""
        path = self.place / "hosts" / host / "aegis.config.json"
        found: dict[str, str] = json.loads(path.read_bytes())["defaultSessionEnv"]
        return found


@pytest.fixture
def operator() -> Iterator[_Operator]:
    place = Path((FIXTURES / "place").read_text().strip())
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(FIXTURES, place)
        for path in [place, *place.rglob("*")]:
            path.chmod(0o700 if path.is_dir() or path.name == "restart" else 0o600)
        (place / "home").mkdir()
        yield _Operator(place)
        shutil.rmtree(place)


def test_history_tells_what_0_1_0_told(operator: _Operator) -> None:
    listed, *single = json.loads((FIXTURES / "history.json").read_bytes())
    for run in (*listed, *single):
        if run["run"] == INTERRUPTED:
            run["state"] = "interrupted"  # 0.1.0 called it finished
        run["summary"]["unverified"] = 0  # which 0.1.0 did not tell apart
        for play in run.get("plays", ()):
            play["gates"] |= {"idle_after": 0.0, "go_on": True}  # what 0.1.0 did
            if play["gates"]["verify"] is not None:
                play["gates"]["verify"] |= {"session": False, "prompt": ""}
    assert [run["run"] for run in listed] == RUNS[::-1]
    assert operator.says("history")["runs"] == listed
    for run, expected in zip(RUNS[::-1], single, strict=True):
        found = operator.says("history", run)["run"]
        # 0.1.0 noted them by a finer clock than that of its events.
        assert _seconds(found) == pytest.approx(_seconds(expected), abs=0.0021)
        assert found == expected


def _seconds(run: dict[str, Any]) -> dict[str, float]:
    """Take out how long hosts took."""
    taken = {host["host"]: host.pop("seconds") for host in run["hosts"]}
    return {host: seconds for host, seconds in taken.items() if seconds is not None}


def test_status_knows_what_was_written_and_what_is_owed(operator: _Operator) -> None:
    expected = json.loads((FIXTURES / "status.json").read_bytes())["hosts"]
    found = operator.says("status")["hosts"]
    # 0.1.0 did not ask which file the Aegis there reads (none runs), nor for hand edits.
    assert {host["message"] for host in found} == {
        "that Aegis reads this file was not checked: nothing listens at 127.0.0.1:9100"
    }
    for host, before in zip(found, expected, strict=True):
        assert {key: host[key] for key in before} == {**before, "message": host["message"]}
    assert {host["host"]: host["written"] and host["written"]["run"] for host in found} == {
        "a": LAST,
        "b": None,
        "c": KILLED,
        "d": ROLLBACK,
        "e": LAST,
        "f": KILLED,
    }


@pytest.mark.parametrize(
    ("run", "hosts"), [(FINISHED, "bcdef"), (INTERRUPTED, "f"), (KILLED, "cf")]
)
def test_retry_takes_up_what_did_not_end_well(operator: _Operator, run: str, hosts: str) -> None:
    assert operator.statuses("apply", "--retry", run) == dict.fromkeys(hosts, "applied")
    for host in hosts:
        assert operator.session(host)["ANTHROPIC_DEFAULT_MODEL"] == "big"


def test_a_restart_that_0_1_0_owes_is_done(operator: _Operator) -> None:
    assert operator.statuses("apply", "rollout.yml", "--limit", "a,e", model="vast") == {
        "a": "applied",
        "e": "applied",
    }
    result = operator.says("status", "--limit", "a,e", model="vast")
    assert {host["host"]: host["state"] for host in result["hosts"]} == {
        "a": ["in_sync"],
        "e": ["in_sync"],
    }


def test_rollback_brings_back_the_files_of_the_last_run(operator: _Operator) -> None:
    assert operator.session("a")["ANTHROPIC_DEFAULT_MODEL"] == "vast"
    assert operator.statuses("rollback") == {"e": "rolled_back", "a": "rolled_back"}
    for host in "ae":
        assert operator.session(host)["ANTHROPIC_DEFAULT_MODEL"] == "big"
    # The next one is not the run that 0.1.0 has undone already.
    assert operator.statuses("rollback") == {"c": "rolled_back", "f": "rolled_back"}


def test_rollback_brings_back_the_files_of_a_killed_run(operator: _Operator) -> None:
    assert operator.statuses("rollback", KILLED) == {"c": "rolled_back", "f": "rolled_back"}
    for host in "cf":
        assert operator.session(host) == {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8/v1",
            "ANTHROPIC_AUTH_TOKEN": "old-token-not-real",
            "OTHER": "kept",
        }


@pytest.mark.root  # a plan holds the owners of files
def test_a_saved_plan_is_applied(operator: _Operator) -> None:
    assert operator.statuses("apply", "saved.plan") == {"b": "restart_pending"}
    assert operator.session("b")["ANTHROPIC_DEFAULT_MODEL"] == "big"


@pytest.mark.root
def test_a_saved_plan_that_does_not_hold_any_more_is_refused(operator: _Operator) -> None:
    path = operator.place / "hosts" / "b" / "aegis.config.json"
    path.write_bytes(path.read_bytes() + b"\n")
    result = operator.says("apply", "saved.plan", "--yes", code=6)
    assert {host["host"]: host["status"] for host in result["hosts"]} == {"b": "refused"}
