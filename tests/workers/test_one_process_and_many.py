"""A run with worker processes is that of one process: its document, exit code, files and record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.hosts import Fleet, running_hosts
from tests.rollout.fleet_reset import reset

if TYPE_CHECKING:
    from pathlib import Path

PLAY = """\
- name: Canary
  hosts: host-01
  restart: changed
  verify: {health: true, timeout: 10s}
- name: Rest
  hosts: all:!host-01
  serial: [2, 100%]
  max_fail: 2
  restart: changed
  verify: {health: true, timeout: 2s}
  on_failure: rollback
"""
OF_THE_MOMENT = frozenset({"run", "time", "at", "started", "ended", "seconds", "duration"})


def _lasting(found: Any) -> Any:
    """Return a document without what differs from run to run."""
    if isinstance(found, dict):
        return {key: _lasting(item) for key, item in found.items() if key not in OF_THE_MOMENT}
    return [_lasting(item) for item in found] if isinstance(found, list) else found


def _outcome(fleet: Fleet, *arguments: str) -> tuple[object, ...]:
    reset(fleet)
    fleet["host-02"].misbehave("restart_fails", times=1)
    fleet["host-03"].write_config(b"{")
    fleet["host-04"].misbehave("silent", times=1)
    said: list[object] = []
    for command in (["apply", "playbook.yml", "--yes"], ["rollback", "--yes"]):
        result = fleet.run(*command, "--format", "json", *arguments)
        files = {host.name: host.config_path.read_bytes() for host in fleet}
        loaded = {host.name: host.loaded_env() for host in fleet}
        hosts = sorted(_lasting(result.json)["hosts"], key=lambda item: str(item["host"]))
        past = _lasting(fleet.run("history", "last", "--format", "json").json)
        said += [result.exit_code, result.statuses, hosts, files, loaded, past]
    return tuple(said)


@pytest.mark.slow
def test_workers_do_what_one_process_does(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 5, stop_timeout=1) as fleet:
        fleet.playbook(PLAY)
        one = _outcome(fleet)
        many = _outcome(fleet, "--workers", "3")
    assert many == one
    assert one[0] == 4
    assert one[1] == {
        "host-01": "applied",
        "host-02": "rolled_back",
        "host-03": "refused",
        "host-04": "rolled_back",
        "host-05": "applied",
    }
