"""The same write on every SFTP server there is to test with."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncssh
import pytest

from aegis_provision.demo.servers import ServedHost, Servers
from aegis_provision.errors import WriteRefused
from aegis_provision.planning.plan import restoring_write
from aegis_provision.transport.atomic_write import atomic_write
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from tests.fleet.openssh import make_key, running_sshd
from tests.fleet.sftp_wire import find_sftp_server
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    OWNER,
    age_lock,
    leftovers,
    mode_of,
    plan_write,
    put,
    target,
    write_over,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.inventory.host import Target


@dataclass(frozen=True, slots=True)
class _Server:
    """A server: what a client calls ``there.config_path`` lies at ``place`` on this machine."""

    there: Target
    options: ConnectOptions
    place: Path


@pytest.fixture(params=["internal-sftp", "sftp-server", "asyncssh"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Server]:
    """Yield each server in turn."""
    (tmp_path / "home").mkdir(mode=0o755)
    if request.param == "asyncssh":
        with _asyncssh(tmp_path) as found:
            yield found
        return
    subsystem = find_sftp_server() if request.param == "sftp-server" else request.param
    with running_sshd(tmp_path / "sshd", subsystem=subsystem) as sshd:
        place = tmp_path / "home" / "aegis.config.json"
        there = _over_ssh(str(place), sshd.port, sshd.user, sshd.client_key)
        yield _Server(there, _options(tmp_path, sshd.known_hosts), place)


@contextmanager
def _asyncssh(directory: Path) -> Iterator[_Server]:
    login = make_key(directory / "login")
    key = asyncssh.generate_private_key("ssh-ed25519")
    served = ServedHost("host", directory, key)
    with Servers([served], asyncssh.read_private_key(login)) as servers:
        port = servers.ports["host"]
        known_hosts = directory / "known_hosts"
        public = key.export_public_key().decode("ascii")
        known_hosts.write_text(f"[127.0.0.1]:{port} {public}")
        there = _over_ssh("/home/aegis.config.json", port, "anna", login)
        yield _Server(
            there, _options(directory, known_hosts), directory / "home" / "aegis.config.json"
        )


def _over_ssh(path: str, port: int, user: str, key: Path) -> Target:
    return replace(target(path), connection="ssh", port=port, user=user, identity_file=str(key))


def _options(home: Path, known_hosts: Path) -> ConnectOptions:
    return ConnectOptions(15.0, None, (known_hosts,), False, None, home, "anna")


def test_a_file_is_made_replaced_and_kept(server: _Server) -> None:
    deadline = Deadline.after(60)
    with connect(server.there, server.options, deadline) as session:
        first = session.read(deadline)
        assert (first.file, first.problem) == (None, None)
        write_over(session, plan_write(first, OLD), deadline)
        assert (server.place.read_bytes(), mode_of(server.place)) == (OLD, 0o600)
        second = session.read(deadline)
        write_over(session, plan_write(second, NEW), deadline)
        assert session.alive(deadline)
    assert server.place.read_bytes() == NEW
    own = server.place.parent / DATA_DIR
    assert mode_of(own) == 0o700
    assert leftovers(server.place.parent) == {"previous"}
    assert ((own / "previous").read_bytes(), mode_of(own / "previous")) == (OLD, 0o600)


def test_a_dead_runs_lock_is_broken_and_a_living_ones_is_not(server: _Server) -> None:
    own = server.place.parent / DATA_DIR
    own.mkdir(mode=0o700)
    (own / "lock").write_bytes(b"{}")
    deadline = Deadline.after(60)
    with connect(server.there, server.options, deadline) as session:
        write = plan_write(session.read(deadline))
        with pytest.raises(WriteRefused, match="another run is writing here"):
            write_over(session, write, deadline)
        age_lock(server.place.parent)
        write_over(session, write, deadline)
    assert server.place.read_bytes() == NEW


def test_a_file_that_came_or_changed_since_is_refused(server: _Server) -> None:
    deadline = Deadline.after(60)
    with connect(server.there, server.options, deadline) as session:
        none = plan_write(session.read(deadline))
        put(server.place)
        with pytest.raises(WriteRefused, match="a file has come"):
            write_over(session, none, deadline)
        over = plan_write(session.read(deadline))
        put(server.place, b"{}")
        with pytest.raises(WriteRefused, match="the file changed"):
            write_over(session, over, deadline)
        server.place.unlink()
        with pytest.raises(WriteRefused, match="the file is gone"):
            write_over(session, over, deadline)
    assert leftovers(server.place.parent) == set()


def test_a_lock_outlives_its_write_and_the_connection(server: _Server) -> None:
    put(server.place, OLD)
    deadline = Deadline.after(60)
    with connect(server.there, server.options, deadline) as session:
        write = plan_write(session.read(deadline))
        lock = session.lock(write, OWNER, deadline)
        atomic_write(lock, write, deadline)
        lock.renew(deadline)
    assert leftovers(server.place.parent) == {"lock", "previous"}
    with connect(server.there, server.options, deadline) as session:
        with pytest.raises(WriteRefused, match=f"held by {OWNER}"):
            session.lock(restoring_write(write), OWNER, deadline)
        again = session.lock(restoring_write(write), OWNER, deadline, previous=lock)
        assert again.directory.files is not lock.directory.files
        atomic_write(again, restoring_write(write), deadline)
        again.renew(deadline)
        assert again.release(deadline) == ()
    assert server.place.read_bytes() == OLD
    assert leftovers(server.place.parent) == {"previous"}


def test_a_renewed_lock_is_young(server: _Server) -> None:
    deadline = Deadline.after(60)
    lock_file = server.place.parent / DATA_DIR / "lock"
    with connect(server.there, server.options, deadline) as session:
        lock = session.lock(plan_write(session.read(deadline)), OWNER, deadline)
        os.utime(lock_file, (1_000_000_000, 1_000_000_000))
        lock.renew(deadline)
        assert 0 <= lock_file.stat().st_mtime - 1_000_000_000 < 30, "by the host's own clock"
        assert lock.release(deadline) == ()
    assert not lock_file.parent.exists()
