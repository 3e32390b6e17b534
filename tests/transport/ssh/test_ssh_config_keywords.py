"""Every keyword, with values that OpenSSH's client takes and values that it refuses."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.ssh.ssh_config_keywords import (
    KEYWORDS,
    OLD_NAMES,
    Effect,
    Reads,
    known_keywords,
)
from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
from tests.fleet.clients import need
from tests.transport.ssh.openssh_config import lookup, theirs

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.transport.ssh.ssh_config_keywords import Keyword

# Values that are taken where not every word is.
TAKEN = {
    "CASignatureAlgorithms": "ssh-ed25519",
    "CanonicalizePermittedCNAMEs": "*.a.example:*.b.example none.example:*",
    "ChannelTimeout": "session=5m",
    "Ciphers": "aes128-ctr",
    "ControlPersist": "10m",
    "AddKeysToAgent": "confirm",
    "DynamicForward": "1080",
    "EscapeChar": "^A",
    "FingerprintHash": "md5",
    "ForwardX11Timeout": "1h",
    "GSSAPIKexAlgorithms": "gss-group14-sha256-",
    "HostKeyAlgorithms": "+ssh-rsa",
    "HostbasedAcceptedAlgorithms": "ssh-ed25519",
    "IPQoS": "lowdelay throughput",
    "IdentityAgent": "~/agent",
    "KexAlgorithms": "curve25519-sha256",
    "LocalForward": "8080 localhost:80",
    "LogLevel": "VERBOSE",
    "MACs": "hmac-sha2-256",
    "ObscureKeystrokeTiming": "interval:20",
    "PermitRemoteOpen": "any",
    "ProxyJump": "u@a:22,b",
    "PubkeyAcceptedAlgorithms": "-ssh-rsa",
    "RekeyLimit": "1G 1h",
    "RevokedHostKeys": "/etc/revoked",
    "RemoteForward": "8080 localhost:80",
    "SetEnv": "A=b",
    "StreamLocalBindMask": "0177",
    "SyslogFacility": "AUTH",
    "TunnelDevice": "any:any",
    "Match": "all",
    "Include": "/no/such/file",
}
OF_NEWER_CLIENTS = frozenset(
    {"ChannelTimeout", "ObscureKeystrokeTiming", "RefuseConnection", "Tag", "VersionAddendum",
     "WarnWeakCrypto"}
)  # fmt: skip
REFUSES = "RefuseConnection"
SAMPLES = {
    Reads.WORD: ["word"],
    Reads.WORDS: ["one two", "one"],
    Reads.LINE: ["command 'with words' # and more"],
    Reads.NUMBER: ["5", "0"],
    Reads.TIME: ["30", "1m30s", "none"],
    Reads.PORT: ["22", "ssh"],
    Reads.ANYTHING: ["word"],
}
BAD = {
    Reads.WORD: ["", '""', "one two"],
    Reads.WORDS: ["", '""'],
    Reads.LINE: [""],
    Reads.CHOICE: ["", "maybe", "yes no"],
    Reads.NUMBER: ["", "x", "-1", "5 6"],
    Reads.TIME: ["", "x", "5y", "1 2"],
    Reads.PORT: ["", "0", "70000", "no-such-service"],
    Reads.JUMP: ["", "a:b", "@a", "a:0"],
    Reads.AGENT: ["", "$A-B", "${A", "${}"],
    Reads.ANYTHING: [""],
}


@pytest.fixture(scope="session", autouse=True)
def openssh() -> None:
    need("ssh", "openssh-client")


@cache
def is_known(name: str) -> bool:
    """Tell whether this machine's client knows a keyword."""
    completed = subprocess.run(
        ["ssh", "-G", "-F", "none", "-o", f"{name}=word", "a"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "Bad configuration option" not in completed.stderr


def samples(keyword: Keyword) -> list[str]:
    if keyword.name in TAKEN:
        return [TAKEN[keyword.name]]
    return list(keyword.choices) or SAMPLES[keyword.reads]


@pytest.mark.parametrize("name", [keyword.name for keyword in KEYWORDS.values()])
def test_a_keyword_takes_what_it_takes_in_openssh(name: str, tmp_path: Path) -> None:
    keyword, config = KEYWORDS[name.lower()], tmp_path / "config"
    known = is_known(name)
    assert known or name in OF_NEWER_CLIENTS
    for value in samples(keyword):
        config.write_text(f"Host b\n {name} {value}\n")
        assert not known or theirs(config, "a") is not None, value
        lookup(config, "a")
        if name == REFUSES:
            with pytest.raises(SshConfigError, match="config:2: RefuseConnection: "):
                lookup(config, "b")
        else:
            lookup(config, "b")
    for value in BAD[keyword.reads]:
        config.write_text(f"Host b\n {name} {value}\n")
        assert theirs(config, "a") is None, value
        with pytest.raises(SshConfigError, match=r"config:2: "):
            lookup(config, "a")


@pytest.mark.parametrize("line", ["SendEnv A=b", "SetEnv A", "RekeyLimit x", "RekeyLimit 1G 1x"])
def test_some_values_of_no_matter_are_looked_at_too(line: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host b\n {line}\n")
    assert theirs(config, "a") is None
    with pytest.raises(SshConfigError, match=r"config:2: .* is not what ssh_config"):
        lookup(config, "a")


@pytest.mark.parametrize("old", OLD_NAMES)
def test_an_old_name_is_the_keyword_of_today(old: str, tmp_path: Path) -> None:
    assert OLD_NAMES[old] in KEYWORDS
    config = tmp_path / "config"
    keyword = KEYWORDS[OLD_NAMES[old]]
    config.write_text(f"{old} {samples(keyword)[0]}\n")
    lookup(config, "a")
    assert old == "rsaminsize" or theirs(config, "a") is not None


def test_every_keyword_of_the_manual_is_in_the_table() -> None:
    need("man", "man-db")
    shown = subprocess.run(
        ["man", "-P", "cat", "ssh_config"],
        capture_output=True, text=True, check=False, env={"MANWIDTH": "80", "PATH": os.defpath},
    )  # fmt: skip
    lines = shown.stdout.splitlines()
    named = {line.split()[0] for line in lines if line.startswith("     ") and line[5:6].isupper()}
    keywords = {name for name in named if name.isalnum() and is_known(name)}
    assert "ProxyJump" in keywords or not keywords  # without manual pages there is nothing to read
    assert {name.lower() for name in keywords} <= KEYWORDS.keys()


def test_each_says_what_is_done_or_why_not() -> None:
    for keyword in KEYWORDS.values():
        assert keyword.why
        assert bool(keyword.harmless) is (keyword.effect is Effect.WARNED)
        assert not keyword.users_own or keyword.effect is Effect.WARNED


def test_a_mac_knows_apples_own() -> None:
    assert known_keywords("darwin").keys() - known_keywords("linux").keys() == {"usekeychain"}
