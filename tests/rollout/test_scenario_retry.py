"""``apply --retry``: the hosts of a run that did not end well, by the playbook of that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.hosts import Fleet

PLAYBOOK = """\
- name: Everybody
  hosts: all
  serial: 1
  restart: changed
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_hosts(tmp_path, ["a", "b", "c"]) as fleet:
        yield fleet


def _fail_at_b(fleet: Fleet) -> None:
    fleet["b"].misbehave("restart_fails", times=1)
    result = fleet.run("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
    assert result.statuses == {"a": "applied", "b": "failed", "c": "not_attempted"}


def test_those_that_are_left_are_taken_up_by_the_same_playbook(fleet: Fleet) -> None:
    _fail_at_b(fleet)
    result = fleet.run("apply", "--retry", "last", "--yes", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert result.statuses == {"b": "applied", "c": "applied"}
    assert [host.starts for host in fleet] == [2, 2, 2]
    again = fleet.run("apply", "--retry", "last", "--yes")
    assert again.exit_code == 0
    assert "is left to be taken up again" in again.stderr


def test_a_playbook_that_has_changed_since_is_reported(fleet: Fleet) -> None:
    _fail_at_b(fleet)
    fleet.playbook(PLAYBOOK.replace("Everybody", "All"))
    result = fleet.run("apply", "--retry", "last", "--check")
    assert "is not what it was in" in result.stderr


def test_another_playbook_may_be_named(fleet: Fleet) -> None:
    _fail_at_b(fleet)
    other = fleet.playbook("- {hosts: all, max_fail: 100%}\n", "other.yml")
    result = fleet.run("apply", other, "--retry", "last", "--yes", "--format", "json")
    assert result.statuses == {"b": "unchanged", "c": "restart_pending"}
