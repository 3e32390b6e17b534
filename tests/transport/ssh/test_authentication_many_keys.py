"""An agent with many keys: the host hangs up, and is connected to again for those that are left."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.connect import connect
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.ssh.identities import find_identities
from aegis_provision.transport.ssh.public_keys import to_string
from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops
from aegis_provision.transport.ssh.ssh_agent import AgentKey
from tests.fleet.agent import Agent, running_agent
from tests.fleet.clients import connection, options, refusal, target, target_at
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.retry import Retry
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop
    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """Run an agent of twenty keys; the last one is in ``last``."""
    keys = tmp_path_factory.mktemp("keys")
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        running_agent(Path(directory)) as running,
    ):
        for number in range(19):
            running.add(make_key(keys / f"stranger_{number}"))
        running.add(make_key(running.directory / "last"))
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, agent: Agent) -> Iterator[Sshd]:
    """Run a server with OpenSSH's own limit of six tries."""
    directory = tmp_path_factory.mktemp("many") / "server"
    with running_sshd(directory, authorized=[agent.directory / "last.pub"]) as running:
        yield running


def _connections(server: Sshd) -> int:
    return server.log.read_text().count("Connection from")


def test_the_last_of_twenty_keys_opens_the_host_and_then_goes_first(
    server: Sshd, agent: Agent, home: Path
) -> None:
    before = _connections(server)
    known_hosts = home / "known_hosts"
    conn_options = options(home, known_hosts, agent_socket=agent.socket, accept_new=True)
    host = target_at(server, identity_file=None)
    tries: list[Retry] = []
    session = connect(host, conn_options, Deadline.after(20), tries.append)
    session.close()
    assert [item.name for item in session.accepted] == [server.entry]
    assert [(item.attempt, item.wait) for item in tries] == [(2, 0), (3, 0), (4, 0)]
    assert "as many keys as it takes (MaxAuthTries); some are left" in tries[0].reason
    assert _connections(server) == before + 4
    assert connection(host, conn_options) == ()
    assert _connections(server) == before + 5


def test_behind_a_bastion_that_takes_the_last_key_too(
    server: Sshd, agent: Agent, home: Path
) -> None:
    before = _connections(server)
    conn_options = options(home, server.known_hosts, agent_socket=agent.socket)
    jump = f"{server.user}@{server.address}:{server.port}"
    connection(target_at(server, identity_file=None, jump=(jump,)), conn_options)
    assert _connections(server) == before + 5


def test_a_key_of_the_agent_that_is_named_needs_one_connection(
    server: Sshd, agent: Agent, home: Path
) -> None:
    before = _connections(server)
    named = str(agent.directory / "last.pub")
    conn_options = options(home, server.known_hosts, agent_socket=agent.socket)
    connection(target_at(server, identity_file=named), conn_options)
    assert _connections(server) == before + 1


def test_what_a_host_refused_is_offered_to_it_last(home: Path) -> None:
    conn_options = options(home)
    [hop] = resolve_hops(target("192.0.2.1", user="anna"), conn_options)
    blobs = [to_string(b"ssh-ed25519") + to_string(bytes([n]) * 32) for n in range(4)]
    agent_keys = [AgentKey(blob, "") for blob in blobs]

    def order(at: Hop) -> list[int]:
        offers = find_identities(at, agent_keys, conn_options).offers
        return [blobs.index(offer.public.blob) for offer in offers]

    assert order(hop) == [0, 1, 2, 3]
    conn_options.taken_keys.note("anna", blobs[2])
    conn_options.taken_keys.note("bert", blobs[3])
    assert order(hop) == [2, 3, 0, 1]
    assert order(replace(hop, user="bert")) == [3, 2, 0, 1]
    conn_options.taken_keys.note_refused("anna", "192.0.2.1", blobs[2])
    assert order(hop) == [3, 0, 1, 2]
    assert order(replace(hop, key_names=("192.0.2.2",))) == [2, 3, 0, 1]


def test_a_host_that_takes_none_of_them_is_not_asked_for_ever(
    sshd: Sshd, agent: Agent, home: Path
) -> None:
    conn_options = options(home, sshd.known_hosts, agent_socket=agent.socket)
    problem = refusal(target_at(sshd, identity_file=None), conn_options)
    assert "(tried: 20 of the agent's)" in problem.reason
    assert problem.reason.startswith(f"the host took none of the keys offered as {sshd.user}")
