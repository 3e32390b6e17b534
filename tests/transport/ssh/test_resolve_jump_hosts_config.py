"""The address, login and keys of a host: inventory first, then ssh config, then defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.errors import InputError
from aegis_provision.operations.connection import ConnectionOptions, connection_settings
from aegis_provision.transport.ssh.resolve_jump_hosts import Hop, resolve_hops
from tests.fleet.clients import options, target

if TYPE_CHECKING:
    from pathlib import Path

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
    }


def test_an_alias_for_the_key_stands_alone(home: Path) -> None:
    assert only(home, CONFIG + "  HostKeyAlias fleet\n").key_names == ("fleet",)


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
    assert (
        connection_settings(flags(ssh_config=none), {"HOME": str(home)}, ()).options.ssh_config
        is None
    )
