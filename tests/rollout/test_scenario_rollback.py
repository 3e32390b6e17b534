"""``rollback`` of a past run on hosts that really run, in reverse order."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, TOKEN, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.hosts import Fleet

OLD_URL = OLD_ENV["ANTHROPIC_BASE_URL"]
NEW_URL = "http://127.0.0.1:9/v1"
PLAYBOOK = """\
- name: Canary
  hosts: host-01
  restart: changed
  verify: {health: true, timeout: 10s}
- name: Rest
  hosts: all:!host-01
  serial: [1, 50%]
  restart: changed
  verify: {health: true, timeout: 10s}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_hosts(tmp_path, 4) as fleet:
        yield fleet


def _files(fleet: Fleet) -> dict[str, bytes | None]:
    return {
        host.name: host.config_path.read_bytes() if host.config_path.exists() else None
        for host in fleet
    }


def _apply(fleet: Fleet, text: str = PLAYBOOK) -> None:
    result = fleet.run("apply", fleet.playbook(text), "--yes", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert set(result.statuses.values()) == {"applied"}


def test_every_file_is_as_before_and_in_effect(fleet: Fleet) -> None:
    fleet["host-04"].config_path.unlink()
    fleet["host-04"].restart()
    before = _files(fleet)
    _apply(fleet)
    assert {host.loaded_provider() for host in fleet} == {NEW_URL}
    shown = fleet.run("rollback", "--check")
    assert shown.exit_code == 0
    assert "if it was revoked since" in shown.stdout
    assert _files(fleet)["host-01"] != before["host-01"]
    result = fleet.run("rollback", "--yes", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert set(result.statuses.values()) == {"rolled_back"}
    assert list(result.statuses) == ["host-04", "host-03", "host-02", "host-01"]
    assert _files(fleet) == before
    assert [host.loaded_provider() for host in fleet] == [OLD_URL, OLD_URL, OLD_URL, None]
    for text in (result.stdout, result.stderr, shown.stdout):
        assert TOKEN not in text
        assert OLD_ENV["ANTHROPIC_AUTH_TOKEN"] not in text
    assert (
        "host-03, host-02, host-01: ANTHROPIC_AUTH_TOKEN becomes the one from before"
        in result.stderr
    )
    past = fleet.run("history", "last", "--format", "json").json
    assert "rolled_back" in str(past)


def test_a_file_that_moved_on_is_left_alone_and_the_others_go_back(fleet: Fleet) -> None:
    before = _files(fleet)
    _apply(fleet)
    fleet["host-02"].write_config({"authToken": "another edit"})
    theirs = _files(fleet)["host-02"]
    result = fleet.run("rollback", "--yes", "--format", "json")
    assert result.exit_code == 4
    assert result.statuses == {
        "host-01": "rolled_back",
        "host-02": "refused",
        "host-03": "rolled_back",
        "host-04": "rolled_back",
    }
    assert _files(fleet) == {**before, "host-02": theirs}


def test_a_file_that_is_gone_comes_back_as_it_was_before_the_run(fleet: Fleet) -> None:
    before = _files(fleet)
    _apply(fleet)
    fleet["host-03"].config_path.unlink()
    shown = fleet.run("rollback", "--check", "--format", "json")
    assert shown.exit_code == 0
    assert shown.statuses == {
        "host-01": "update",
        "host-02": "update",
        "host-03": "create",
        "host-04": "update",
    }
    result = fleet.run("rollback", "--yes", "--format", "json")
    assert result.exit_code == 0
    assert set(result.statuses.values()) == {"rolled_back"}
    assert "host-03: the file is gone: the one that returns is from before 2" in result.stderr
    assert _files(fleet) == before
    assert stat.S_IMODE(fleet["host-03"].config_path.stat().st_mode) == 0o600


def test_a_host_whose_earlier_file_is_gone_too_is_refused_alone(fleet: Fleet) -> None:
    before = _files(fleet)
    _apply(fleet)
    gone = fleet["host-03"].config_path
    gone.unlink()
    (gone.parent / ".aegis-provision" / "previous").unlink()
    shown = fleet.run("rollback", "--check", "--format", "json")
    assert shown.exit_code == 4
    assert shown.statuses["host-03"] == "error"
    result = fleet.run("rollback", "--yes", "--format", "json")
    assert result.exit_code == 4
    assert result.statuses["host-03"] == "refused"
    assert _files(fleet) == {**before, "host-03": None}


def test_the_plan_of_a_rollback_shows_what_comes_back_and_no_token(fleet: Fleet) -> None:
    for host in fleet:
        host.write_config(
            {**host.config(), "defaultSessionEnv": {**OLD_ENV, "STAYS": "here", "A_TOKEN": "too"}}
        )
    _apply(fleet)
    result = fleet.run("rollback", "--check", "--format", "json")
    new = fleet["host-01"].session_env()
    for host in result.json["hosts"]:
        assert host["changes"] == [
            {
                "key": name,
                "change": "changed",
                "before": None if name == "ANTHROPIC_AUTH_TOKEN" else new[name],
                "after": None if name == "ANTHROPIC_AUTH_TOKEN" else OLD_ENV[name],
                "sensitive": name == "ANTHROPIC_AUTH_TOKEN",
            }
            for name in OLD_ENV
        ]
    for text in (result.stdout, fleet.run("rollback", "--check").stdout):
        assert OLD_ENV["ANTHROPIC_AUTH_TOKEN"] not in text
        assert TOKEN not in text


def test_a_part_of_a_run_can_be_rolled_back_and_the_rest_later(fleet: Fleet) -> None:
    before = _files(fleet)
    _apply(fleet)
    assert fleet.run("rollback", "--yes", "--limit", "host-03").exit_code == 0
    now = _files(fleet)
    assert now["host-03"] == before["host-03"]
    assert now["host-01"] != before["host-01"]
    assert fleet.run("rollback", "--yes").exit_code == 0
    assert _files(fleet) == before
    result = fleet.run("rollback", "--yes")
    assert result.exit_code == 3
    assert result.stderr == (
        "error: no run has written anything that could be undone\n"
        "  = list them with 'aegis-provision history'\n"
    )
    assert set(fleet.run("apply", "--yes", "--check", "--format", "json").statuses.values()) == {
        "update"
    }


def test_a_rollback_that_fails_is_never_a_success(fleet: Fleet) -> None:
    _apply(fleet)
    fleet["host-04"].misbehave("lost_file")
    result = fleet.run("rollback", "--yes", "--format", "json")
    assert result.exit_code == 4
    assert result.statuses["host-04"] == "rollback_failed"
    assert result.statuses["host-01"] == "not_attempted"
    assert "dropped its file" in result.stdout


def test_without_restarts_the_rollback_is_pending_too(fleet: Fleet) -> None:
    before = _files(fleet)
    result = fleet.run("apply", "--yes", "--format", "json")
    assert set(result.statuses.values()) == {"restart_pending"}
    back = fleet.run("rollback", "--yes", "--format", "json")
    assert set(back.statuses.values()) == {"rolled_back"}
    assert {entry["message"] for entry in back.json["hosts"]} == {
        "the file from before the run is back; it takes effect when Aegis restarts there"
    }
    assert _files(fleet) == before
    assert {host.starts for host in fleet} == {1}


def test_without_a_terminal_a_rollback_needs_yes(fleet: Fleet) -> None:
    _apply(fleet)
    now = _files(fleet)
    result = fleet.run("rollback")
    assert result.exit_code == 6
    assert _files(fleet) == now


def test_an_inventory_that_leads_elsewhere_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    _apply(fleet)
    elsewhere = tmp_path / "elsewhere.yml"
    elsewhere.write_text("all: {vars: {provider: ollama}, hosts: {host-01: , host-09: }}\n")
    result = fleet.run("rollback", "--yes", "-i", elsewhere)
    assert result.exit_code == 3
    assert "does not know hosts of the run" in result.stderr
    assert "leads to other machines" in result.stderr


@pytest.mark.parametrize("name", ["20200101T000000Z-000000", "nonsense"])
def test_a_run_that_is_not_there(fleet: Fleet, name: str) -> None:
    _apply(fleet)
    result = fleet.run("rollback", name, "--yes")
    assert result.exit_code == 3
    assert "there is no run" in result.stderr


def test_a_mode_that_was_put_right_is_nothing_to_undo(fleet: Fleet) -> None:
    _apply(fleet)
    fleet["host-02"].config_path.chmod(0o644)
    _apply(fleet, "- {hosts: host-02}\n")
    nothing = fleet.run("rollback", "last", "--yes", "--limit", "!host-02")
    assert nothing.exit_code == 3
    last, before = (run["run"] for run in fleet.run("history", "--format", "json").json["runs"])
    assert nothing.stderr == (
        f"error: the run {last} wrote nothing that could be undone\n"
        f"  = the last run that can be undone is {before}: "
        f"'aegis-provision rollback {before} -l \\!host-02'\n"
    )
    result = fleet.run("rollback", "--yes", "--format", "json", "--limit", "!host-02")
    assert set(result.statuses.values()) == {"rolled_back"}


def test_where_no_run_can_be_rolled_back_a_run_without_changes_names_none(fleet: Fleet) -> None:
    _apply(fleet)
    assert fleet.run("rollback", "--yes").exit_code == 0
    fleet.run("apply", fleet.playbook("- {hosts: host-01}\n"), "--yes")
    fleet.run("rollback", "--yes")
    for host in fleet:
        host.config_path.write_text("no file of ours")
    fleet.run("apply", "--yes")
    [last, *_] = (run["run"] for run in fleet.run("history", "--format", "json").json["runs"])
    result = fleet.run("rollback", last, "--yes")
    assert result.exit_code == 3
    assert result.stderr == (
        f"error: the run {last} wrote nothing that could be undone\n"
        f"  = look at it with 'aegis-provision history {last}'\n"
    )
