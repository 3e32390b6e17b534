"""Writing as another user, with a real sudo: over SSH and on this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.remote_state import ReadProblem, RemoteUser
from aegis_provision.errors import Unreachable, WriteRefused
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from tests.fleet.openssh import Sshd, running_sshd
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
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

pytestmark = pytest.mark.root

NOBODY, DAEMON = 65534, 1


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Yield a server that all tests log in to as root."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["ssh", "local"])
def route(request: pytest.FixtureRequest, sshd: Sshd, home: Path) -> tuple[Target, ConnectOptions]:
    """Return a target of the user nobody, and how to connect to it."""
    host_target = target(home / "aegis.config.json", become_user="nobody")
    if request.param == "ssh":
        host_target = replace(
            host_target,
            connection="ssh",
            port=sshd.port,
            user=sshd.user,
            identity_file=str(sshd.client_key),
        )
    return host_target, ConnectOptions(15.0, None, (sshd.known_hosts,), False, None, home, "anna")


def test_a_new_file_is_the_other_users(route: tuple[Target, ConnectOptions], home: Path) -> None:
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        assert session.login(deadline) == RemoteUser(NOBODY, frozenset({NOBODY}), NOBODY)
        write_over(session, plan_write(session.read(deadline)), deadline)
    path = home / "aegis.config.json"
    assert (path.read_bytes(), mode_of(path), path.stat().st_uid) == (NEW, 0o600, NOBODY)
    assert (home / DATA_DIR).stat().st_uid == NOBODY
    assert leftovers(home) == set()


def test_a_file_of_a_third_user_is_refused(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    path = home / "aegis.config.json"
    put(path, OLD, 0o644)
    os.chown(path, DAEMON, DAEMON)
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        write = plan_write(session.read(deadline))
        with pytest.raises(WriteRefused, match="can't give the file to its owner"):
            write_over(session, write, deadline)
    assert path.read_bytes() == OLD
    assert leftovers(home) == set()


def test_what_roots_login_may_read_the_other_user_may_not(
    route: tuple[Target, ConnectOptions], home: Path
) -> None:
    put(home / "aegis.config.json")  # root's own
    deadline = Deadline.after(60)
    with connect(*route, deadline) as session:
        assert session.read(deadline).problem is ReadProblem.PERMISSION_DENIED


def test_a_user_who_is_not_there(route: tuple[Target, ConnectOptions]) -> None:
    host_target, options = route
    with pytest.raises(Unreachable, match="no user not-here") as caught:
        connect(replace(host_target, become_user="not-here"), options, Deadline.after(60))
    assert caught.value.step == "sudo"
    assert "become_user" in caught.value.hint
