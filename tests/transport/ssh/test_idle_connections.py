"""Connections that wait to be used again: they stay, and one that ends does no harm."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from aegis_provision.rollout import connection_pool
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.ssh.commands import SshServices
from aegis_provision.transport.ssh.idle_connections import IdleConnection
from aegis_provision.transport.ssh.paramiko_internals import Connection
from tests.fleet import stalling
from tests.fleet.clients import logged_in, options, target_at
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.openssh import Sshd

_ENOUGH = 30.0


class _AsksForLife(stalling.Login):
    """Hangs up on a client that leaves two questions for a sign of life without an answer."""

    lost = threading.Event()

    def auth_completed(self) -> None:
        assert self.connection is not None
        self.connection.set_keepalive(interval=0.3, count_max=2)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set()


def test_a_host_that_asks_for_a_sign_of_life_gets_one(sshd: Sshd, home: Path) -> None:
    _AsksForLife.lost = threading.Event()
    with stalling.serving(_AsksForLife, sshd, home) as port:
        conn_options = options(home, home / "known_hosts")
        ours, theirs = socket.socketpair()
        with logged_in(target_at(sshd, port=port), conn_options) as connection, ours, theirs:
            idle = IdleConnection(connection)
            idle.rest()
            silent = Connection(ours)
            silent.active, silent.keepalive_interval = True, 0.1
            silent.clear_to_send.set()
            other = IdleConnection(silent)
            other.rest()
            theirs.settimeout(_ENOUGH)
            assert theirs.recv(1), "one that is silent gives it, though others never are"
            other.wake()
            assert not _AsksForLife.lost.is_set()
            idle.wake()
            assert _AsksForLife.lost.wait(_ENOUGH)  # no thread answers now
            assert connection.ends()
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
                idle.rest()


def test_kept_connections_outlive_the_wait_and_dead_ones_are_found(
    sshd: Sshd, home: Path, tmp_path: Path
) -> None:
    deadline = Deadline.after(60)
    with running_sshd(tmp_path / "bastion") as bastion, ConnectionPool(100, files=1) as kept:
        conn_options = options(home, sshd.known_hosts, bastion.known_hosts)
        through = target_at(sshd, jump=(f"{bastion.user}@{bastion.address}:{bastion.port}",))
        config = home / "config"
        config.write_text(f"IdentityFile {bastion.client_key}\n")
        sessions = {
            "direct": connect(target_at(sshd), conn_options, deadline),
        }
        for number in range(3):
            sessions[f"behind-{number}"] = connect(
                through,
                options(home, sshd.known_hosts, bastion.known_hosts, ssh_config=config),
                deadline,
            )
        for name, session in sessions.items():
            assert kept.offer(name, session)
        for name in ("direct", "behind-0"):
            taken = kept.take(name, deadline)
            assert taken is not None
            assert taken.alive(deadline)
            assert kept.offer(name, taken)
        lost = kept.take("behind-1", deadline)
        assert lost is not None
        bastion.process.terminate()
        bastion.process.wait(_ENOUGH)
        lost.close()


def test_a_kept_connection_that_the_host_closed_is_not_used_for_the_write(
    sshd: Sshd, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_FRESH", 0.0)  # each is tried before it is used
    deadline = Deadline.after(60)
    with ConnectionPool(1, files=2) as kept:
        with stalling.serving(stalling.Login, sshd, home, sftp_factory=True) as port:
            conn_options = options(home, home / "known_hosts")
            first, second = (
                connect(target_at(sshd, port=port), conn_options, deadline) for _ in range(2)
            )
            assert (kept.offer("a", first), kept.offer("b", second)) == (True, False)
            assert kept.take("a", deadline) is first
            assert kept.offer("a", first)
        assert kept.take("a", deadline) is None
        # What can't rest any more is not kept, and takes no room.
        second.alive(deadline)
        assert [kept.offer("b", second) for _ in range(3)] == [False] * 3
        second.close()
        other = connect(target_at(sshd), options(home, sshd.known_hosts), deadline)
        assert kept.offer("c", other)


def test_keys_are_exchanged_anew_while_a_command_talks(home: Path, tmp_path: Path) -> None:
    """The server begins it whenever it likes, in the middle of what it sends."""
    with running_sshd(tmp_path / "sshd", settings=["RekeyLimit 64K"]) as sshd:
        conn_options = options(home, sshd.known_hosts)
        with logged_in(target_at(sshd), conn_options) as connection:
            services = SshServices(connection, conn_options, sshd.user)
            done = services.run("head -c 400000 /dev/zero", Deadline.after(60))
            assert (done.status, len(done.output)) == (0, 400_000)
            idle = IdleConnection(connection)
            idle.rest()
            idle.wake()
            assert services.run("echo still there", Deadline.after(60)).output == b"still there\n"
