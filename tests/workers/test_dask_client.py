"""A Dask cluster does what one process does; no secret is on it but in the worker it was for."""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dask import config

from aegis_provision.errors import RefusedError
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.planning.plan import Action
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import KeysAccepted, WriteBegun
from aegis_provision.rollout.host_worker import HostWorker
from aegis_provision.rollout.inspection import check_fleet
from aegis_provision.rollout.planner import plan_fleet
from aegis_provision.rollout.redact_remote_text import run_secrets
from aegis_provision.rollout.results import Status
from aegis_provision.workers.dask_client import DaskWorkers
from aegis_provision.workers.portable_route import OWN_AGENT
from aegis_provision.workers.remote_executor import RemoteExecutor
from tests.fleet.certificates import make_authority
from tests.fleet.dask_cluster import memory_holds, running_dask
from tests.fleet.hosts import OLD_ENV, running_hosts
from tests.fleet.hosts import TOKEN as TOKEN_OF_FLEET
from tests.fleet.jobs import TOKEN
from tests.fleet.operator import HOST_FILE
from tests.workers.runs import DIGEST, THEIRS, Recorded, apply_plans, check_kill_law, make_old

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from aegis_provision.rollout.events import Event
    from tests.fleet.dask_cluster import DaskCluster
    from tests.fleet.jobs import Hosts
    from tests.fleet.operator import Operator

pytestmark = pytest.mark.slow

EU = ("--resources", "site-eu=1")
PLAYBOOK = """\
- hosts: all
  restart: changed
  sessions: wait
  on_failure: rollback
  verify: {health: true, timeout: 5s}
"""
_LONGEST = 200


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster that speaks TLS."""
    root = tmp_path_factory.mktemp("dask")
    authority = make_authority(root.with_name("authority"))
    with running_dask(root, [EU, (), ()], authority) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Let a test fail that does not end: what it waits for is in other processes."""

    def end(*_: object) -> None:
        raise AssertionError(f"no end within {_LONGEST} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_LONGEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _contents(root: Path) -> Iterator[bytes]:
    """Return what the files below ``root`` hold, while others come and go."""
    for directory, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):  # gone by now, or a socket
                yield Path(directory, name).read_bytes()


@contextmanager
def _dask(cluster: DaskCluster, hosts: Hosts, **sites: str) -> Iterator[RemoteExecutor]:
    options = replace(hosts.connection.options, agent_socket=OWN_AGENT)
    connection = replace(hosts.connection, options=options)
    workers = DaskWorkers(cluster.address, connection, sites, keep=100, digest=DIGEST)
    with RemoteExecutor(connection, workers) as executor:
        yield executor


def test_it_does_what_one_process_does_and_no_secret_is_on_the_way(
    hosts_of: Callable[..., Hosts], cluster: DaskCluster
) -> None:
    hosts = hosts_of("new", "-gone", "old", "broken", "moved")
    make_old(hosts, "old", "moved")
    hosts.file_of("broken").write_text("{")
    known_hosts = hosts.root / "known_hosts"
    environ = {**os.environ, "A_TOKEN": "token-of-the-environment"}
    options = replace(
        hosts.connection.options, known_hosts=(known_hosts,), accept_new=True, environ=environ
    )
    hosts.connection = replace(hosts.connection, options=options)
    with HostWorker(
        hosts.connection, ConnectionPool(0), run_secrets(hosts.jobs, ()), DIGEST
    ) as one:
        statuses = check_fleet(hosts.jobs, one, hosts.emit)
        expected = plan_fleet(hosts.jobs, one, hosts.emit)
    known_hosts.unlink()
    hosts.events.clear()
    canaries = (TOKEN, THEIRS, "token-of-the-environment", DIGEST.key.reveal())
    seen: list[bytes] = []
    pages: dict[str, bytes] = {}
    with _dask(cluster, hosts, old="eu", new="eu") as dask:
        assert check_fleet(hosts.jobs, dask, hosts.emit) == statuses
        accepted = [event for event in hosts.events if isinstance(event, KeysAccepted)]
        assert known_hosts.read_text().count("\n") == 1
        assert {key for event in accepted for key in event.keys}
        plans = plan_fleet(hosts.jobs, dask, hosts.emit)
        assert plans == expected
        hosts.file_of("moved").write_text("{}")

        def look(event: Event) -> None:
            if isinstance(event, WriteBegun):
                seen.extend(_contents(cluster.root))
                pages.update(cluster.pages())

        recorded = Recorded(hosts, look)
        with cluster.spilled() as spilled:
            results = apply_plans(dask, plans, recorded).results
            again = plan_fleet(hosts.jobs, dask, hosts.emit)
        wanted = [item.encode() for item in canaries]
        assert memory_holds(cluster.scheduler.pid, *wanted, cluster.address.encode()) == [
            cluster.address.encode()
        ]
        assert any(memory_holds(pid, TOKEN.encode()) for pid in cluster.pids)
    assert {result.host: result.status for result in results} == {
        "new": Status.RESTART_PENDING,
        "gone": Status.UNREACHABLE,
        "old": Status.RESTART_PENDING,
        "broken": Status.REFUSED,
        "moved": Status.REFUSED,
    }
    assert recorded.old["old"], "the record comes before the write"
    actions = {plan.host: plan.action for plan in again}
    assert actions["new"] is actions["old"] is Action.UNCHANGED
    seen.extend(_contents(cluster.root))
    seen.append(pickle.dumps((plans, statuses, results, hosts.events)))
    assert len(seen) > 10
    assert spilled, "what workers keep is put onto their disks"
    assert any(b"aegis-provision-" in page for page in pages.values())
    seen.extend((*spilled, *pages.values()))
    for item in wanted:
        assert not any(item in data for data in seen)


