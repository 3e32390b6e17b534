"""A file that this tool wrote and that is gone: an error, until ``--recreate`` or ``rollback``."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW_URL = "http://127.0.0.1:9/v1"
PLAYBOOK = "- {hosts: all, restart: changed, verify: {health: true}}\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_hosts(tmp_path, 2) as fleet:
        result = fleet.run("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
        assert result.exit_code == 0, result.stderr
        yield fleet


def test_it_is_refused_and_both_ways_out_are_named(fleet: Fleet) -> None:
    gone = fleet["host-01"]
    gone.config_path.unlink()
    result = fleet.run("apply", "--yes", "--format", "json")
    assert (result.exit_code, result.statuses["host-01"]) == (4, "refused")
    assert not gone.config_path.exists()
    shown = fleet.run("plan")
    assert shown.exit_code == 4
    assert "the file is gone: 2" in shown.stdout
    assert "'rollback 2" in shown.stdout
    assert "'apply --recreate' writes a new one" in shown.stdout


def test_it_is_written_anew_with_the_other_keys_of_the_earlier_file(fleet: Fleet) -> None:
    gone = fleet["host-01"]
    before = gone.config()
    gone.config_path.unlink()
    shown = fleet.run("apply", "--check", "--recreate", "--format", "json")
    assert shown.statuses == {"host-01": "create", "host-02": "unchanged"}
    result = fleet.run("apply", "--yes", "--recreate", fleet.playbook(PLAYBOOK), "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert result.statuses == {"host-01": "applied", "host-02": "unchanged"}
    assert "its other keys are those from before 2" in result.stderr
    assert gone.config() == before
    assert stat.S_IMODE(gone.config_path.stat().st_mode) == 0o600
    assert gone.loaded_provider() == NEW_URL
    for token in (TOKEN, OLD_ENV["ANTHROPIC_AUTH_TOKEN"], before["authToken"]):
        assert token not in result.stdout + result.stderr
    states = fleet.run("status", "--format", "json").json["hosts"]
    assert [entry["state"] for entry in states] == [["in_sync"], ["in_sync"]]


@pytest.mark.parametrize("kept", [None, b"{", b"\xef\xbb\xbf{}"])
def test_without_an_earlier_file_the_open_api_is_warned_of(
    fleet: Fleet, kept: bytes | None
) -> None:
    gone = fleet["host-01"]
    gone.config_path.unlink()
    previous = gone.config_path.parent / ".aegis-provision" / "previous"
    previous.unlink() if kept is None else previous.write_bytes(kept)
    result = fleet.run("apply", "--yes", "--recreate", "--format", "json")
    assert result.statuses["host-01"] in {"applied", "restart_pending"}
    assert "the file is written with the session variables alone" in result.stderr
    assert "its API answers without one" in result.stderr
    assert set(gone.config()) == {"defaultSessionEnv"}


def test_a_file_that_is_there_is_not_touched(fleet: Fleet) -> None:
    result = fleet.run("apply", "--yes", "--recreate", "--format", "json")
    assert set(result.statuses.values()) == {"unchanged"}


def test_where_no_receipt_lies_a_new_file_is_a_first_one(fleet: Fleet) -> None:
    gone = fleet["host-01"]
    gone.config_path.unlink()
    (gone.config_path.parent / ".aegis-provision" / "receipt.json").unlink()
    result = fleet.run("plan", "--format", "json")
    assert result.statuses["host-01"] == "create"
