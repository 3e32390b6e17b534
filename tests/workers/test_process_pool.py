"""Worker processes: what they do is what one process does, and what they die of is told."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import RefusedError
from aegis_provision.planning.plan import Action, changes_sessions
from aegis_provision.playbook.plays import Gates, OnFailure, Restart, Sessions
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.events import (
    ConnectRetried,
    KeysAccepted,
    PlayStarted,
    Step,
    StepStarted,
    WriteBegun,
)
from aegis_provision.rollout.host_work import Calls, ReadHost
from aegis_provision.rollout.host_worker import HostWorker
from aegis_provision.rollout.inspection import check_fleet
from aegis_provision.rollout.planner import plan_fleet
from aegis_provision.rollout.redact_remote_text import run_secrets
from aegis_provision.rollout.results import Status
from aegis_provision.workers.process_pool import WorkerProcesses, worker_environ
from aegis_provision.workers.remote_executor import RemoteExecutor, WorkerBugError
from aegis_provision.workers.remote_host_worker import HostOrder, Route
from tests.fleet.jobs import TOKEN
from tests.workers.runs import (
    DIGEST,
    OLD,
    READER,
    THEIRS,
    Recorded,
    apply_plans,
    check_kill_law,
    make_old,
    play_of,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from aegis_provision.rollout.events import Event
    from tests.fleet.jobs import Hosts

pytestmark = pytest.mark.slow

_HIGH = 500


@contextmanager
def _processes(hosts: Hosts, count: int = 2) -> Iterator[tuple[RemoteExecutor, WorkerProcesses]]:
    known = run_secrets(hosts.jobs, hosts.connection.secrets)
    workers = WorkerProcesses(hosts.connection, count, keep=100, known=known, digest=DIGEST)
    with RemoteExecutor(hosts.connection, workers) as executor:
        yield executor, workers


class _SwitchInterval(Exception):
    """Becomes an ``OSError`` where threads that wait let others go on, a ``KeyError`` elsewhere."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("(KeyError, OSError)[__import__('sys').getswitchinterval() > 0.01]()",)


@pytest.fixture
def known_hosts(tmp_path: Path) -> Iterator[Path]:
    """A file that this process alone can find: under that path a worker has none."""
    with (tmp_path / "known_hosts").open("wb") as stream:
        descriptor = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        yield Path(f"/proc/self/fd/{descriptor}")
        os.close(descriptor)


def test_they_do_what_one_process_does_and_hold_nothing_in_sight(
    hosts_of: Callable[..., Hosts], known_hosts: Path
) -> None:
    hosts = hosts_of("new", "-gone", "old", "broken", "moved")
    make_old(hosts, "old", "moved")
    hosts.file_of("broken").write_text("{")
    asked = hosts.root / "asked"
    ssh_config = hosts.root / "ssh_config"
    ssh_config.write_text(f'Match exec "echo $PPID >>{asked}"\nServerAliveInterval 60\n')
    options = replace(
        hosts.connection.options,
        known_hosts=(known_hosts,),
        ssh_config=ssh_config,
        accept_new=True,
        environ={**os.environ, "A_TOKEN": "token-of-the-environment"},
    )
    hosts.connection = replace(hosts.connection, options=options)
    with HostWorker(hosts.connection, ConnectionPool(0), (), DIGEST) as one:
        statuses = check_fleet(hosts.jobs, one, hosts.emit)
        expected = plan_fleet(hosts.jobs, one, hosts.emit)
    known_hosts.write_text("")
    hosts.events.clear()
    with _processes(hosts) as (processes, workers):
        assert check_fleet(hosts.jobs, processes, hosts.emit) == statuses
        [accepted] = [event for event in hosts.events if isinstance(event, KeysAccepted)]
        assert known_hosts.read_text().count("\n") == len(accepted.keys) == 1
        plans = plan_fleet(hosts.jobs, processes, hosts.emit)
        assert plans == expected
        assert [plan.digests for plan in plans] == [plan.digests for plan in expected]
        for secret in (TOKEN, THEIRS, "token-of-the-environment"):
            assert secret.encode() not in pickle.dumps((plans, statuses, hosts.events))
            for pid in workers.pids:
                seen = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
                assert not any(secret.encode() in data for data in seen)
        hosts.file_of("moved").write_text("{}")
        recorded = Recorded(hosts)
        results = apply_plans(processes, plans, recorded).results
        again = plan_fleet(hosts.jobs, processes, hosts.emit)
        nowhere = HostOrder(ReadHost(hosts.jobs[0], READER), Route(problem=_SwitchInterval()))
        worker = workers.take("new", None, alone=False)
        assert worker is not None
        with pytest.raises(WorkerBugError, match="OSError"):
            worker.call(nowhere, Calls(hosts.emit, recorded.before_write))
        workers.give_back(worker)
    assert {result.host: result.status for result in results} == {
        "new": Status.RESTART_PENDING,
        "gone": Status.UNREACHABLE,
        "old": Status.RESTART_PENDING,
        "broken": Status.REFUSED,
        "moved": Status.REFUSED,
    }
    assert set(asked.read_text().split()) == {str(os.getpid())}
    assert recorded.old["old"], "the record comes before the write"
    actions = {plan.host: plan.action for plan in again}
    assert actions["new"] is actions["old"] is Action.UNCHANGED
    assert not any(changes_sessions(plan) for plan in again if plan.host != "moved")


