"""Connections through one bastion or several, named by the inventory or the ssh config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Stage
from tests.fleet import sockets
from tests.fleet.clients import connection, options, refusal, target_at
from tests.fleet.openssh import free_port, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from tests.fleet.openssh import Sshd


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Iterator[Sshd]:
    directory = tmp_path_factory.mktemp("bastion")
    with running_sshd(
        directory, kind="ecdsa", authorized=[keys["ed25519"].with_suffix(".pub")]
    ) as server:
        yield server


@pytest.fixture(scope="module")
def closed_bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    directory = tmp_path_factory.mktemp("closed")
    with running_sshd(directory, settings=["AllowTcpForwarding no"]) as server:
        yield server


def written(server: Sshd) -> str:
    return f"{server.user}@{server.address}:{server.port}"


def via(sshd: Sshd, *jump: str) -> Target:
    return target_at(sshd, jump=jump)


def knowing(
    home: Path, *servers: Sshd, config: str = "", accept_new: bool = False
) -> ConnectOptions:
    """Return options that know these servers, and the key of the last for all bastions."""
    path = home / "config"
    path.write_text(f"{config}\nIdentityFile {servers[-1].client_key}\n")
    files = [server.known_hosts for server in servers] or [home / "known_hosts"]
    return options(home, *files, ssh_config=path, accept_new=accept_new)


def connections(server: Sshd) -> int:
    return server.log.read_text().count("Accepted publickey")


def test_through_one(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    before = connections(bastion), connections(sshd)
    connection(via(sshd, written(bastion)), knowing(home, sshd, bastion))
    assert (connections(bastion), connections(sshd)) == (before[0] + 1, before[1] + 1)


def test_through_two_the_outermost_first(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    before = connections(bastion), connections(sshd)
    config = f"IdentityFile {sshd.client_key}"
    conn_options = knowing(home, sshd, bastion, config=config)
    connection(via(sshd, written(bastion), written(sshd)), conn_options)
    assert (connections(bastion), connections(sshd)) == (before[0] + 1, before[1] + 2)


def test_a_name_out_of_ssh_config(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    config = f"Host gate\n HostName 127.0.0.1\n Port {bastion.port}\n User {bastion.user}\n"
    connection(via(sshd, "gate"), knowing(home, sshd, bastion, config=f"{config}Host *"))


def test_ssh_configs_own_chain(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    before = connections(bastion), connections(sshd)
    config = (
        f"Host 127.0.0.1\n ProxyJump inner\n"
        f"Host inner\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.user}\n"
        f" IdentityFile {sshd.client_key}\n ProxyJump outer\n"
        f"Host outer\n HostName 127.0.0.1\n Port {bastion.port}\n User {bastion.user}\nHost *"
    )
    connection(target_at(sshd), knowing(home, sshd, bastion, config=config))
    assert (connections(bastion), connections(sshd)) == (before[0] + 1, before[1] + 2)


def test_the_inventory_wins_over_ssh_config(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    config = "Host 127.0.0.1\n ProxyJump nowhere.invalid\nHost gate\n"
    config += f" HostName 127.0.0.1\n Port {bastion.port}\n User {bastion.user}\nHost *"
    connection(via(sshd, "gate"), knowing(home, sshd, bastion, config=config))


def test_none_in_the_inventory_goes_straight(sshd: Sshd, home: Path) -> None:
    connection(
        via(sshd), knowing(home, sshd, config="Host 127.0.0.1\n ProxyJump nowhere.invalid\nHost *")
    )


def test_none_in_ssh_config_goes_straight(sshd: Sshd, home: Path) -> None:
    config = "Host 127.0.0.1\n ProxyJump none\nHost *\n ProxyJump nowhere.invalid\nHost *"
    connection(target_at(sshd), knowing(home, sshd, config=config))


def test_a_bastion_that_does_not_forward(sshd: Sshd, closed_bastion: Sshd, home: Path) -> None:
    problem = refusal(via(sshd, written(closed_bastion)), knowing(home, sshd, closed_bastion))
    assert str(problem) == (
        f"bastion: {closed_bastion.entry} does not let us through to 127.0.0.1 port {sshd.port}"
    )
    assert "AllowTcpForwarding" in problem.hint


def test_a_bastion_that_can_not_connect_to_the_host(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    port = free_port()
    host = target_at(sshd, port=port, jump=(written(bastion),))
    problem = refusal(host, knowing(home, sshd, bastion))
    assert (
        str(problem)
        == f"bastion: {bastion.entry} can't connect to 127.0.0.1 port {port}: nothing listens there"
    )


def test_a_bastion_that_nothing_listens_at(sshd: Sshd, home: Path) -> None:
    port = free_port()
    problem = refusal(via(sshd, f"127.0.0.1:{port}"), knowing(home, sshd))
    assert str(problem) == f"bastion [127.0.0.1]:{port}: connect: nothing listens there"
    assert problem.stage is Stage.PORT


def test_a_bastion_with_an_unknown_key(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    conn_options = options(home, sshd.known_hosts, ssh_config=knowing(home, bastion).ssh_config)
    problem = refusal(via(sshd, written(bastion)), conn_options)
    assert problem.step == f"bastion {bastion.entry}: host key"
    assert "is not known" in problem.reason
    assert problem.stage is Stage.HOST_KEY


def test_a_host_with_an_unknown_key_behind_a_known_bastion(
    sshd: Sshd, bastion: Sshd, home: Path
) -> None:
    problem = refusal(via(sshd, written(bastion)), knowing(home, bastion))
    assert problem.step == "host key"
    assert sshd.entry in problem.reason


def test_accept_new_lists_the_bastions_key_too(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    config = knowing(home, bastion).ssh_config
    conn_options = options(home, home / "known_hosts", ssh_config=config, accept_new=True)
    accepted = connection(via(sshd, written(bastion)), conn_options)
    assert [key.name for key in accepted] == [bastion.entry, sshd.entry]
    assert len((home / "known_hosts").read_text().splitlines()) == 2


def test_a_bastion_that_refuses_the_login(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    conn_options = options(home, sshd.known_hosts, bastion.known_hosts)
    problem = refusal(via(sshd, f"nobody@127.0.0.1:{bastion.port}"), conn_options)
    assert problem.step == f"bastion {bastion.entry}: login"
    assert problem.stage is Stage.AUTH


def test_a_silent_host_behind_a_bastion(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    with sockets.answering(sockets.says_nothing) as port:
        host = target_at(sshd, port=port, jump=(written(bastion),))
        problem = refusal(host, knowing(home, bastion), seconds=4.0)
    assert str(problem) == "handshake: the host's deadline passed"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("Host *\n ProxyJump 127.0.0.1\n", "more than 8 bastions"),
        ("Host *\n ProxyJump a;b\n", "{config}:2: ProxyJump is not [user@]host[:port]"),
        ("Host x\n ProxyJump a,,b\n", "{config}:2: ProxyJump is not [user@]host[:port]"),
        ("ProxyCommand nc %u\n", "{config}:1: ProxyCommand nc %u: %u is not supported there"),
        (
            "ProxyUseFdpass yes\nProxyCommand nc\n",
            "ProxyUseFdpass is set for 127.0.0.1 beside its ProxyCommand, and is not supported",
        ),
        ("RefuseConnection 'on holiday'\n", '{config}:1: RefuseConnection: "on holiday"'),
        ("Host *\n Port x\n", "{config}:2: Port is not a number from 1 to 65535"),
        ("Host *\n HostName %n\n", "{config}:2: HostName %n: %n is not supported there"),
    ],
)  # fmt: skip
def test_an_ssh_config_that_leads_nowhere(config: str, reason: str, sshd: Sshd, home: Path) -> None:
    path = home / "config"
    path.write_text(config)
    problem = refusal(target_at(sshd), options(home, sshd.known_hosts, ssh_config=path))
    assert (problem.step, problem.reason) == ("ssh config", reason.format(config=path))
    assert problem.hint


def test_proxy_command_is_no_matter_where_the_inventory_names_the_way(
    sshd: Sshd, home: Path
) -> None:
    connection(via(sshd), knowing(home, sshd, config="Host *\n ProxyCommand nc %h %p\nHost *"))
