"""Hosts behind one bastion share the connection to it; what becomes of them when it fails."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.providers.secret import Secret
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import LoginSecrets
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.errors import NOTHING_LISTENS, PENALIZED, THROTTLED
from aegis_provision.transport.retry import Retries, Retry, ignore_retry
from aegis_provision.transport.shared_connections import SharedConnections
from aegis_provision.transport.ssh.connect_through_jump_hosts import LoggedIn
from tests.fleet.clients import options, target_at
from tests.fleet.openssh import free_port, running_sshd
from tests.fleet.relay import going_silent, turning_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.host_session import HostSession
    from tests.fleet.openssh import Sshd

Shared = SharedConnections[LoggedIn]
_ENOUGH = 30.0
_UNHURRIED = Retries(sleep=lambda _: None)


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Iterator[Sshd]:
    """Run a bastion with OpenSSH's own MaxStartups and MaxSessions."""
    with running_sshd(
        tmp_path_factory.mktemp("bastion"),
        max_startups="10:30:100",
        settings=["MaxSessions 10"],
        authorized=[keys[kind].with_suffix(".pub") for kind in ("ed25519", "locked")],
    ) as server:
        yield server


@pytest.fixture
def conn_options(sshd: Sshd, bastion: Sshd, home: Path, keys: dict[str, Path]) -> ConnectOptions:
    config = home / "config"
    config.write_text(f"IdentityFile {keys['ed25519']}\n")
    files = (sshd.known_hosts, bastion.known_hosts)
    return options(home, *files, ssh_config=config, retries=_UNHURRIED)


def written(server: Sshd) -> str:
    return f"{server.user}@{server.address}:{server.port}"


def logins(server: Sshd) -> int:
    return server.log.read_text().count("Accepted publickey")


def opened(
    host: Target,
    conn_options: ConnectOptions,
    shared: Shared,
    tell: Callable[[Retry], object] = ignore_retry,
) -> HostSession:
    return connect(host, conn_options, Deadline.after(_ENOUGH), tell, shared=shared)


def outcome(host: Target, conn_options: ConnectOptions, shared: Shared) -> HostSession | str:
    try:
        return opened(host, conn_options, shared)
    except Unreachable as problem:
        return str(problem)


def test_many_at_once_go_over_one_connection(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions
) -> None:
    before = logins(bastion), logins(sshd)
    host = target_at(sshd, jump=(written(bastion),))
    with Shared() as shared, ThreadPoolExecutor(30) as executor:
        futures = [executor.submit(opened, host, conn_options, shared) for _ in range(30)]
        sessions = [future.result() for future in futures]
        assert all(session.alive(Deadline.after(_ENOUGH)) for session in sessions)
        for session in sessions:
            session.close()
    assert (logins(bastion), logins(sshd)) == (before[0] + 1, before[1] + 30)


def test_the_connection_ends_with_its_last_user_and_the_block(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions
) -> None:
    host = target_at(sshd, jump=(written(bastion),))
    shared = Shared()
    # What serves an earlier test's connection may take a moment to end.
    wait_until(lambda: not serving(bastion))
    with shared:
        opened(host, conn_options, shared).close()
        kept = opened(host, conn_options, shared)
        assert len(serving(bastion)) == 1
    assert kept.alive(Deadline.after(_ENOUGH))
    kept.close()
    wait_until(lambda: not serving(bastion))


def test_chains_share_what_they_have_in_common(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions
) -> None:
    before = logins(bastion), logins(sshd)
    near = target_at(sshd, jump=(written(bastion),))
    far = target_at(sshd, jump=(written(bastion), written(sshd)))
    with Shared() as shared:
        for host in (near, far, far, near):
            opened(host, conn_options, shared).close()
    # Each of the four logs in at its host; the second bastion of the chain is logged in at once.
    assert (logins(bastion), logins(sshd)) == (before[0] + 1, before[1] + 5)


def test_a_dead_bastion_is_tried_for_one_and_told_to_all(
    sshd: Sshd, conn_options: ConnectOptions
) -> None:
    port, tries = free_port(), list[Retry]()
    host = target_at(sshd, jump=(f"127.0.0.1:{port}",))

    def one(_: int) -> str:
        try:
            opened(host, conn_options, shared, tries.append).close()
        except Unreachable as problem:
            return str(problem)
        return "connected"

    with Shared() as shared, ThreadPoolExecutor(32) as executor:
        found = set(executor.map(one, range(500)))
    name = f"bastion [127.0.0.1]:{port}: connect"
    [problem] = found
    assert problem.startswith(f"{name}: nothing listens there (3 attempts within ")
    assert [retry.reason for retry in tries] == [f"{name}: nothing listens there"] * 2


