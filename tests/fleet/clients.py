"""What it takes to connect to a server of a test: targets and options, nothing of the user's."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.inventory.host import Target
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.retry import Retries
from aegis_provision.transport.ssh.handshake import open_transport
from aegis_provision.transport.ssh.proxy_command import connect_hop
from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops
from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.transport.connect_options import AcceptedKey
    from aegis_provision.transport.host_session import Login
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from tests.fleet.openssh import Sshd


ONCE = Retries(backoffs={})


def target(address: str, port: int | None = None, **changes: Any) -> Target:
    """Return a target called ``host`` at ``address``; ``changes`` are further fields."""
    plain = Target(
        host="host",
        address=address,
        port=port,
        user=None,
        connection="ssh",
        identity_file=None,
        jump=None,
        become_user=None,
        config_path="/nowhere/aegis.config.json",
        read_via="explicit",
    )
    return replace(plain, **changes)


def target_at(sshd: Sshd, **changes: Any) -> Target:
    """Return a target that leads to ``sshd`` with the key that it takes."""
    fields = {
        "address": sshd.address,
        "port": sshd.port,
        "user": sshd.user,
        "identity_file": str(sshd.client_key),
        **changes,
    }
    return target(**fields)


def options(home: Path, *known_hosts: Path, **changes: Any) -> ConnectOptions:
    """Return options that trust ``known_hosts``, with ``home`` in place of the user's.

    It is tried once to connect, so that failures are told at once.
    """
    plain = ConnectOptions(
        timeout=15.0,
        ssh_config=None,
        known_hosts=known_hosts,
        accept_new=False,
        agent_socket=None,
        home=home,
        login_name="nobody-in-particular",
        retries=ONCE,
    )
    return replace(plain, **changes)


def connection(target: Target, options: ConnectOptions) -> tuple[AcceptedKey, ...]:
    """Connect, ask the far side something, close; return the keys that were taken on trust."""
    deadline = Deadline.after(60.0)
    with connect(target, options, deadline) as session:
        assert session.alive(deadline)
        return session.accepted


def login_of(target: Target, options: ConnectOptions) -> Login:
    """Connect and close; return how the session came about."""
    with connect(target, options, Deadline.after(60.0)) as session:
        return session.logged_in


@contextmanager
def logged_in(target: Target, options: ConnectOptions) -> Iterator[Connection]:
    """Log in at ``target`` and do nothing there."""
    deadline = Deadline.after(60.0)
    [endpoint] = resolve_hops(target, options)
    transport, _ = open_transport(
        connect_hop(endpoint, options, deadline), endpoint, options, deadline
    )
    try:
        yield transport
    finally:
        transport.close()


def refusal(target: Target, options: ConnectOptions, seconds: float = 60.0) -> Unreachable:
    """Return how connecting fails within a deadline of ``seconds``."""
    with pytest.raises(Unreachable) as caught:
        connect(target, options, Deadline.after(seconds)).close()
    return caught.value


def need(program: str, package: str) -> str:
    """Return the path of ``program``. Without it the test is skipped, or fails where CI is set."""
    found = shutil.which(program)
    if found is None:
        message = f"there is no {program} on this machine: install {package}"
        missing(message)
    return found
