"""Which hosts are reached with a config: those that ``ssh`` reaches with it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from tests.fleet.clients import connection, need, options, target
from tests.fleet.openssh import make_key, running_sshd
from tests.fleet.proxy_command import RELAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd

# {kh} holds the host's key, {gate} the bastion's, {wrong} others' under their names, {alias} the
# host's under another name, {both} both. "yes" is what is reached, "no" what is not.
CASES = {
    "as it should be": ("Host h\n UserKnownHostsFile {kh}\n", "yes"),
    "another's key": ("Host h\n UserKnownHostsFile {wrong}\n", "no"),
    "another's key first": ("Host h\n UserKnownHostsFile {wrong} {kh}\n", "yes"),
    "no such file": ("Host h\n UserKnownHostsFile /no/such/file\n", "no"),
    "no file but the global one": (
        "Host h\n UserKnownHostsFile none\n GlobalKnownHostsFile {kh}\n", "yes",
    ),
    "no file at all": ("Host h\n UserKnownHostsFile none\n GlobalKnownHostsFile none\n", "no"),
    "nothing is filled in globally": (
        "Host h\n UserKnownHostsFile none\n GlobalKnownHostsFile %d{kh}\n", "no",
    ),
    "a file for each key": ("Host h\n UserKnownHostsFile {dir}/%k\n HostKeyAlias alias\n", "yes"),
    "the file of the first block": (
        "Host h\n UserKnownHostsFile {wrong}\nHost *\n UserKnownHostsFile {kh}\n", "no",
    ),
    "an alias": ("Host h\n UserKnownHostsFile {alias}\n HostKeyAlias alias\n", "yes"),
    "an alias in capitals": ("Host h\n UserKnownHostsFile {alias}\n HostKeyAlias ALIAS\n", "yes"),
    "an alias has no port": (
        "Host h\n UserKnownHostsFile {aliasport}\n HostKeyAlias alias\n", "no",
    ),
    "an alias with a port in it": (
        "Host h\n UserKnownHostsFile {aliasport}\n HostKeyAlias [alias]:{port}\n", "yes",
    ),
    "an alias that is not known": ("Host h\n UserKnownHostsFile {kh}\n HostKeyAlias alias\n", "no"),
    "an alias by a Match": (
        "Match originalhost h\n HostKeyAlias alias\nHost h\n UserKnownHostsFile {alias}\n", "yes",
    ),
    "an alias of the second pass": (
        "Match final originalhost h\n HostKeyAlias alias\nHost h\n UserKnownHostsFile {alias}\n",
        "yes",
    ),
    "a revoked key": ("Host h\n UserKnownHostsFile {kh}\n RevokedHostKeys {pub}\n", "no"),
    "no list of revoked keys": ("Host h\n UserKnownHostsFile {kh}\n RevokedHostKeys /no\n", "no"),
    "none is revoked": ("Host h\n UserKnownHostsFile {kh}\n RevokedHostKeys none\n", "yes"),
    "another kind of key": (
        "Host h\n UserKnownHostsFile {kh}\n HostKeyAlgorithms rsa-sha2-512\n", "no",
    ),
    "no keys": ("Host h\n UserKnownHostsFile {kh}\n PubkeyAuthentication no\n", "no"),
    "passwords alone": (
        "Host h\n UserKnownHostsFile {kh}\n PreferredAuthentications password\n", "no",
    ),
    "another key": (
        "Host h\n UserKnownHostsFile {kh}\n IdentityFile {otherkey}\n IdentitiesOnly yes\n", "yes",
    ),
    "another user": ("Host h\n UserKnownHostsFile {kh}\n User nobody\n", "no"),
    "an address of no use": ("Host h\n UserKnownHostsFile {kh}\n AddressFamily inet6\n", "no"),
    "from another address": ("Host h\n UserKnownHostsFile {kh}\n BindAddress 127.0.0.2\n", "yes"),
    "from no address of ours": (
        "Host h\n UserKnownHostsFile {kh}\n BindAddress 198.51.100.1\n", "no",
    ),
    "a program decides": (
        'Match originalhost h exec "true"\n UserKnownHostsFile {kh}\n', "yes",
    ),
    "a program decides otherwise": (
        ('Match originalhost h exec "false"\n UserKnownHostsFile {kh}\n'
        "Match all\n UserKnownHostsFile {wrong}\n"), "no",
    ),
    "through a program": (
        "Host h\n UserKnownHostsFile {kh}\n ProxyCommand {python} {dir}/relay %h %p\n", "yes",
    ),
    "through a program that fails": (
        "Host h\n UserKnownHostsFile {kh}\n ProxyCommand false\n", "no",
    ),
    "through ssh": (
        ("Host h\n UserKnownHostsFile {kh}\n ProxyCommand ssh -F {config} -W %h:%p g\n"
        "Host g\n UserKnownHostsFile {gate}\n BatchMode yes\n"), "yes",
    ),
    "through a bastion": ("Host h g\n UserKnownHostsFile {both}\nHost h\n ProxyJump g\n", "yes"),
    "the bastion's key is not known": (
        "Host h\n UserKnownHostsFile {kh}\n ProxyJump g\nHost g\n UserKnownHostsFile {kh}\n", "no",
    ),
    "the host's key behind a bastion is not known": (
        "Host h\n UserKnownHostsFile {gate}\n ProxyJump g\nHost g\n UserKnownHostsFile {gate}\n",
        "no",
    ),
    "the bastion's alias": (
        ("Host h\n UserKnownHostsFile {kh}\n ProxyJump g\n"
        "Host g\n UserKnownHostsFile {gatealias}\n HostKeyAlias gate\n"), "yes",
    ),
    "the bastion's own command": (
        ("Host h\n UserKnownHostsFile {kh}\n ProxyJump g\n"
        "Host g\n UserKnownHostsFile {gate}\n ProxyCommand {python} {dir}/relay %h %p\n"), "yes",
    ),
    "an unknown keyword": ("Host x\n Hostnam y\nHost h\n UserKnownHostsFile {kh}\n", "no"),
    "a part that others can write": ("Include {loose}\nHost h\n UserKnownHostsFile {kh}\n", "no"),
}  # fmt: skip
REST = (
    "Host h\n HostName 127.0.0.1\n Port {port}\nHost g\n HostName 127.0.0.1\n Port {gateport}\n"
    "Host *\n User {user}\n IdentityFile {key}\n IdentityAgent none\n GlobalKnownHostsFile none\n"
)


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    public = sshd.client_key.with_suffix(".pub")
    with running_sshd(tmp_path_factory.mktemp("bastion"), authorized=[public]) as server:
        yield server


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, sshd: Sshd, bastion: Sshd) -> dict[str, object]:
    """Write the files that configs name; return what stands for what in CASES."""
    directory = tmp_path_factory.mktemp("files")
    host, gate = (" ".join(s.host_key.read_text().split()[:2]) for s in (sshd, bastion))
    files = {
        "kh": f"{sshd.entry} {host}\n",
        "gate": f"{bastion.entry} {gate}\n",
        "both": f"{sshd.entry} {host}\n{bastion.entry} {gate}\n",
        "wrong": f"{sshd.entry} {gate}\n{bastion.entry} {host}\n",
        "alias": f"alias {host}\n",
        "aliasport": f"[alias]:{sshd.port} {host}\n",
        "gatealias": f"gate {gate}\n",
        "pub": f"{host}\n",
        "loose": "",
        "relay": RELAY,
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    (directory / "loose").chmod(0o646)
    found: dict[str, object] = {name: directory / name for name in files}
    return found | {
        "dir": directory,
        "python": sys.executable,
        "otherkey": make_key(directory / "otherkey"),
        "key": sshd.client_key,
        "user": sshd.user,
        "port": sshd.port,
        "gateport": bastion.port,
    }


def ssh_reaches(config: Path) -> bool:
    completed = subprocess.run(
        ["ssh", "-F", config, "-o", "BatchMode=yes", "h", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return completed.returncode == 0


def we_reach(config: Path, home: Path) -> bool:
    environ = dict(os.environ)
    conn_options = options(home, ssh_config=config, environ=environ, known_hosts_named=False)
    try:
        connection(target("h"), conn_options)
    except Unreachable:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_reached_is_what_ssh_reaches(
    name: str, words: dict[str, object], home: Path
) -> None:
    need("ssh", "openssh-client")
    text, reached = CASES[name]
    config = home / "config"
    config.write_text(f"{text}{REST}".format(**words, config=config))
    assert ssh_reaches(config) is (reached == "yes")
    assert we_reach(config, home) is (reached == "yes")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "StrictHostKeyChecking no\n",
        "NoHostAuthenticationForLocalhost yes\n",
        "StrictHostKeyChecking accept-new\n",
    ],
)
def test_less_is_trusted_than_by_ssh_where_the_config_asks_for_no_check(
    text: str, words: dict[str, object], home: Path
) -> None:
    need("ssh", "openssh-client")
    config, known = home / "config", home / "known"
    config.write_text(f"UserKnownHostsFile {known}\n{text}{REST}".format(**words))
    assert ssh_reaches(config)
    known.unlink(missing_ok=True)
    assert not we_reach(config, home)