def test_a_budget_is_exact_and_a_plan_made_elsewhere_is_made_again(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a", "b", "c", "d")
    make_old(hosts, *"abcd")
    hosts.connection = replace(hosts.connection, forks=1)
    with HostWorker(hosts.connection, ConnectionPool(0), (), DIGEST) as one:
        plans = plan_fleet(hosts.jobs, one, hosts.emit)
    hosts.file_of("b").write_text("{}")
    with _processes(hosts) as (processes, _):
        result = apply_plans(processes, plans, Recorded(hosts), max_fail=0)
    assert [item.status for item in result.results] == [
        Status.RESTART_PENDING,
        Status.REFUSED,
        Status.NOT_ATTEMPTED,
        Status.NOT_ATTEMPTED,
    ]
    assert "the file changed since the plan saw it" in result.results[1].message
    assert result.budget_spent


def test_a_host_whose_reader_dies_each_time_is_unreachable_and_the_others_are_not(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a", "b")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        _processes(hosts, 1) as (processes, workers),
    ):
        [first, second] = hosts.jobs
        target = replace(first.host.target, port=silent.getsockname()[1])
        deadly = replace(first, host=replace(first.host, target=target))
        hosts.jobs = (deadly, second)
        silent.settimeout(60)
        connections = []

        def kill() -> None:
            for _ in range(3):
                connections.append(silent.accept()[0])
                for pid in workers.pids:
                    os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        hosts.connection = replace(hosts.connection, forks=1)
        plans = plan_fleet(hosts.jobs, processes, hosts.emit)
        thread.join()
        for connection in connections:
            connection.close()
    assert [plan.action for plan in plans] == [Action.UNREACHABLE, Action.CREATE]
    assert plans[0].message == "worker: the worker process was killed by signal 9, 3 times over"
    retried = [item for item in hosts.events if isinstance(item, ConnectRetried)]
    assert {(item.attempt, item.reason) for item in retried if item.host == "a"} == {
        (2, "the worker process was killed by signal 9"),
        (3, "the worker process was killed by signal 9"),
    }


def test_where_a_write_had_begun_the_result_says_which_file_is_there(
    hosts_of: Callable[..., Hosts],
) -> None:
    """One dies before its write, one in its restart; the third knows nothing of that."""
    hosts = hosts_of("a", "b", "c")
    make_old(hosts, *"abc")
    hosts.connection = replace(hosts.connection, forks=1)
    hosts.jobs = tuple(
        replace(job, host=replace(job.host, service=replace(job.host.service, command=command)))
        for job, command in zip(hosts.jobs, ("true", "exec sleep 600", "true"), strict=True)
    )
    gates = Gates(Restart.CHANGED, sessions=Sessions.IGNORE)
    with _processes(hosts, 1) as (processes, workers):

        def kill(event: Event) -> None:
            match event:
                case WriteBegun(host="a") | StepStarted(host="b", step=Step.RESTART):
                    [pid] = workers.pids
                    os.kill(pid, signal.SIGKILL)

        plans = plan_fleet(hosts.jobs, processes, hosts.emit)
        a, b, c = apply_plans(
            processes, plans, Recorded(hosts, kill), play_of(*"abc", gates=gates)
        ).results
    died = "the worker process was killed by signal 9 while it was worked on"
    assert a.status is b.status is Status.FAILED
    assert a.message == f"{died}; its file is the old one"
    assert hosts.file_of("a").read_text() == OLD
    assert b.message == (
        f"{died}; its file is the new one, and whether Aegis was restarted is not known"
    )
    assert hosts.file_of("b").read_text() == hosts.file_of("c").read_text() != OLD
    assert c.status is Status.APPLIED
    assert c.warnings == ()


def test_work_that_the_end_of_the_run_breaks_off_is_not_said_to_be_a_dead_workers(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of("a", "b")
    make_old(hosts, *"ab")
    hosts.connection = replace(hosts.connection, forks=1)
    with _processes(hosts, 1) as (processes, _):

        def end(event: Event) -> None:
            if isinstance(event, WriteBegun):
                processes.__exit__()

        plans = plan_fleet(hosts.jobs, processes, hosts.emit)
        a, b = apply_plans(processes, plans, Recorded(hosts, end)).results
    both = "it has either the old file or the new one"
    assert a.message == f"the run was ended while it was worked on; {both}"
    assert b.message == "the run was ended; nothing was written there"
    assert b.hint == "begin again to go on with it"
    assert hosts.file_of("b").read_text() == OLD


def test_killed_at_any_moment_every_file_is_old_or_new_and_every_status_true(
    hosts_of: Callable[..., Hosts],
) -> None:
    hosts = hosts_of(*(f"h{number}" for number in range(8)))
    files = [hosts.file_of(job.host.name) for job in hosts.jobs]
    locks = [file.parent / ".aegis-provision" / "lock" for file in files]
    with _processes(hosts, 2) as (processes, workers):

        def kill(chance: random.Random) -> None:
            """Kill one, best just when it has locked a host and has not said yet that it writes."""
            give_up = time.monotonic() + 0.2
            while not any(lock.exists() for lock in locks) and time.monotonic() < give_up:
                pass
            if workers.pids:
                os.kill(chance.choice(workers.pids), signal.SIGKILL)

        check_kill_law(processes, hosts, kill, rounds=4, surely_dead=True)


def test_a_host_that_a_dead_worker_wrote_goes_on_where_no_restore_is_asked_for(
    hosts_of: Callable[..., Hosts],
) -> None:
    """It dies between two plays, and later again: before plays that restart a host."""
    hosts = hosts_of("a", "b", "c")
    make_old(hosts, *"abc")
    command = f"echo >>{hosts.root / 'restarted'}"
    hosts.jobs = tuple(
        replace(job, host=replace(job.host, service=replace(job.host.service, command=command)))
        for job in hosts.jobs
    )
    restart = Gates(Restart.ALWAYS, sessions=Sessions.IGNORE)
    plays = (
        play_of(*"abc"),
        play_of("a", gates=restart),
        play_of("b", gates=replace(restart, on_failure=OnFailure.ROLLBACK)),
        play_of("c", gates=restart),
    )
    with _processes(hosts, 1) as (processes, workers):

        def kill(event: Event) -> None:
            if isinstance(event, PlayStarted) and event.play:
                [pid] = workers.pids
                os.kill(pid, signal.SIGKILL)
                if event.play == 3:
                    hosts.file_of("c").write_text(OLD)

        plans = plan_fleet(hosts.jobs, processes, hosts.emit)
        a, b, c = apply_plans(processes, plans, Recorded(hosts, kill), *plays).results
    assert (a.status, b.status, c.status) == (Status.APPLIED, Status.FAILED, Status.FAILED)
    assert "is gone, and with it what a restore would need; nothing further" in b.message
    assert "is gone, and the file changed since; nothing further" in c.message
    assert (hosts.root / "restarted").read_text() == "\n"


def test_workers_that_cannot_be_started_are_told_before_all_else(
    hosts_of: Callable[..., Hosts],
) -> None:
    environ = {"LANG": "x" * 1024 * 1024}  # longer than execve(2) takes
    _refused(hosts_of("a"), environ, "can be started: Argument list too long")


def test_workers_that_end_before_they_can_work_are_told_before_all_else(
    hosts_of: Callable[..., Hosts], tmp_path: Path
) -> None:
    (tmp_path / "libc.so.6").write_text("no library")
    environ = {"LD_LIBRARY_PATH": str(tmp_path)}
    _refused(hosts_of("a"), environ, "can be started: the worker process ended with status 127")


def _refused(hosts: Hosts, environ: dict[str, str], told: str) -> None:
    options = replace(hosts.connection.options, environ={**os.environ, **environ})
    hosts.connection = replace(hosts.connection, options=options)
    with (
        pytest.raises(RefusedError, match=told) as refused,
        _processes(hosts),
    ):
        pass
    assert "fewer --workers need less" in refused.value.hint


def test_a_workers_environment_holds_what_an_interpreter_needs() -> None:
    environ = {"PATH": "/bin", "GLM_API_KEY": "x", "SSH_AUTH_SOCK": "/s", "HOME": "/root"}
    found = worker_environ({**environ, "SSL_CERT_FILE": "/our/own.pem"})
    assert set(found) == {"PATH", "SSL_CERT_FILE", "PYTHONPATH", "PYTHONSAFEPATH"}


def test_a_worker_that_can_tell_nothing_any_more_ends() -> None:
    """Else the operator's process would wait for it for ever."""
    code = (
        "import threading\n"
        "from aegis_provision.workers.process_worker import WorkThreads\n"
        "def work():\n"
        "    raise MemoryError\n"
        "WorkThreads().run(work)\n"
        "threading.Event().wait(30)\n"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, b""), "not for want of a name"
