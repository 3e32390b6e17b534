"""A server that shows another key each time: accept-new takes one, the first, and no other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh
import paramiko
import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.ssh.public_keys import read_public_key
from tests.fleet import sockets
from tests.fleet.clients import options, target
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions

MANY = 30


def _fresh_key(directory: Path, number: int) -> paramiko.PKey:
    path = directory / f"key-{number}"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    return paramiko.Ed25519Key(filename=str(path))


@contextmanager
def ever_another_key(directory: Path, at_once: int) -> Iterator[int]:
    """Yield the port of a server with a new key for each connection, which refuses every login.

    It begins to speak when ``at_once`` clients have called, so that all of them ask together.
    """
    together, numbers = threading.Barrier(at_once), iter(range(10 * MANY))

    def behave(connection: socket.socket, over: threading.Event) -> None:
        with paramiko.Transport(connection) as transport:
            transport.add_server_key(_fresh_key(directory, next(numbers)))
            together.wait(timeout=60)
            transport.start_server(event=threading.Event(), server=paramiko.ServerInterface())
            over.wait(60)

    with sockets.answering(behave) as port:
        yield port


def try_to_connect(there: Target, conn_options: ConnectOptions) -> str:
    """Return where it ends: at the login one is past the host's key."""
    with pytest.raises(Unreachable) as caught:
        connect(there, conn_options, Deadline.after(90.0)).close()
    return f"{caught.value.step}: {caught.value.reason}"


def test_of_thirty_at_once_one_key_is_taken(home: Path, tmp_path: Path) -> None:
    known_hosts, login = home / "known_hosts", make_key(home / "login")
    conn_options = options(home, known_hosts, accept_new=True, timeout=60.0)
    with ever_another_key(tmp_path, MANY) as port:
        there = [
            target("127.0.0.1", port, host=f"h{number}", user="anna", identity_file=str(login))
            for number in range(MANY)
        ]
        with ThreadPoolExecutor(MANY) as pool:
            results = list(pool.map(lambda one: try_to_connect(one, conn_options), there))
    [taken] = known_hosts.read_text().splitlines()
    entry, key = f"[127.0.0.1]:{port}", read_public_key(taken.encode().partition(b" ")[2])
    assert key is not None
    assert taken.startswith(f"{entry} ssh-ed25519 ")
    changed = f"host key: the key of {entry} has changed: known is {key.fingerprint}, and it shows "
    assert sum(end.startswith(changed) for end in results) == MANY - 1
    assert len({end for end in results if end.startswith(changed)}) == MANY - 1
    assert sum(end.startswith("login: ") for end in results) == 1


def test_of_two_runs_the_first_one(home: Path, tmp_path: Path) -> None:
    login = make_key(home / "login")
    conn_options = options(home, home / "known_hosts", accept_new=True, timeout=60.0)
    with ever_another_key(tmp_path, 1) as port:
        there = target("127.0.0.1", port, user="anna", identity_file=str(login))
        assert [try_to_connect(there, conn_options).partition(":")[0] for _ in range(3)] == [
            "login",
            "host key",
            "host key",
        ]
    assert len((home / "known_hosts").read_text().splitlines()) == 1


def test_of_two_hosts_behind_one_bastion_that_changes_its_key_too(
    home: Path, tmp_path: Path
) -> None:
    login = make_key(home / "login")
    conn_options = options(home, home / "known_hosts", accept_new=True, timeout=60.0)
    with ever_another_key(tmp_path, 2) as port:
        there = [
            target(
                f"10.0.0.{number}",
                user="anna",
                identity_file=str(login),
                jump=(f"127.0.0.1:{port}",),
            )
            for number in (1, 2)
        ]
        with ThreadPoolExecutor(2) as pool:
            results = sorted(pool.map(lambda one: try_to_connect(one, conn_options), there))
    step = f"bastion [127.0.0.1]:{port}: "
    assert [
        end.startswith(step + what)
        for end, what in zip(results, ("host key: ", "login: "), strict=True)
    ] == [True, True]
    assert len((home / "known_hosts").read_text().splitlines()) == 1
