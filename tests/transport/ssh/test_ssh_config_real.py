"""Configs as people keep them: each means for each host what OpenSSH's client takes it for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
from tests.fleet.clients import need
from tests.transport.ssh.openssh_config import ME, lookup, ours, theirs


@pytest.fixture(scope="session", autouse=True)
def openssh() -> None:
    need("ssh", "openssh-client")


PARTS = {
    "conf.d/10-alpha.conf": "Host alpha\n  HostName 10.1.0.1\n  User alpha\n",
    "conf.d/20-beta.conf": "Host beta\n  HostName 10.1.0.2\nHost *\n  Port 2020\n",
    "conf.d/30-final.conf": "Match final host 10.1.*\n  IdentityFile ~/.ssh/ten\n",
    "conf.d/README": "not a config\n",
    "all": "Include {dir}/conf.d/*.conf\nUser all\n",
    "defaults": "User default\nPort 7\n",
}


@dataclass(frozen=True)
class Real:
    """A config, and the hosts that are asked for."""

    name: str
    text: str
    hosts: tuple[str, ...]


def real_configs() -> list[Real]:
    """Return what is in real_ssh_configs.txt."""
    _, *sections = Path(__file__).with_name("real_ssh_configs.txt").read_text().split("\n==== ")
    found = []
    for section in sections:
        head, _, text = section.partition("\n")
        name, _, words = head.partition(" | ")
        hosts = words.removeprefix("CRLF ")
        text = f"{text}\n" if hosts == words else f"{text}\n".replace("\n", "\r\n")
        found.append(Real(name, text, tuple(hosts.split())))
    return found


CASES = [
    pytest.param(real.text, host, id=f"{real.name}: {host}")
    for real in real_configs()
    for host in real.hosts
]


def written(text: str, directory: Path) -> Path:
    """Write a config and the files beside it; return its path."""

    def filled_in(line: str) -> str:
        return line.replace("{dir}", str(directory)).replace("{me}", ME)

    for name, part in PARTS.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(filled_in(part))
    config = directory / "config"
    config.write_text(filled_in(text), newline="")
    return config


@pytest.mark.parametrize(("text", "host"), CASES)
def test_a_real_config_means_what_openssh_takes_it_for(
    text: str, host: str, tmp_path: Path
) -> None:
    config = written(text, tmp_path)
    expected = theirs(config, host)
    assert expected is not None
    assert ours(config, host) == expected


# What OpenSSH's client refuses as a whole, whichever host is asked for.
REFUSED = {
    "an unknown keyword": ("Host b\n Hostnam a\n", '2: "hostnam" is no keyword of ssh_config(5)'),
    "IgnoreUnknown comes too late": ("Foo bar\nIgnoreUnknown Foo\n", '1: "foo" is no keyword'),
    "IgnoreUnknown elsewhere": ("Host b\n IgnoreUnknown Foo\nHost a\n Foo bar\n", '4: "foo"'),
    "a keyword alone": ("Host a\n User\n", "2: User has no value"),
    "an unknown criterion": ("Match hots a\n", '1: Match knows no criterion "hots": did you'),
    "a quote that stays open": ("Host a\nProxyCommand echo it's\n", "2: a quote is never closed"),
    "a quote in what is no matter": ('LocalCommand "x\n', "1: a quote is never closed"),
    "two names where one stands": ("User a b\n", "1: User has more than one value"),
    "a bad time": ("ConnectTimeout 5x\n", "1: ConnectTimeout is no time"),
    "a bad family": ("AddressFamily ipv4\n", "1: AddressFamily is neither any, inet nor inet6"),
    "none among files": ("UserKnownHostsFile a none\n", "1: UserKnownHostsFile: 'none' stands"),
    "an agent's variable": ("IdentityAgent $A-B\n", "1: IdentityAgent is no name of a variable"),
    "an agent's unset variable": ("Host b\n IdentityAgent ${NOT_SET_HERE}\n", "2: IdentityAgent"),
    "a forwarding's variable": ("Host b\n RemoteForward /${NOT_SET_HERE} /x\n", "2: RemoteForward"),
    "an agent to forward": ("Host b\n ForwardAgent $A-B\n", "2: ForwardAgent is no name of a"),
    "an empty pattern": ('Host ""\n User u\n', "1: Host has an empty pattern"),
    "Include of nothing": ('Include ""\n', "1: Include has an empty value"),
    "all among criteria": ("Match host a all user b\n", "1: 'all' of Match stands alone"),
    "a byte order mark": ("\ufeffHost a\n User u\n", '1: "\\ufeffhost" is no keyword'),
    "a bad flag of another host": ("Host b\n BatchMode maybe\n", "2: BatchMode is neither yes"),
    "a jump to a bare address": ("ProxyJump ::1\n", "1: ProxyJump is not [user@]host[:port]"),
    "a bad jump": ("Host b\n ProxyJump a:b:c:99999999\n", "2: ProxyJump is not [user@]host[:port]"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_config_that_openssh_refuses_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    text, words = REFUSED[name]
    config = written(text, tmp_path)
    assert theirs(config, "a") is None
    with pytest.raises(SshConfigError) as caught:
        lookup(config, "a")
    assert str(caught.value).startswith(f"{config}:{words}")
