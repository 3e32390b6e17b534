"""The address, login and keys of a host: inventory first, then ssh config, then defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aegis_provision.errors import InputError, Unreachable
from aegis_provision.operations.connection import ConnectionOptions, connection_settings
from aegis_provision.transport.ssh.resolve_jump_hosts import Hop, resolve_hops
from aegis_provision.transport.tcp import Way
from tests.fleet.clients import options, target

CONFIG = """\
Host gpu
  HostName gpu.example.com
  Port 2200
  User deploy
  IdentityFile ~/.ssh/gpu
"""


def only(home: Path, config: str = CONFIG, **fields: Any) -> Hop:
    path = home / "config"
    path.write_text(config)
    address = fields.pop("address", "gpu")
    (hop,) = resolve_hops(target(str(address), **fields), options(home, ssh_config=path))
    return hop


def test_ssh_config_fills_in_what_the_inventory_leaves_open(home: Path) -> None:
    hop = only(home)
    assert (hop.host, hop.port, hop.user) == ("gpu.example.com", 2200, "deploy")
    assert hop.identity_files == (str(home / ".ssh" / "gpu"),)
    assert hop.key_names == ("[gpu.example.com]:2200", "gpu.example.com")
    assert hop.use_agent


def test_the_inventory_wins(home: Path) -> None:
    hop = only(home, port=22, user="root", identity_file="~/k")
    assert (hop.host, hop.port, hop.user) == ("gpu.example.com", 22, "root")
    assert hop.identity_files == (str(home / "k"),)
    assert hop.key_names == ("gpu.example.com",)
    assert not hop.use_agent


def test_the_defaults_where_neither_says_anything(home: Path) -> None:
    hop = only(home, address="Build.Example.COM")
    assert (hop.host, hop.port) == ("build.example.com", 22)
    assert hop.user == "nobody-in-particular"
    assert hop.key_names == ("build.example.com",)
    assert {path.rpartition("/")[2] for path in hop.identity_files} == {
        "id_ed25519",
        "id_ecdsa",
        "id_rsa",
        "id_ed25519_sk",
        "id_ecdsa_sk",
    }


def test_an_alias_for_the_key_stands_alone(home: Path) -> None:
    assert only(home, CONFIG + "  HostKeyAlias fleet\n").key_names == ("fleet",)


def test_no_identity_file_is_not_the_default_ones(home: Path) -> None:
    hop = only(home, "IdentityFile none\n")
    assert (hop.identity_files, hop.files_named, hop.use_agent) == ((), True, True)


@pytest.mark.parametrize(
    "config", ["PubkeyAuthentication no\n", "PreferredAuthentications password\n"]
)
def test_no_key_is_offered_where_the_config_rules_it_out(config: str, home: Path) -> None:
    hop = only(home, config, identity_file="~/k")
    assert (hop.identity_files, hop.use_agent) == ((), False)
    assert "publickey" not in hop.methods


@pytest.mark.parametrize(
    ("written", "socket"),
    [
        (None, "/run/agent"),
        ("SSH_AUTH_SOCK", "/run/agent"),
        ("none", None),
        ("NONE", None),
        ("$OTHER", "/run/other"),
        ("$UNSET", None),
        ("${OTHER}.%n", "/run/other.gpu"),
        ("~/%r", "{home}/nobody-in-particular"),
    ],
)
def test_which_agent_is_asked(written: str | None, socket: str | None, home: Path) -> None:
    path = home / "config"
    path.write_text(f"IdentityAgent {written}\n" if written else "")
    environ = {"OTHER": "/run/other"}
    conn_options = options(home, ssh_config=path, agent_socket="/run/agent", environ=environ)
    [hop] = resolve_hops(target("gpu"), conn_options)
    assert hop.identity_agent == (socket and socket.format(home=home))


def test_what_the_config_says_of_a_connection_is_the_hops(home: Path) -> None:
    config = (
        "AddressFamily inet\nBindAddress 127.0.0.1\nBindInterface lo\nConnectTimeout 5\n"
        "ServerAliveInterval 1m\nCiphers aes256-ctr\nMACs -hmac-sha2-256\nKexAlgorithms ^ecdh*\n"
        "RequiredRSASize 3072\nProxyCommand nc %h %p\nRevokedHostKeys ~/r /s\n"
        "CertificateFile ~/c\nHostKeyAlgorithms +ssh-rsa\n"
    )
    hop = only(home, config)
    assert hop.way == Way("inet", "127.0.0.1", "lo")
    assert (hop.connect_timeout, hop.server_alive_interval) == (5.0, 60)
    assert (hop.ciphers, hop.macs, hop.kex_algorithms) == ("aes256-ctr", "-hmac-sha2-256", "^ecdh*")
    assert (hop.required_rsa_size, hop.proxy_command) == (3072, "nc gpu 22")
    assert hop.revoked_keys == (f"{home}/r", "/s")
    assert (hop.certificate_files, hop.host_key_algorithms) == ((f"{home}/c",), "+ssh-rsa")


def test_our_own_input_is_no_proxy(home: Path) -> None:
    with pytest.raises(Unreachable, match="ProxyCommand - takes the connection from our own input"):
        only(home, "ProxyCommand -\n")


def test_a_config_that_changed_is_read_again(home: Path) -> None:
    assert only(home, "User first\n").user == "first"
    assert only(home, "User second-one\n").user == "second-one"


@pytest.mark.parametrize(
    ("jump", "expected"),
    [
        (None, ["outer.example.com", "gpu.example.com"]),
        ((), ["gpu.example.com"]),
        (("a", "b@[::1]:2222"), ["a", "::1", "gpu.example.com"]),
    ],
)
def test_the_way_through_bastions(
    jump: tuple[str, ...] | None, expected: list[str], home: Path
) -> None:
    path = home / "config"
    path.write_text(CONFIG + "  ProxyJump outer\nHost outer\n  HostName outer.example.com\n")
    way = resolve_hops(target("gpu", jump=jump), options(home, ssh_config=path))
    assert [hop.host for hop in way] == expected


def flags(**changes: object) -> ConnectionOptions:
    plain: dict[str, object] = {
        "ssh_config": None,
        "known_hosts": (),
        "accept_new": False,
        "timeout": 15.0,
        "deadline": 120.0,
        "forks": 32,
    }
    return ConnectionOptions(**{**plain, **changes})  # type: ignore[arg-type]


def test_without_flags_the_files_are_openssh_clients(home: Path) -> None:
    (home / ".ssh" / "config").write_text("")
    environ = {"HOME": str(home), "LOGNAME": "anna", "SSH_AUTH_SOCK": "/run/agent"}
    found = connection_settings(flags(), environ, ()).options
    assert found.ssh_config == home / ".ssh" / "config"
    assert found.system_ssh_config == Path("/etc/ssh/ssh_config")
    assert not found.known_hosts_named
    assert found.known_hosts[0] == home / ".ssh" / "known_hosts"
    assert (found.login_name, found.agent_socket) == ("anna", "/run/agent")


def test_an_ssh_config_that_is_not_there_is_none_unless_it_was_named(home: Path) -> None:
    environ = {"HOME": str(home), "SSH_AUTH_SOCK": ""}
    found = connection_settings(flags(), environ, ()).options
    assert (found.ssh_config, found.agent_socket) == (None, None)
    with pytest.raises(InputError) as caught:
        connection_settings(flags(ssh_config=home / "missing"), environ, ())
    assert str(home / "missing") in str(caught.value)


def test_none_stands_for_no_ssh_config_at_all(home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n  Port 1\n")
    none = type(home)("none")
    found = connection_settings(flags(ssh_config=none), {"HOME": str(home)}, ()).options
    assert (found.ssh_config, found.system_ssh_config) == (None, None)


def test_a_file_that_was_named_is_read_alone(home: Path) -> None:
    mine = home / "mine"
    mine.write_text("")
    named = flags(ssh_config=mine, known_hosts=(home / "known",))
    found = connection_settings(named, {"HOME": str(home)}, ()).options
    assert (found.ssh_config, found.system_ssh_config) == (mine, None)
    assert found.known_hosts_named
