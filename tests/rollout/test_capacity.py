"""Forks, kept connections and files within the limit of the process: nothing is lost by it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.errors import ShortageError, shortage_of
from aegis_provision.planning.plan import Action
from aegis_provision.rollout.capacity import FILES_A_HOST, capacity_of
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import ConnectRetried
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.rollout.planner import plan_fleet
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.retry import Retries
from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops
from tests.fleet.openssh import running_sshd
from tests.fleet.proxy_command import RELAY
from tests.transport.test_open_files import limited_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fleet.jobs import Hosts

_HOSTS, _SOFT, _HARD = 40, 30, 45


@given(st.integers(1, 10_000), st.integers(0, 100_000))
def test_what_is_open_at_once_stays_within_the_limit(wanted: int, files: int) -> None:
    found = capacity_of(wanted, files)
    assert 1 <= found.forks <= wanted
    assert found.kept >= 0
    if files > 2 * FILES_A_HOST + 20:
        assert found.forks * FILES_A_HOST + found.kept < files
    more = capacity_of(wanted, files + 1)
    assert (more.forks, more.forks * FILES_A_HOST + more.kept) >= (
        found.forks,
        found.forks * FILES_A_HOST + found.kept,
    )


def test_kept_connections_need_no_threads(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of(*(f"host-{number}" for number in range(24)))
    before, most = threading.active_count(), 0

    def emit(_: object) -> None:
        nonlocal most
        most = max(most, threading.active_count())

    kept = ConnectionPool(100)
    with host_worker(hosts.jobs, hosts.connection, kept) as worker:
        plan_fleet(hosts.jobs, worker, emit)
        assert most <= before + hosts.connection.forks + 1
        assert threading.active_count() <= before + 1
        deadline = Deadline.after(60)
        found = [kept.take(name, deadline) for name in hosts.by_name]
        sessions = [session for session in found if session is not None]
        assert len(sessions) == len(hosts.by_name)
        assert all(session.alive(deadline) for session in sessions)
        for session in sessions:
            session.close()


def test_a_pool_counts_the_files_of_its_connections(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("a", "b", "c")
    deadline = Deadline.after(60)
    with ConnectionPool(100, files=2) as kept:
        sessions = [hosts.connection.open(job.host, deadline, hosts.emit) for job in hosts.jobs]
        assert [kept.offer(str(number), session) for number, session in enumerate(sessions)] == [
            True,
            True,
            False,
        ]
        taken = kept.take("0", deadline)
        assert taken is not None
        assert kept.offer("2", sessions[2])
        taken.close()


def test_hosts_wait_for_files_that_others_have_and_are_all_read(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of(*(f"host-{number}" for number in range(12)))
    options = replace(hosts.connection.options, retries=Retries())
    connection = replace(hosts.connection, forks=8, options=options)
    with host_worker(hosts.jobs[:1], connection, ConnectionPool(0)) as worker:
        plan_fleet(hosts.jobs[:1], worker, hosts.emit)  # what is loaded late is loaded then
    with limited_to(7), host_worker(hosts.jobs, connection, ConnectionPool(0)) as worker:
        plans = plan_fleet(hosts.jobs, worker, hosts.emit)
    assert {(plan.action, plan.message) for plan in plans} == {(Action.CREATE, "")}


@pytest.mark.parametrize(
    ("files", "step"), [(0, "ssh config"), (0, "connect"), (1, "host key"), (1, "login")]
)
def test_what_is_short_here_is_tried_again_until_it_is_there(
    files: int, step: str, hosts_of: Callable[..., Hosts]
) -> None:
    hosts = hosts_of("a")
    options = replace(
        hosts.connection.options,
        retries=Retries(sleep=lambda _: None),
        agent_socket=str(hosts.root / "no-agent"),
    )
    # What it reads once is read then; not the agent, nor a key that it has not seen.
    hosts.connection.open(hosts.jobs[0].host, Deadline.after(60), hosts.emit).close()
    if step in {"ssh config", "host key"}:
        revoked, config = hosts.root / "revoked", hosts.root / "ssh_config"
        revoked.touch()
        config.write_text(f"RevokedHostKeys {revoked}\n")
        options = replace(options, ssh_config=config)
    if step == "host key":
        resolve_hops(hosts.jobs[0].host.target, options)
    connection = replace(hosts.connection, options=options)
    reasons: list[str] = []
    with ExitStack() as limited:

        def emit(event: object) -> None:
            if isinstance(event, ConnectRetried):
                reasons.append(event.reason)
                limited.close()

        limited.enter_context(limited_to(files))
        connection.open(hosts.jobs[0].host, Deadline.after(60), emit).close()
    assert reasons == [f"{step}: too many files are open here"]


def test_what_stays_short_here_is_told_of_this_machine_and_not_of_a_host(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a")
    hosts.connection.open(hosts.jobs[0].host, Deadline.after(60), hosts.emit).close()
    with limited_to(0), hosts.worker() as worker, pytest.raises(ShortageError) as short:
        plan_fleet(hosts.jobs, worker, hosts.emit)
    assert shortage_of(short.value) == "too many files are open here"


@pytest.mark.slow
def test_many_hosts_with_few_files(tmp_path: Path) -> None:
    """What does not fit waits; no host is told unreachable, and programs get their own limit."""
    said = tmp_path / "limits"
    (tmp_path / "relay.py").write_text(RELAY)
    with running_sshd(tmp_path / "sshd") as sshd:
        common = {
            "provider": "glm",
            "port": sshd.port,
            "user": sshd.user,
            "identity_file": str(sshd.client_key),
        }
        entries = {}
        for number in range(_HOSTS):
            file = tmp_path / "hosts" / str(number) / "aegis.config.json"
            file.parent.mkdir(parents=True)
            entries[f"host-{number}"] = {"config_path": str(file), "address": f"relay{number % 8}"}
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"all": {"vars": common, "hosts": entries}}))
        config = tmp_path / "config"
        relay = f"sh -c 'ulimit -S -n >>{said}; exec {sys.executable} {tmp_path}/relay.py %h %p'"
        config.write_text(
            f"Match exec 'ulimit -S -n >>{said}'\n"
            f"Host relay0\n ProxyCommand {relay}\n"
            f"Host relay*\n HostName 127.0.0.1\n HostKeyAlias {sshd.entry}\n"
        )
        done = subprocess.run(
            [
                *("/bin/sh", "-c", f'ulimit -S -n {_SOFT}; ulimit -H -n {_HARD}; exec "$@"', "sh"),
                *(sys.executable, "-m", "aegis_provision", "apply", "--yes", "-i", inventory),
                *("--forks", "200", "--ssh-config", config, "--known-hosts", sshd.known_hosts),
            ],
            env={
                "HOME": str(tmp_path),
                "PATH": "/usr/bin:/bin",
                "SHELL": "/bin/sh",
                "GLM_API_KEY": "not-a-real-token",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hosts at once, not 200: this process may have 45 files open" in done.stderr
    assert len(list(tmp_path.glob("hosts/*/aegis.config.json"))) == _HOSTS
    assert set(said.read_text().split()) == {str(_SOFT)}
