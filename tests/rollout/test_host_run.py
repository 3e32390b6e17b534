"""Carrying a play out: one that fails keeps its old file, and the others go on."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.planning.digests import DigestKey
from aegis_provision.planning.plan import Action, HostPlan
from aegis_provision.playbook.plays import (
    Gates,
    OnFailure,
    Restart,
    Schedule,
    ScheduledPlay,
    Sessions,
    Verify,
)
from aegis_provision.playbook.schedule import single_play
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.redaction import Redactor
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import FileChange, HostFinished, WriteBegun
from aegis_provision.rollout.host_job import HostTask, RunContext
from aegis_provision.rollout.host_run import run_host
from aegis_provision.rollout.host_work import Calls, RunTerms
from aegis_provision.rollout.planner import PlanReader, plan_fleet
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.run_schedule import run_schedule
from aegis_provision.rollout.thread_pool import CancelToken
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.lock import LockOwner
from tests.fleet.provider_server import running_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.providers.session_variables import Session
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_worker import HostWorker
    from tests.fleet.jobs import Hosts
    from tests.fleet.openssh import Sshd
    from tests.fleet.provider_server import Provider

DEADLINE = 3.0
NOBODY_LISTENS = 1
RUN = "20261125T101500Z-0a1b2c"
OLD = '{"authToken": "x", "port": 9100}'


DIGEST = DigestKey.of(b"key")
READER = PlanReader()


def _plan(hosts: Hosts, worker: HostWorker) -> tuple[HostPlan, ...]:
    return plan_fleet(hosts.jobs, worker, hosts.emit)


def _whole_plan(hosts: Hosts, job: HostJob, pool: ConnectionPool) -> HostPlan:
    """Return what the worker of ``job`` keeps; the connection goes to ``pool``."""
    deadline = Deadline.after(60.0)
    session = hosts.connection.open(job.host, deadline, hosts.emit)
    plan = READER.read(job, session, deadline)
    assert pool.offer(job.host.name, session)
    return plan


def _record_nothing(host: str, change: FileChange) -> WriteBegun:
    return WriteBegun(host, change)


def _context(hosts: Hosts, pool: ConnectionPool) -> RunContext:
    return RunContext(
        hosts.connection,
        pool,
        _record_nothing,
        hosts.emit,
        CancelToken(),
        RUN,
        LockOwner("anna@desk"),
        DIGEST,
    )


def _write(
    hosts: Hosts,
    plans: Sequence[HostPlan],
    worker: HostWorker,
    cancel: CancelToken | None = None,
) -> tuple[HostResult, ...]:
    names = tuple(plan.host for plan in plans)
    (play,) = single_play().plays
    return run_schedule(
        Schedule((ScheduledPlay(play, (names,)),)),
        {work.host.name: work for work in hosts.jobs},
        {plan.host: plan for plan in plans},
        worker,
        Calls(hosts.emit, _record_nothing, cancel or CancelToken()),
        RunTerms(RUN, LockOwner("anna@desk"), DIGEST),
        reader_of=lambda _: READER,
    ).results


def test_every_host_ends_as_it_should_and_a_second_time_nothing_is_written(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("new", "-gone", "old", "broken", "moved", "locked", "loose")
    for name in ("old", "moved", "locked", "loose"):
        hosts.file_of(name).write_text(OLD)
        hosts.file_of(name).chmod(0o600)
    hosts.file_of("broken").write_text("{")
    own = hosts.file_of("locked").parent / ".aegis-provision"
    own.mkdir(mode=0o700)
    (own / "lock").write_text('{"owner": "bert@desk", "since": "now"}')
    with hosts.worker(keep=3) as pool:
        plans = _plan(hosts, pool)
        hosts.file_of("moved").write_text("{}")
        results = _write(hosts, plans, pool)
    assert [(result.host, result.status) for result in results] == [
        ("new", Status.RESTART_PENDING),
        ("gone", Status.UNREACHABLE),
        ("old", Status.RESTART_PENDING),
        ("broken", Status.REFUSED),
        ("moved", Status.REFUSED),
        ("locked", Status.REFUSED),
        ("loose", Status.RESTART_PENDING),
    ]
    assert "changed since the plan saw it" in results[4].message
    assert "bert@desk" in results[5].message
    assert hosts.file_of("moved").read_text() == "{}"
    assert hosts.file_of("locked").read_text() == OLD
    finished = [event.result.host for event in hosts.events if isinstance(event, HostFinished)]
    assert sorted(finished) == sorted(result.host for result in results)

    before = {name: hosts.file_of(name).stat() for name in ("new", "old")}
    with hosts.worker(keep=3) as pool:
        again = {plan.host: plan for plan in _plan(hosts, pool)}
        assert {again[name].action for name in ("new", "old", "loose")} == {Action.UNCHANGED}
        results = _write(hosts, [again[name] for name in ("new", "old")], pool)
    assert {result.status for result in results} == {Status.UNCHANGED}
    assert {name: hosts.file_of(name).stat() for name in before} == before


def test_a_host_whose_connection_was_not_kept_is_connected_to_again(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a")
    with hosts.worker() as pool:
        (result,) = _write(hosts, _plan(hosts, pool), pool)
    assert result.status is Status.RESTART_PENDING
    assert hosts.file_of("a").exists()


def _cut_connections(sshd: Sshd) -> None:
    """Kill the processes of a server that serve connections."""
    children = Path(f"/proc/{sshd.process.pid}/task/{sshd.process.pid}/children").read_text()
    for pid in children.split():
        os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize("probe_first", [False, True], ids=["written at once", "probed first"])
def test_a_kept_connection_that_died_meanwhile_is_made_anew(
    probe_first: bool, hosts_of: Callable[..., Hosts], sshd: Sshd
) -> None:
    hosts = hosts_of("a")
    gates = Gates(probe_first=probe_first)
    with running_provider() as provider, ConnectionPool(1) as pool:
        plan = _whole_plan(hosts, hosts.jobs[0], pool)
        _cut_connections(sshd)
        work = replace(hosts.jobs[0], session=_asking(provider, hosts.jobs[0].session))
        result = run_host(HostTask(work, plan, gates), _context(hosts, pool), Redactor())
        assert bool(provider.asked) is probe_first
    assert result.status is Status.RESTART_PENDING, result
    assert hosts.file_of("a").exists()


def _asking(provider: Provider, session: Session) -> Session:
    """Return ``session`` with another provider to ask."""
    values = {"base_url": provider.base_url(), "model": "big", "fast_model": "small"}
    changed = {VARIABLE_OF[key]: value for key, value in values.items()}
    return replace(session, values={**session.values, **changed})


_RESTART = """[ -e {here}/failed ] && {{ kill -9 $PPID; exec sleep 60; }}
touch {here}/failed; exit 1
"""


def test_a_connection_lost_after_the_restore_is_reported_as_that(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a")
    hosts.file_of("a").write_text(OLD)
    work = hosts.jobs[0]
    command = _RESTART.format(here=hosts.root)
    service = replace(work.host.service, command=command)
    work = replace(work, host=replace(work.host, service=service))
    gates = Gates(Restart.CHANGED, on_failure=OnFailure.ROLLBACK, sessions=Sessions.IGNORE)
    with ConnectionPool(1) as pool:
        plan = _whole_plan(hosts, hosts.jobs[0], pool)
        result = run_host(HostTask(work, plan, gates), _context(hosts, pool), Redactor())
    assert hosts.file_of("a").read_text() == OLD
    assert result.status is Status.ROLLBACK_FAILED
    assert result.message == (
        "restart: the command ended with status 1 (it says nothing); "
        "going back failed: the file is back, but restart: the connection was lost"
    )


def test_a_mode_alone_needs_no_restart(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("a")
    hosts.file_of("a").write_text(OLD)
    with hosts.worker(keep=1) as pool:
        _write(hosts, _plan(hosts, pool), pool)
        hosts.file_of("a").chmod(0o644)
        (result,) = _write(hosts, _plan(hosts, pool), pool)
    assert result.status is Status.APPLIED
    assert hosts.file_of("a").stat().st_mode & 0o777 == 0o640


def test_once_asked_to_stop_nothing_is_begun(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("a", "b")
    cancel = CancelToken()
    cancel.cancel()
    with hosts.worker(keep=2) as pool:
        results = _write(hosts, _plan(hosts, pool), pool, cancel)
    assert {result.status for result in results} == {Status.NOT_ATTEMPTED}
    assert not any(path.name == "aegis.config.json" for path in hosts.root.rglob("*"))


def test_what_is_written_is_what_was_planned_and_the_rest_stays(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a")
    hosts.file_of("a").write_text('{"authToken": "x", "z": 1.10, "a": {"n": 1e400}}')
    with hosts.worker(keep=1) as pool:
        _write(hosts, _plan(hosts, pool), pool)
    text = hosts.file_of("a").read_text()
    assert '"z": 1.10' in text
    assert '"n": 1e400' in text
    assert list(json.loads(text)) == ["authToken", "z", "a", "defaultSessionEnv"]
    assert json.loads(text)["defaultSessionEnv"]["ANTHROPIC_AUTH_TOKEN"] == "token-of-the-fleet"


def test_the_lock_is_renewed_in_a_wait_that_is_longer_than_the_deadline(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a")
    [work] = hosts.jobs
    service = replace(work.host.service, api=f"127.0.0.1:{NOBODY_LISTENS}")
    work = replace(work, host=replace(work.host, service=service))
    connection = replace(hosts.connection, deadline=DEADLINE)
    gates = Gates(verify=Verify(health=True, timeout=2 * DEADLINE))
    lock = hosts.file_of("a").parent / ".aegis-provision" / "lock"
    with ConnectionPool(1) as pool, ThreadPoolExecutor() as executor:
        plan = _whole_plan(hosts, work, pool)
        context = replace(_context(hosts, pool), connection=connection, renew_every=0.2)
        end = executor.submit(run_host, HostTask(work, plan, gates), context, Redactor())
        times = set()
        while not end.done():
            with suppress(FileNotFoundError):
                times.add(lock.stat().st_mtime)
            time.sleep(0.01)
    assert end.result().status is Status.FAILED
    assert max(times) - min(times) > DEADLINE
    assert not lock.exists()
