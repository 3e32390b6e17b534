"""A fleet on which every host misbehaves in a way of its own: what becomes of each of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, CommandResult, Fleet, FleetHost, running_hosts
from tests.rollout.fleet_state import (
    Before,
    before_all,
    is_new,
    left_behind,
    message_of,
    recorded,
    recorded_hosts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.aegis_server import Misbehaviour

PLAYBOOK = """\
- name: All of them
  hosts: all:!bystander
  restart: changed
  verify: {{health: true, timeout: 6s}}
  on_failure: {on_failure}
  sessions: ignore
  max_fail: 100%
"""
COME_UP: dict[str, tuple[Misbehaviour, float]] = {
    "well": ("late", 0),
    "late": ("late", 1.5),
    "degraded-then-ok": ("degraded", 1.5),
    "hangs-on-shutdown": ("ignores_term", 0),
    "slow-on-shutdown": ("slow_stop", 1),
}
FAIL: dict[str, tuple[Misbehaviour, float]] = {
    "lost-file": ("lost_file", 0),
    "open": ("open_sessions", 0),
    "dies": ("dies", 0),
    "new-and-dies": ("dies", 0),
    "degraded": ("degraded", 0),
    "silent": ("silent", 0),
    "keeps-running": ("keeps_running", 0),
    "restart-fails": ("restart_fails", 0),
    "restart-hangs": ("restart_hangs", 60),
    "hangs-up": ("hangs_up", 0),
}
WHY = {
    "lost-file": "verify: Aegis dropped its file: its API answers without a token",
    "open": "verify: Aegis dropped its file: its API answers without a token",
    "dies": "verify: Aegis is not healthy 6 s after its restart: nothing listens there",
    "new-and-dies": "verify: Aegis is not healthy 6 s after its restart: nothing listens there",
    "degraded": "verify: Aegis is not healthy 6 s after its restart: it says it is degraded",
    "silent": "verify: Aegis is not healthy 6 s after its restart: no answer",
    "keeps-running": "verify: Aegis is not healthy 6 s after its restart: the server that answers "
    "is the one from before the restart",
    "restart-fails": "restart: the command ended with status 1 (it says: Job for aegis.service "
    "failed. See 'journalctl -xe'.)",
    "restart-hangs": "restart: the command did not end in time",
    "hangs-up": "restart: the connection was lost",
}
TWICE = "fails-twice"
"""Its restart fails on the way back too."""


@dataclass(frozen=True)
class Story:
    """A run over hosts that misbehave, and how they were before."""

    fleet: Fleet
    was: dict[str, Before]
    result: CommandResult


def _story(fleet: Fleet, on_failure: str) -> Story:
    for name, (misbehaviour, value) in {**COME_UP, **FAIL}.items():
        fleet[name].misbehave(misbehaviour, value, times=1)
    fleet[TWICE].misbehave("restart_fails", times=2)
    new = fleet["new-and-dies"]
    new.config_path.unlink()
    was = before_all(fleet)
    book = fleet.playbook(PLAYBOOK.format(on_failure=on_failure))
    result = fleet.run("apply", book, "--yes", "--format", "json", "--deadline", "12")
    return Story(fleet, was, result)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    """Both runs; they mostly wait, so they do it at the same time."""
    names = [*COME_UP, *FAIL, TWICE, "bystander"]
    with ExitStack() as undo, ThreadPoolExecutor() as pool:
        futures = {}
        for on_failure in ("keep", "rollback"):
            directory = tmp_path_factory.mktemp(on_failure)
            fleet = undo.enter_context(running_hosts(directory, names, stop_timeout=2.0))
            futures[on_failure] = pool.submit(_story, fleet, on_failure)
        yield {on_failure: story.result() for on_failure, story in futures.items()}


@pytest.fixture
def kept(stories: dict[str, Story]) -> Story:
    return stories["keep"]


@pytest.fixture
def rolled_back(stories: dict[str, Story]) -> Story:
    return stories["rollback"]


@pytest.fixture(params=["keep", "rollback"])
def story(request: pytest.FixtureRequest, stories: dict[str, Story]) -> Story:
    return stories[request.param]


def test_the_run_ends_with_4_and_no_traceback(story: Story) -> None:
    assert (story.result.exit_code, story.result.json["exit_code"]) == (4, 4)
    assert "Traceback" not in story.result.stderr


@pytest.mark.parametrize("name", COME_UP)
def test_a_host_that_takes_its_time_is_a_success(story: Story, name: str) -> None:
    host = story.fleet[name]
    assert story.result.statuses[name] == "applied"
    assert is_new(host)
    assert host.loaded_env() == host.session_env()
    assert left_behind(host) == set()


def test_one_that_hangs_on_shutdown_was_killed(story: Story) -> None:
    assert len(story.fleet["hangs-on-shutdown"].log("killed")) == 1


@pytest.mark.parametrize("name", FAIL)
def test_the_old_file_is_back_and_loaded(rolled_back: Story, name: str) -> None:
    host, was = rolled_back.fleet[name], rolled_back.was[name]
    assert rolled_back.result.statuses[name] == "rolled_back", message_of(rolled_back.result, name)
    message = message_of(rolled_back.result, name)
    assert message.startswith(WHY[name])
    if name == "new-and-dies":
        assert not host.config_path.exists()
        assert "; the file is gone again, as before" in message
        assert host.loaded_env() == {}
    else:
        assert host.config_path.read_bytes() == was.content
        assert host.config_path.stat().st_mode & 0o777 == was.mode
        assert "; the file is back" in message
        assert host.loaded_env() == OLD_ENV
    assert host.pid() is not None
    assert left_behind(host) == set()


@pytest.mark.parametrize("name", FAIL)
def test_the_new_file_is_kept_and_reported_so(kept: Story, name: str) -> None:
    host = kept.fleet[name]
    assert kept.result.statuses[name] == "failed"
    assert message_of(kept.result, name).startswith(f"{WHY[name]}")
    assert "; the new file is in place" in message_of(kept.result, name)
    assert is_new(host)
    assert len(host.log("restart")) == 2  # the fleet's own at first, and this run's


@pytest.mark.parametrize("name", [name for name in FAIL if name != "hangs-up"])
def test_nothing_of_ours_is_left_where_the_new_file_is_kept(kept: Story, name: str) -> None:
    assert left_behind(kept.fleet[name]) == set()


def test_a_dropped_file_is_seen_at_once(story: Story) -> None:
    hosts = recorded_hosts(story.fleet)
    waited_for = min(hosts[name]["seconds"] for name in ("degraded", "silent", "dies"))
    assert max(hosts[name]["seconds"] for name in ("lost-file", "open")) < waited_for


def test_a_restore_that_fails_is_no_success(rolled_back: Story) -> None:
    host = rolled_back.fleet[TWICE]
    assert rolled_back.result.statuses[TWICE] == "rollback_failed"
    message = message_of(rolled_back.result, TWICE)
    assert "going back failed: the file is back, but restart: the command ended" in message
    assert host.config_path.read_bytes() == rolled_back.was[TWICE].content
    assert left_behind(host) == set()


def test_the_record_tells_the_same_as_the_run(story: Story) -> None:
    run = recorded(story.fleet)
    assert (run["state"], run["exit_code"]) == ("finished", 4)
    assert {host["host"]: host["status"] for host in run["hosts"]} == story.result.statuses
    assert {status: count for status, count in run["summary"].items() if count} == {
        status: count for status, count in story.result.json["summary"].items() if count
    }


def test_the_record_tells_what_file_is_there(story: Story) -> None:
    for name, entry in recorded_hosts(story.fleet).items():
        host: FleetHost = story.fleet[name]
        assert entry["written"], name
        assert not entry["write_unknown"], name
        assert entry["rolled_back"] is not is_new(host), name


def test_the_record_has_the_pending_restarts(story: Story) -> None:
    """A restart is pending where the file may not be in effect: none was seen to succeed."""
    pending = {name for name, entry in recorded_hosts(story.fleet).items() if entry["restart_owed"]}
    kept_back = {"restart-fails", "restart-hangs", "hangs-up", TWICE}
    assert pending == (kept_back if story.result.statuses["dies"] == "failed" else {TWICE})


def test_no_other_host_is_touched(story: Story) -> None:
    host = story.fleet["bystander"]
    assert "bystander" not in story.result.statuses
    assert host.config_path.read_bytes() == story.was["bystander"].content
    assert host.starts == story.was["bystander"].starts
    assert host.log("request") == []
