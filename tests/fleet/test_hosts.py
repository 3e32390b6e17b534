"""The fleet for tests is up quickly, is one that the program takes, and leaves nothing running."""

from __future__ import annotations

import http.client
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.api_responses import Health, parse_health, start_is_older
from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, FleetHost, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    groups = {"canary": ["host-01"], "rest": ["host-02", "host-03"]}
    with running_hosts(tmp_path_factory.mktemp("fleet"), 3, groups=groups) as fleet:
        yield fleet


def over_ssh(fleet: Fleet, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a login to a host would."""
    return subprocess.run(
        [
            "ssh",
            "-F",
            "none",
            "-o",
            f"UserKnownHostsFile={fleet.sshd.known_hosts}",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            str(fleet.sshd.client_key),
            "-p",
            str(fleet.sshd.port),
            f"{fleet.sshd.user}@{fleet.sshd.address}",
            command,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_applied_is_loaded_at_the_restart(fleet: Fleet) -> None:
    said = fleet.run("apply", "--yes", "--format", "json", "--limit", "rest")
    assert said.exit_code == 0, said.stderr
    assert said.statuses == {"host-02": "restart_pending", "host-03": "restart_pending"}
    host = fleet["host-02"]
    assert host.session_env()["ANTHROPIC_AUTH_TOKEN"] == TOKEN
    assert host.loaded_env() == OLD_ENV
    host.restart()
    assert host.loaded_env() == host.session_env()
    assert fleet["host-01"].session_env() == OLD_ENV


@pytest.mark.parametrize("how", ["restart_command", "systemctl"])
def test_a_host_is_restarted_over_ssh(fleet: Fleet, how: str) -> None:
    host = fleet["host-01"]
    old = host.pid()
    command = host.restart_command if how == "restart_command" else "systemctl restart host-01"
    done = over_ssh(fleet, command)
    assert done.returncode == 0, done.stderr
    assert host.pid() not in {None, old}


def test_systemctl_knows_no_other_unit(fleet: Fleet) -> None:
    done = over_ssh(fleet, "systemctl restart aegis")
    assert (done.returncode, done.stderr) == (
        5,
        "Failed to restart aegis.service: Unit aegis.service not found.\n",
    )


def test_a_connection_is_cut_in_the_middle_of_a_restart(fleet: Fleet) -> None:
    host = fleet["host-03"]
    host.misbehave("hangs_up", times=1)
    assert over_ssh(fleet, host.restart_command).returncode == 255
    assert host.pid() is None
    assert over_ssh(fleet, host.restart_command).returncode == 0
    assert host.pid() is not None


def test_every_host_has_been_running_for_an_hour(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 1) as fleet:
        [host] = fleet
        health = health_of(host)
        assert start_is_older(health, host.config_path.stat().st_mtime) is False
        assert start_is_older(health, time.time()) is True
        host.restart()
        assert start_is_older(health_of(host), time.time() - 60) is False


def test_no_host_outlives_the_tests(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 1) as fleet, subprocess.Popen(["sleep", "60"]) as owner:
        [host] = fleet
        host.place.settle({**host.place.settings, "owner": owner.pid})
        owner.kill()
        owner.wait()
        until = time.monotonic() + 20
        while host.pid() is not None:
            assert time.monotonic() < until
            time.sleep(0.05)


def health_of(host: FleetHost) -> Health:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)
    try:
        authorization = {"Authorization": f"Bearer {host.api_token}"}
        connection.request("GET", "/v1/health", headers=authorization)
        answer = connection.getresponse()
        health = parse_health(answer.status, answer.read())
    finally:
        connection.close()
    assert health is not None
    return health


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 2) as fleet:
        hosts = list(fleet)
        hosts[0].misbehave("ignores_term")
        assert None not in pids(hosts)
    assert pids(hosts) == [None, None]
    assert hosts[0].restart(wait=False).returncode == 1
    assert pids(hosts) == [None, None]


def test_ten_hosts_are_up_soon(tmp_path: Path) -> None:
    before = time.monotonic()
    with running_hosts(tmp_path, 10) as fleet:
        # About one second on an idle machine: this bound is for a busy one.
        assert time.monotonic() - before < 15
        assert len(set(pids(list(fleet)))) == 10


def pids(hosts: list[FleetHost]) -> list[int | None]:
    return [host.pid() for host in hosts]
