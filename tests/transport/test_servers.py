"""The contract of a session, on every SSH server that there is to test with.

The same tests run on all of them. A row says what a server lacks: what needs that is refused by
name, before anything is written.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from aegis_provision.aegis.remote_state import ReadProblem
from aegis_provision.demo.servers import ServedHost, Servers
from aegis_provision.errors import Unreachable, WriteRefused
from aegis_provision.planning.host_plan import NO_RENAME
from aegis_provision.planning.plan import restoring_write
from aegis_provision.transport.atomic_write import atomic_write
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
from tests.fleet import clients, sockets
from tests.fleet.dropbear import SFTP_SERVER, running_dropbear
from tests.fleet.needs import missing
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
    import socket
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.host_session import HostSession

_NO_RC_FILES = "SetEnv HOME=/"


@dataclass(frozen=True, slots=True)
class Row:
    """A server, and what it has: a setting of sshd, its subsystem; what is lacking on it.

    ``renames`` says that it can replace a file, ``commands`` that it runs ours, ``forwards`` that
    it connects to ports, ``tells_login`` that the login's uid is known.
    """

    kind: str = "openssh"
    settings: tuple[str, ...] = ()
    subsystem: str = "internal-sftp"
    renames: bool = True
    commands: bool = True
    forwards: bool = True
    tells_login: bool = True
    root: bool = False


ROWS: Mapping[str, Row] = {
    "OpenSSH, sftp-server": Row(subsystem="SERVER"),
    "OpenSSH, internal-sftp": Row(),
    "OpenSSH, ForceCommand internal-sftp": Row(
        settings=("ForceCommand internal-sftp",), commands=False
    ),
    "OpenSSH, ForceCommand sftp-server": Row(settings=("ForceCommand SERVER",), commands=False),
    "OpenSSH, in a chroot": Row(
        "chroot", ("ForceCommand internal-sftp",), commands=False, root=True
    ),
    "OpenSSH, MaxSessions 1": Row(settings=("MaxSessions 1",)),
    "OpenSSH, MaxSessions 1, no forwarding": Row(
        settings=("MaxSessions 1", "AllowTcpForwarding no")
    ),
    "without fsync": Row(subsystem="SERVER -P fsync"),
    "without limits": Row(subsystem="SERVER -P limits"),
    "without posix-rename": Row(subsystem="SERVER -P posix-rename", renames=False),
    "without any extension": Row(
        subsystem="SERVER -P posix-rename,fsync,limits,lsetstat,statvfs,hardlink,expand-path",
        renames=False,
    ),
    "asyncssh": Row("asyncssh", commands=False, forwards=False, tells_login=False),
    "dropbear": Row("dropbear", root=True),
}


@dataclass(frozen=True, slots=True)
class Served:
    """A server: the directory that clients call ``path`` is ``place`` on this machine."""

    row: Row
    there: Target
    options: ConnectOptions
    path: str
    place: Path

    def target(self, name: str) -> Target:
        """Return a target in a new directory called ``name``, the login's own."""
        directory = self.place / name
        directory.mkdir(mode=0o755)
        owner = self.place.stat()
        os.chown(directory, owner.st_uid, owner.st_gid)
        return replace(self.there, config_path=f"{self.path}/{name}/aegis.config.json")

    def connect(self, host: Target, deadline: Deadline) -> HostSession:
        return connect(host, self.options, deadline)