def test_one_refused_login_at_the_bastion_is_enough(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions
) -> None:
    before = bastion.log.read_text().count("Invalid user")
    host = target_at(sshd, jump=(f"no-such-user@127.0.0.1:{bastion.port}",))
    with Shared() as shared, ThreadPoolExecutor(32) as executor:
        futures = [executor.submit(outcome, host, conn_options, shared) for _ in range(100)]
        [problem] = {future.result() for future in futures}
    assert f"bastion {bastion.entry}: login: the host took none of the keys" in str(problem)
    assert bastion.log.read_text().count("Invalid user no-such-user") == before + 1


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_who_lacks_the_passphrase_of_the_bastions_key_does_not_share(
    order: str, sshd: Sshd, bastion: Sshd, home: Path, keys: dict[str, Path]
) -> None:
    config = home / "config"
    config.write_text(
        f"Host gate\n HostName 127.0.0.1\n Port {bastion.port}\n User {bastion.user}\n"
        f" IdentityFile {keys['locked']}\n"
    )
    secrets = {"a": LoginSecrets(passphrase=Secret("open sesame", "${PASSPHRASE}"))}
    conn_options = options(
        home, sshd.known_hosts, bastion.known_hosts, ssh_config=config, login_secrets=secrets
    )
    with Shared() as shared:
        found = {
            name: told(outcome(target_at(sshd, host=name, jump=("gate",)), conn_options, shared))
            for name in order
        }
    assert found["a"] == "connected"
    assert found["b"].startswith(f"bastion {bastion.entry}: login: ")


def test_each_host_is_told_why_the_bastion_does_not_let_it_through(
    tmp_path: Path, sshd: Sshd, conn_options: ConnectOptions, keys: dict[str, Path]
) -> None:
    closed = free_port()
    with running_sshd(
        tmp_path / "choosy",
        settings=[f"PermitOpen 127.0.0.1:{sshd.port} 127.0.0.1:{closed} no-such-host.invalid:22"],
        authorized=[keys["ed25519"].with_suffix(".pub")],
    ) as choosy:
        conn_options = trusting(conn_options, choosy)
        jump = (written(choosy),)
        hosts = {
            "let through": target_at(sshd, jump=jump),
            "closed": target_at(sshd, jump=jump, port=closed),
            "not permitted": target_at(sshd, jump=jump, port=1),
            "unknown": target_at(sshd, jump=jump, address="no-such-host.invalid", port=22),
        }
        with Shared() as shared, ThreadPoolExecutor(24) as executor:
            futures = [
                (name, executor.submit(outcome, host, conn_options, shared))
                for _ in range(6)
                for name, host in hosts.items()
            ]
            found = {(name, told(future.result())) for name, future in futures}
    lead = f"bastion: {choosy.entry}"
    assert found == {
        ("let through", "connected"),
        (
            "closed",
            f"{lead} can't connect to 127.0.0.1 port {closed}: {NOTHING_LISTENS[0]}",
        ),
        ("not permitted", f"{lead} does not let us through to 127.0.0.1 port 1"),
        (
            "unknown",
            f"{lead} can't connect to no-such-host.invalid port 22: the name is not known",
        ),
    }


def test_a_bastion_that_may_open_no_more_files_is_named_with_its_limit(
    sshd: Sshd, keys: dict[str, Path], tmp_path: Path, conn_options: ConnectOptions
) -> None:
    authorized = [keys["ed25519"].with_suffix(".pub")]
    with running_sshd(tmp_path / "limited", authorized=authorized) as limited:
        resource.prlimit(limited.process.pid, resource.RLIMIT_NOFILE, (9, 9))
        settled = trusting(replace(conn_options, retries=_UNHURRIED), limited)
        host = target_at(sshd, jump=(written(limited),))
        with Shared() as shared:
            found = [outcome(host, settled, shared) for _ in range(12)]
            refused = {item.partition(" (")[0] for item in found if isinstance(item, str)}
            for item in found:
                told(item)
    assert len(refused) == 1
    assert refused.pop().endswith(": it has no route there, or too many files open")


def told(found: HostSession | str) -> str:
    if isinstance(found, str):
        return found.partition(" (")[0]
    found.close()
    return "connected"


def trusting(conn_options: ConnectOptions, server: Sshd) -> ConnectOptions:
    return replace(conn_options, known_hosts=(*conn_options.known_hosts, server.known_hosts))


def test_a_bastion_that_dies_is_named_and_the_next_host_gets_a_new_connection(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions
) -> None:
    before = logins(bastion)
    host = target_at(sshd, jump=(written(bastion),))
    with Shared() as shared:
        session = opened(host, conn_options, shared)
        session.read(Deadline.after(_ENOUGH))  # which came with SFTP's greeting
        for pid in serving(bastion):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unreachable) as lost:
            session.read(Deadline.after(_ENOUGH))
        again = opened(host, conn_options, shared)
        assert again.alive(Deadline.after(_ENOUGH))
        session.close()
        assert again.alive(Deadline.after(_ENOUGH))
        again.close()
    assert str(lost.value) == f"sftp: the connection to the bastion {bastion.entry} was lost"
    assert lost.value.hint
    assert logins(bastion) == before + 2