def test_a_site_without_a_worker_and_a_scheduler_that_is_not_there_are_told(
    hosts_of: Callable[..., Hosts], cluster: DaskCluster
) -> None:
    hosts = hosts_of("a", "b", "c")
    local = replace(hosts.jobs[2].host.target, connection="local")
    hosts.jobs = (
        *hosts.jobs[:2],
        replace(hosts.jobs[2], host=replace(hosts.jobs[2].host, target=local)),
    )
    with _dask(cluster, hosts, b="mars") as dask:
        plans = plan_fleet(hosts.jobs, dask, hosts.emit)
    assert [plan.action for plan in plans] == [
        Action.CREATE, Action.UNREACHABLE, Action.UNREACHABLE
    ]  # fmt: skip
    assert plans[1].message == (
        "worker: no Dask worker has the resource site-mars, which 'site: mars' asks for"
    )
    assert "'connection: local' is the machine that the tool runs on" in plans[2].message
    with (
        config.set({"distributed.comm.tls.ca-file": None}),
        pytest.raises(RefusedError, match="can't be spoken to: no certificates are configured"),
        _dask(cluster, hosts),
    ):
        pass


def test_workers_that_do_not_fit_are_named(
    hosts_of: Callable[..., Hosts], cluster: DaskCluster, tmp_path: Path
) -> None:
    unfit = []
    for name, line in {
        "other": "import aegis_provision.version as v; v.__version__ = '0.0.1'",
        "none": "import sys; sys.modules['aegis_provision'] = None",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "sitecustomize.py").write_text(f"{line}\n")
        path = f"{tmp_path / name}:{cluster.environ['PYTHONPATH']}"
        unfit.append(cluster.start_worker(PYTHONPATH=path))
    cluster.wait_for(5)
    with pytest.raises(RefusedError) as refused, _dask(cluster, hosts_of("a")):
        pass
    for worker in unfit:
        worker.kill()
    assert "2 Dask workers can't work with this process" in str(refused.value)
    assert sorted(line.partition(": ")[2] for line in refused.value.reasons) == [
        "aegis-provision 0.0.1 there, 0.1.0 here",
        "aegis-provision can't be loaded there",
    ]
    cluster.wait_for_at_most(3)


def test_commands_restart_verify_wait_for_sessions_and_roll_back(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    with running_hosts(tmp_path / "fleet", 3, common={"site": "eu"}) as fleet:
        fleet.environ["AEGIS_PROVISION_EXECUTOR"] = "dask"
        fleet.environ["AEGIS_PROVISION_SCHEDULER"] = cluster.address
        before = {host.name: host.config() for host in fleet}
        fleet["host-01"].misbehave("sessions", (1, 1.0))
        fleet["host-03"].misbehave("late", 600, times=1)
        playbook = fleet.playbook(PLAYBOOK)
        done = fleet.call("apply", playbook, "--yes", "--format", "json")
        assert done.statuses == {
            "host-01": "applied", "host-02": "applied", "host-03": "rolled_back"
        }, done.stderr  # fmt: skip
        stands = fleet.call("status", "--format", "json")
        back = fleet.call("rollback", "--yes", "--format", "json")
        assert back.statuses == {"host-02": "rolled_back", "host-01": "rolled_back"}, back.stderr
        assert {host.name: host.config() for host in fleet} == before
        shown = [done, stands, back]
        tokens = {TOKEN_OF_FLEET, OLD_ENV["ANTHROPIC_AUTH_TOKEN"]}
        tokens.update(host.api_token for host in fleet)
    seen = [text.encode() for result in shown for text in (result.stdout, result.stderr)]
    seen.extend(_contents(cluster.root))
    for token in tokens:
        assert not any(token.encode() in data for data in (*seen, *cluster.pages().values()))


def test_killed_at_any_moment_every_file_is_old_or_new_and_every_status_true(
    hosts_of: Callable[..., Hosts], cluster: DaskCluster
) -> None:
    hosts = hosts_of(*(f"h{number}" for number in range(6)))
    eu = [cluster.workers[0]]

    def kill(chance: random.Random) -> None:
        pid = chance.choice(cluster.pids)
        at_site = pid == eu[-1].pid
        os.kill(pid, signal.SIGKILL)
        started = cluster.start_worker(*(EU if at_site else ()))
        if at_site:
            eu.append(started)

    with _dask(cluster, hosts, h0="eu") as dask:
        check_kill_law(dask, hosts, kill, rounds=4, surely_dead=False)
    for path in cluster.root.glob("*.log"):
        assert TOKEN not in path.read_text()
        assert THEIRS not in path.read_text()


def test_a_scheduler_that_goes_away_is_told_and_the_command_ends(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It goes while the first host is restarted; it had no TLS, which is right on loopback."""
    with running_dask(tmp_path_factory.mktemp("plain"), [()]) as plain:
        operator.inventory(
            "a", "b", "c", more=f"restart_command: kill -9 {plain.scheduler.pid}; exec sleep 60"
        )
        (operator.work / "playbook.yml").write_text(
            "- {hosts: all, restart: changed, sessions: ignore}\n"
        )
        flags = ("--executor", "dask", "--scheduler", plain.address)
        result = operator.run("apply", "playbook.yml", "--yes", "--forks", "1", *flags)
    assert result.code == ExitCode.HOST_FAILED, result.err
    text = " ".join((result.out + result.err).split())
    assert "the connection to the Dask scheduler broke while it was worked on" in text
    assert "whether Aegis was restarted is not known" in text
    assert not {"Traceback", "tornado", "distributed."} & {*text.split(), *text.split(" - ")}
    assert operator.file_of("b").read_text() == operator.file_of("c").read_text() == HOST_FILE