@pytest.fixture(scope="module", params=ROWS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Yield each server in turn."""
    row = ROWS[request.param]
    if row.root and os.geteuid() != 0:
        missing("needs root, for a chroot or another user")
    directory = tmp_path_factory.mktemp("server")
    started = {"asyncssh": _asyncssh, "dropbear": _dropbear}.get(row.kind, _openssh)
    with started(row, directory) as found:
        yield found


@contextmanager
def _openssh(row: Row, directory: Path) -> Iterator[Served]:
    settings = [item.replace("SERVER", find_sftp_server()) for item in row.settings]
    subsystem = row.subsystem.replace("SERVER", find_sftp_server())
    # sshd wants all directories down to a chroot to be root's alone, as /tmp is not.
    root = tempfile.mkdtemp(prefix="aegis-provision-test-", dir="/run") if row.root else ""
    try:
        place = Path(root or directory) / "home"
        place.mkdir(mode=0o755)
        if root:
            Path(root).chmod(0o755)
            settings.append(f"ChrootDirectory {root}")
        with running_sshd(
            directory / "sshd", subsystem=subsystem, settings=[_NO_RC_FILES, *settings]
        ) as sshd:
            path = "/home" if root else str(place)
            there = _over_ssh(path, sshd.port, sshd.user, sshd.client_key)
            yield Served(row, there, _options(directory, sshd.known_hosts), path, place)
    finally:
        if root:
            shutil.rmtree(root)


@contextmanager
def _asyncssh(row: Row, directory: Path) -> Iterator[Served]:
    login = make_key(directory / "login")
    key = asyncssh.generate_private_key("ssh-ed25519")
    (directory / "home").mkdir(mode=0o755)
    with Servers([ServedHost("host", directory, key)], asyncssh.read_private_key(login)) as servers:
        port = servers.ports["host"]
        known_hosts = directory / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode('ascii')}")
        there = _over_ssh("/home", port, "anna", login)
        yield Served(row, there, _options(directory, known_hosts), "/home", directory / "home")


@contextmanager
def _dropbear(row: Row, directory: Path) -> Iterator[Served]:
    if not SFTP_SERVER.exists():
        missing(f"there is no {SFTP_SERVER} on this machine: install openssh-sftp-server")
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as public:
        Path(public).chmod(0o755)
        home = Path(public) / "home"
        with running_dropbear(directory, home) as server:
            there = _over_ssh(str(home), server.port, server.user, server.client_key)
            yield Served(row, there, _options(directory, server.known_hosts), str(home), home)


def _over_ssh(path: str, port: int, user: str, key: Path) -> Target:
    return replace(target(path), connection="ssh", port=port, user=user, identity_file=str(key))


def _options(home: Path, known_hosts: Path) -> ConnectOptions:
    return ConnectOptions(15.0, None, (known_hosts,), False, None, home, "anna")


def _contents(directory: Path) -> Sequence[tuple[str, bytes]]:
    return sorted(
        (str(item.relative_to(directory)), item.read_bytes() if item.is_file() else b"")
        for item in directory.rglob("*")
    )


def test_a_file_is_made_replaced_kept_and_removed_or_nothing_is_written(served: Served) -> None:
    host, deadline = served.target("file"), Deadline.after(60)
    place = served.place / "file" / "aegis.config.json"
    own = place.parent / DATA_DIR
    with served.connect(host, deadline) as session:
        first = session.read(deadline)
        assert (first.file, first.problem, first.can_rename) == (None, None, served.row.renames)
        if not served.row.renames:
            for content in (None, OLD):
                if content is not None:
                    put(place, content)
                before = _contents(place.parent)
                with pytest.raises(WriteRefused) as caught:
                    session.lock(plan_write(session.read(deadline)), OWNER, deadline)
                assert (caught.value.reason, caught.value.hint) == NO_RENAME
                assert _contents(place.parent) == before
            return
        write_over(session, plan_write(first, OLD), deadline)
        assert (place.read_bytes(), mode_of(place)) == (OLD, 0o600)
        with pytest.raises(WriteRefused, match="a file has come"):
            write_over(session, plan_write(first, NEW), deadline)
        place.chmod(0o640)
        second = session.read(deadline)
        write_over(session, plan_write(second, NEW), deadline)
        assert (place.read_bytes(), mode_of(place), mode_of(own)) == (NEW, 0o640, 0o700)
        owner, parent = place.stat(), place.parent.stat()
        assert (owner.st_uid, owner.st_gid) == (parent.st_uid, parent.st_gid)
        assert leftovers(place.parent) == {"previous"}
        assert ((own / "previous").read_bytes(), mode_of(own / "previous")) == (OLD, 0o600)
        assert session.previous(host.config_path, deadline) == OLD
        with pytest.raises(WriteRefused, match="the file changed"):
            write_over(session, plan_write(second, OLD), deadline)
        write = plan_write(session.read(deadline))
        write_over(session, replace(write, content=None), deadline)
        assert not place.exists()
        with pytest.raises(WriteRefused, match="the file is gone"):
            write_over(session, plan_write(second, OLD), deadline)
        assert session.alive(deadline)
    assert leftovers(place.parent) == {"previous"}


def test_locks(served: Served) -> None:
    if not served.row.renames:
        return  # refused before a lock: see above
    host, deadline = served.target("locks"), Deadline.after(60)
    place = served.place / "locks" / "aegis.config.json"
    own = place.parent / DATA_DIR
    user = served.place.stat()
    own.mkdir(mode=0o700)
    (own / "lock").write_bytes(b"{}")
    put(place, OLD)
    for item in (own, own / "lock", place):
        os.chown(item, user.st_uid, user.st_gid)
    with served.connect(host, deadline) as session:
        write = plan_write(session.read(deadline))
        with pytest.raises(WriteRefused, match="another run is writing here"):
            session.lock(write, OWNER, deadline)
        age_lock(place.parent)
        lock = session.lock(write, OWNER, deadline)
        lock.confirm()
        os.utime(own / "lock", (1_000_000_000, 1_000_000_000))
        lock.renew(deadline)
        age = (own / "lock").stat().st_mtime - 1_000_000_000
        assert 0 <= age < 30, "by the host's own clock"
        atomic_write(lock, write, deadline)
    assert leftovers(place.parent) == {"lock", "previous"}
    os.utime(own / "lock")
    with served.connect(host, deadline) as session:
        with pytest.raises(WriteRefused, match=f"held by {OWNER.name}"):
            session.lock(restoring_write(write), OWNER, deadline)
        again = session.lock(restoring_write(write), OWNER, deadline, previous=lock)
        assert again.directory.files is not lock.directory.files
        atomic_write(again, restoring_write(write), deadline)
        assert again.release(deadline) == ()
    assert place.read_bytes() == OLD
    assert leftovers(place.parent) == {"previous"}


def test_commands_requests_and_what_can_not_be_read(served: Served) -> None:
    host, deadline = served.target("rest"), Deadline.after(60)
    place = served.place / "rest" / "aegis.config.json"
    with served.connect(host, deadline) as session:
        login = session.login(deadline)
        assert (login is not None) == served.row.tells_login
        assert login is None or login.uid == served.place.stat().st_uid
        for _ in range(2):
            if served.row.commands:
                done = session.run("echo out; echo err >&2; exit 7", deadline)
                assert (done.status, sorted(done.output.split())) == (7, [b"err", b"out"])
                assert session.run("wc -c", deadline, b"x" * 20_000).output.strip() == b"20000"
            else:
                with pytest.raises(Unreachable):
                    session.run("exit 7", deadline)
            assert session.alive(deadline)
        _request(served, session)
        place.symlink_to("elsewhere.json")
        found = session.read(deadline)
        assert found.problem is ReadProblem.SYMLINK
        # asyncssh, in its chroot, does not tell where a link leads that leads nowhere.
        assert found.detail == "it leads to elsewhere.json" or served.row.kind == "asyncssh"
        nowhere = session.read(deadline, f"{served.path}/nowhere/aegis.config.json")
        assert nowhere.problem is ReadProblem.NO_DIRECTORY
        assert session.alive(deadline)


def _request(served: Served, session: HostSession) -> None:
    def answers(peer: socket.socket, _over: threading.Event) -> None:
        sockets.request_of(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with sockets.answering(answers) as port:
        answer = session.request(HttpRequest(f"http://127.0.0.1:{port}/v1/health"), 20.0)
    if served.row.forwards:
        assert isinstance(answer, HttpResponse)
        assert (answer.status, answer.body) == (200, b"{}")
    else:
        assert isinstance(answer, HttpFailure)


@pytest.mark.root
def test_dropbear_where_it_finds_no_sftp_server(tmp_path: Path, public_path: Path) -> None:
    """Its forced command stands for one that was built with another path."""
    home = public_path / "home"
    with running_dropbear(
        tmp_path, home, "-c", "exec /nowhere/sftp-server", purpose="no-sftp"
    ) as server:
        there = _over_ssh(f"{home}/aegis.config.json", server.port, server.user, server.client_key)
        problem = clients.refusal(there, _options(tmp_path, server.known_hosts))
    assert problem.step == "sftp"
    assert "the SFTP server ended at once" in problem.reason
    assert "/nowhere/sftp-server" in problem.reason
    assert "sftp_server_path" in problem.hint


def test_a_server_that_the_inventory_names(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "sshd", subsystem="none", settings=[_NO_RC_FILES]) as sshd:
        path, where = str(tmp_path / "aegis.config.json"), _options(tmp_path, sshd.known_hosts)
        there = _over_ssh(path, sshd.port, sshd.user, sshd.client_key)
        assert clients.refusal(there, where).reason == "the host offers no SFTP"
        wrong = clients.refusal(replace(there, sftp_server_path="/nowhere/sftp-server"), where)
        assert (wrong.step, wrong.reason) == (
            "sftp",
            "there is no /nowhere/sftp-server on the host",
        )
        no_server = clients.refusal(replace(there, sftp_server_path="/bin/false"), where)
        assert no_server.reason == "/bin/false did not start"
        named, deadline = replace(there, sftp_server_path=find_sftp_server()), Deadline.after(60)
        with connect(named, where, deadline) as session:
            write_over(session, plan_write(session.read(deadline)), deadline)
    assert (tmp_path / "aegis.config.json").read_bytes() == NEW