def serving(server: Sshd) -> list[int]:
    """Return the processes that serve the connections to ``server``."""
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(server.process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in done.stdout.split()]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline, nap = Deadline.after(_ENOUGH), threading.Event()
    while not holds():
        assert not deadline.expired()
        nap.wait(0.02)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"Exceeded MaxStartups\r\n", THROTTLED[0]),
        (b"Not allowed at this time\r\n", PENALIZED[0]),
        (b"", "the host closed the connection before it said anything in SSH"),
    ],
)
@pytest.mark.parametrize("way", ["host", "bastion"])
def test_a_server_that_turns_away_is_asked_again(
    words: bytes, reason: str, way: str, sshd: Sshd, conn_options: ConnectOptions, home: Path
) -> None:
    tries: list[Retry] = []
    with turning_away(sshd.port, words, times=12 if way == "bastion" else 5) as door:
        port = door.port
        conn_options = options(
            home,
            known_at(home, port, sshd),
            ssh_config=conn_options.ssh_config,
            retries=_UNHURRIED,
        )
        host = (
            target_at(sshd, port=port)
            if way == "host"
            else target_at(sshd, jump=(f"{sshd.user}@127.0.0.1:{port}",))
        )
        opened(host, conn_options, Shared(), tries.append).close()
    lead = "" if way == "host" else f"bastion [127.0.0.1]:{port}: "
    assert {retry.reason for retry in tries} == {f"{lead}handshake: {reason}"}
    assert [retry.attempt for retry in tries] == list(range(2, len(tries) + 2))


def known_at(home: Path, port: int, *servers: Sshd) -> Path:
    """Return known_hosts of ``servers``, the first of which is reached at ``port`` too."""
    first = servers[0].known_hosts.read_text()
    lines = [first.replace(f":{servers[0].port}", f":{port}")]
    path = home / "known_hosts"
    path.write_text("".join([*lines, *(server.known_hosts.read_text() for server in servers)]))
    return path


def test_a_bastion_that_goes_silent_is_given_up_for_a_new_connection(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions, home: Path
) -> None:
    tries: list[Retry] = []
    with going_silent(bastion.port) as (port, silent):
        known = known_at(home, port, bastion, sshd)
        settled = replace(conn_options, known_hosts=(known,), timeout=2.0)
        host = target_at(sshd, jump=(f"{bastion.user}@127.0.0.1:{port}",))
        with Shared() as shared:
            opened(host, settled, shared).close()
            silent.set()
            opened(host, settled, shared, tries.append).close()
    lost = f"bastion: the connection to the bastion [127.0.0.1]:{port} was lost"
    assert tries[0].reason == lost


def test_one_that_goes_silent_in_mid_work_is_named_to_all_behind_it(
    sshd: Sshd, bastion: Sshd, conn_options: ConnectOptions, home: Path
) -> None:
    with going_silent(bastion.port) as (port, silent):
        known = known_at(home, port, bastion, sshd)
        settled = replace(conn_options, known_hosts=(known,), timeout=1.0)
        host = target_at(sshd, jump=(f"{bastion.user}@127.0.0.1:{port}",))
        with Shared() as shared:
            sessions = [opened(host, settled, shared) for _ in range(3)]
            for session in sessions:
                session.read(Deadline.after(_ENOUGH))  # which came with SFTP's greeting
            silent.set()

            def read(session: HostSession) -> str:
                with pytest.raises(Unreachable) as lost:
                    session.read(Deadline.after(_ENOUGH))
                return str(lost.value)

            def run(session: HostSession) -> str:
                with pytest.raises(Unreachable) as lost:
                    session.run("sleep 60", Deadline.after(1))
                return str(lost.value)

            with ThreadPoolExecutor(3) as executor:
                told = list(executor.map(lambda at: (read, read, run)[at](sessions[at]), range(3)))
            for session in sessions:
                session.close()
    words = f"the connection to the bastion [127.0.0.1]:{port} was lost"
    assert {item.partition(": ")[2] for item in told} == {words}


def test_the_real_sshd_takes_us_once_it_has_fewer_connections(
    tmp_path: Path, conn_options: ConnectOptions
) -> None:
    tries: list[Retry] = []
    with (
        ExitStack() as held,
        running_sshd(tmp_path / "busy", max_startups="1:100:1") as busy,
    ):
        wait_until(lambda: not serving(busy))
        held.enter_context(socket.create_connection((busy.address, busy.port)))
        wait_until(lambda: len(serving(busy)) == 1)

        def leave(_: float) -> None:
            held.close()
            wait_until(lambda: not serving(busy))

        settled = trusting(options(conn_options.home, retries=Retries(sleep=leave)), busy)
        opened(target_at(busy), settled, Shared(), tries.append).close()
    assert len(tries) == 1
    assert tries[0].reason in {
        f"handshake: {THROTTLED[0]}",
        "handshake: the host closed the connection before it said anything in SSH",
    }
