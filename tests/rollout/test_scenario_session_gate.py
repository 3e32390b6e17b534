"""Proof by session: one is started after the restart and ended again, and nothing of it is left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import Fleet, running_hosts
from tests.rollout.fleet_state import Before, before_all, is_new, left_behind, message_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fleet.aegis_server import Misbehaviour
    from tests.fleet.hosts import CommandResult

PROMPTED = ("prompted", "deaf")
PLAYBOOK = f"""\
- name: Session
  hosts: all:!{":!".join(PROMPTED)}
  restart: changed
  sessions: ignore
  on_failure: rollback
  verify: {{session: true, timeout: 8s}}
  max_fail: 100%
- name: Prompt
  hosts: {",".join(PROMPTED)}
  restart: changed
  sessions: ignore
  on_failure: rollback
  verify: {{session: true, prompt: Say ok, timeout: 8s}}
  max_fail: 100%
"""
NOWHERE = "/nonexistent/work"
WELL = ("well", "limited", "unset", "elsewhere", "relative", "linked", "prompted")
UNVERIFIED = {
    "no-claude": "restarted, and not verified: whether sessions start was not checked: "
    "Aegis finds no Claude Code on the host",
    "quota": "whether sessions start was not checked: the token's key has as many sessions, or has "
    'spent as much, as it may: "Concurrent session quota: 1" (stop a session of it, or raise',
    "nowhere": "whether sessions start was not checked: there is no directory for one "
    f'("{NOWHERE}": No such file or directory; "/tmp": "workDir is not in the allowed '
    'directories list")',
}
FAILED = {
    "dead": "verify: a session was started, and Claude did not start in it within ",
    "old": 'verify: Claude Code on the host is too old for Aegis: "Claude Code version 2.0.1 is '
    'below minimum supported version 2.1.80."; the file is back',
    "no-tmux": 'verify: Aegis failed (500): "Internal server error"; the file is back',
    "deaf": "verify: a session started, and its prompt did not reach Claude; the file is back",
}
BY_HAND = "by-hand"
"""Another writer changes its file just before the restart."""

MISBEHAVE: Mapping[str, tuple[Misbehaviour, float, int | None]] = {
    "limited": ("too_often", 1, 1),
    "no-claude": ("no_claude", 0, None),
    "quota": ("quota", 0, None),
    "dead": ("claude_fails", 0, None),
    "old": ("old_claude", 0, None),
    "no-tmux": ("no_tmux", 0, None),
    "deaf": ("send_fails", 0, None),
}


@dataclass(frozen=True)
class Applied:
    """A run, and how its hosts were before it."""

    fleet: Fleet
    was: Mapping[str, Before]
    result: CommandResult
    events: tuple[dict[str, str], ...]

    def warnings(self, name: str) -> list[str]:
        """Return what a host warns of."""
        entries = {entry["host"]: entry for entry in self.result.json["hosts"]}
        found: list[str] = entries[name]["warnings"]
        return found


def _allow(fleet: Fleet, name: str, *directories: str) -> None:
    config = fleet[name].config()
    config["allowedWorkDirs"] = list(directories)
    fleet[name].write_config(config)
    fleet[name].restart()


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    names = dict.fromkeys((*WELL, *UNVERIFIED, *FAILED, BY_HAND))
    with running_hosts(tmp_path_factory.mktemp("sessions"), tuple(names)) as fleet:
        for name, (misbehaviour, value, times) in MISBEHAVE.items():
            fleet[name].misbehave(misbehaviour, value, times=times)
        _allow(fleet, "unset")
        _allow(fleet, "nowhere", NOWHERE)
        _allow(fleet, "elsewhere", NOWHERE, "/tmp")
        _allow(fleet, "relative", "own")
        linked = fleet["linked"].config_path.parent
        (fleet["relative"].config_path.parent / "own").mkdir()
        (linked / "own").mkdir()
        (linked / "link").symlink_to(linked / "own")
        _allow(fleet, "linked", f"{linked}/./link/")
        document = json.loads(fleet.inventory.read_text())
        by_hand = fleet[BY_HAND]
        edit = by_hand.place.directory / "edit"
        edit.write_text(
            "import json, pathlib\n"
            f"path = pathlib.Path({str(by_hand.config_path)!r})\n"
            "config = json.loads(path.read_text())\n"
            "config['defaultSessionEnv']['PATH'] = '/opt/bin'\n"
            "path.write_text(json.dumps(config))\n"
        )
        entry = document["all"]["hosts"][BY_HAND]
        entry["restart_command"] = f"python3 {edit} && {by_hand.restart_command}"
        fleet.inventory.write_text(json.dumps(document))
        was = before_all(fleet)
        book = fleet.playbook(PLAYBOOK)
        result = fleet.run("apply", book, "--yes", "--format", "json")
        [run] = (fleet.state / "runs").glob("*.jsonl")
        events = tuple(json.loads(line) for line in run.read_text().splitlines())
        yield Applied(fleet, was, result, events)


@pytest.mark.parametrize("name", WELL)
def test_where_a_session_starts_the_host_is_done(applied: Applied, name: str) -> None:
    assert applied.result.statuses[name] == "applied", message_of(applied.result, name)
    assert applied.warnings(name) == []
    assert is_new(applied.fleet[name])
    details = [event.get("detail", "") for event in applied.events if event.get("host") == name]
    prompt = ", took its prompt" if name in PROMPTED else ""
    words = rf"a session started in \d+\.\d s{prompt}, and was ended"
    assert len([detail for detail in details if re.fullmatch(words, detail)]) == 1, details


@pytest.mark.parametrize("name", UNVERIFIED)
def test_where_it_cannot_be_told_the_host_is_unverified(applied: Applied, name: str) -> None:
    assert applied.result.statuses[name] == "unverified"
    assert UNVERIFIED[name] in message_of(applied.result, name)
    assert is_new(applied.fleet[name])


@pytest.mark.parametrize("name", FAILED)
def test_where_no_session_starts_the_old_file_comes_back(applied: Applied, name: str) -> None:
    assert applied.result.statuses[name] == "rolled_back"
    assert message_of(applied.result, name).startswith(FAILED[name])
    assert not is_new(applied.fleet[name])


def test_a_variable_that_breaks_sessions_is_named(applied: Applied) -> None:
    message = message_of(applied.result, BY_HAND)
    assert message.startswith(
        "verify: Aegis fails every session over its own file (500): defaultSessionEnv.PATH: "
    )


def test_no_session_and_no_directory_is_left(applied: Applied) -> None:
    left = []
    for host in applied.fleet:
        created = host.log("session_created")
        ended = [
            entry["path"].rpartition("/")[2]
            for entry in host.log("request")
            if (entry["method"], entry["status"]) == ("DELETE", 200)
        ]
        assert [entry["id"] for entry in created] == ended, host.name
        left += [entry["work_dir"] for entry in created if Path(entry["work_dir"]).exists()]
        assert not [*host.config_path.parent.rglob("aegis-provision-*")]
        assert left_behind(host) <= {"previous", "receipt.json"}, host.name
    assert left == []


def test_directories_lie_where_aegis_allows_them(applied: Applied) -> None:
    found = {name: applied.fleet[name].log("session_created") for name in WELL}
    parents = {name: Path(created[0]["work_dir"]).parent for name, created in found.items()}
    work = {name: applied.fleet[name].config_path.parent.resolve() for name in WELL}
    assert parents == {
        "well": work["well"],
        "limited": work["limited"],
        "unset": Path("/tmp"),
        "elsewhere": Path("/tmp"),
        "relative": work["relative"] / "own",
        "linked": work["linked"] / "own",
        "prompted": work["prompted"],
    }


def test_a_session_runs_on_what_the_host_has_and_is_sent_what_the_play_says(
    applied: Applied,
) -> None:
    for name in WELL:
        [created] = applied.fleet[name].log("session_created")
        assert created["env"] == applied.fleet[name].session_env()
        sent = [entry["text"] for entry in applied.fleet[name].log("sent")]
        assert sent == (["Say ok"] if name in PROMPTED else [])


def test_a_restore_starts_no_session(applied: Applied) -> None:
    for name in FAILED:
        methods = [entry["method"] for entry in applied.fleet[name].requests("/v1/sessions")]
        assert methods.count("POST") == 1
