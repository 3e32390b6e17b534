"""Algorithms: the lists of the ssh config, and what a host is asked to show."""

from __future__ import annotations

import subprocess

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.algorithms import (
    CA_SIGNATURES,
    KEX,
    KEYS,
    chosen,
    chosen_kex,
    host_key_order,
    key_type,
    shown_type,
)
from aegis_provision.transport.ssh.known_hosts import Entries
from aegis_provision.transport.ssh.public_keys import HostKey
from tests.fleet.clients import need

LISTS = [
    "ssh-ed25519",
    "rsa-sha2-256,ssh-ed25519",
    "rsa-sha2-*,*ed25519*",
    "+ssh-rsa",
    "+ssh-dss,ssh-rsa",
    "-ssh-rsa*",
    "-*-cert-*",
    "-ecdsa*,sk-*",
    "^rsa-sha2-512",
    "^ecdsa-sha2-nistp256,rsa-*",
    "ssh-rsa,ssh-ed25519",
]


KEYWORDS = ("HostKeyAlgorithms", "PubkeyAcceptedAlgorithms", "CASignatureAlgorithms")


@pytest.mark.parametrize(
    ("keyword", "written"),
    [
        (keyword, written)
        for keyword in KEYWORDS
        for written in LISTS
        if not (keyword.startswith("CA") and "-cert-" in written)
    ],
)
def test_a_list_leaves_what_it_leaves_for_the_real_client(keyword: str, written: str) -> None:
    said = subprocess.run(
        [need("ssh", "openssh-client"), "-G", "-F", "none", "-o", f"{keyword}={written}", "h"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [names] = [
        line.split()[1].split(",")
        for line in said.splitlines()
        if line.startswith(f"{keyword.lower()} ")
    ]
    defaults = CA_SIGNATURES if keyword.startswith("CA") else KEYS
    # Of one pattern OpenSSH takes the names in an order of its own, which no default has.
    found = chosen(keyword, written, defaults)
    assert set(found) == {name for name in names if name in defaults}
    if "*" not in written.removeprefix("-") or written.startswith("-"):
        assert found == tuple(name for name in names if name in defaults)


def test_without_a_list_the_defaults_are_those_of_the_real_client() -> None:
    said = subprocess.run(
        [need("ssh", "openssh-client"), "-G", "-F", "none", "h"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for keyword, defaults in (
        ("hostkeyalgorithms", KEYS),
        ("pubkeyacceptedalgorithms", KEYS),
        ("casignaturealgorithms", CA_SIGNATURES),
    ):
        assert f"{keyword} {','.join(defaults)}\n" in said
        assert chosen(keyword, None, defaults) == defaults


def test_a_list_that_leaves_nothing_is_named() -> None:
    for written in ("ssh-rsa", "ssh-dss,ssh-rsa", "-*", "odd"):
        with pytest.raises(Unreachable) as caught:
            chosen("HostKeyAlgorithms", written, KEYS)
        assert str(caught.value) == (
            f"ssh config: HostKeyAlgorithms {written} leaves no algorithm that is used here"
        )
        assert caught.value.hint.startswith("add one of ssh-ed25519, ecdsa-sha2-nistp256")


def entries(*trusted: str, authorities: bool = False, revoked: str = "") -> Entries:
    keys = tuple(HostKey(name, name.encode()) for name in trusted)
    return Entries(
        keys,
        (HostKey("ssh-rsa", b"ca"),) if authorities else (),
        tuple(key for key in keys if key.key_type == revoked),
    )


def test_what_is_known_is_asked_for_first() -> None:
    assert host_key_order(None, entries()) == KEYS
    assert host_key_order(None, entries("ssh-ed25519", "ssh-rsa")) == KEYS
    ecdsa = host_key_order(None, entries("ecdsa-sha2-nistp384"))
    assert ecdsa[:2] == ("ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384")
    rsa = host_key_order("+ssh-rsa", entries("ssh-rsa"))
    assert rsa[:4] == (
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "rsa-sha2-512",
        "rsa-sha2-256",
    )
    certified = host_key_order("-ssh-ed25519*", entries("ssh-rsa", authorities=True))
    assert certified[7:9] == ("rsa-sha2-512", "rsa-sha2-256")
    assert sorted(rsa) == sorted(KEYS)
    assert host_key_order(None, entries("ssh-rsa", revoked="ssh-rsa")) == KEYS


def test_the_order_of_a_list_that_says_one_stays() -> None:
    names = ("rsa-sha2-512", "ssh-ed25519")
    assert host_key_order(",".join(names), entries("ssh-ed25519")) == names
    assert host_key_order("^rsa-sha2-512", entries("ecdsa-sha2-nistp256"))[0] == "rsa-sha2-512"


def test_the_types_of_what_is_shown() -> None:
    shown = {
        "ssh-ed25519": ("ssh-ed25519", "ssh-ed25519"),
        "rsa-sha2-512": ("ssh-rsa", "ssh-rsa"),
        "rsa-sha2-256-cert-v01@openssh.com": ("ssh-rsa", "ssh-rsa-cert-v01@openssh.com"),
        "sk-ssh-ed25519-cert-v01@openssh.com": (
            "sk-ssh-ed25519@openssh.com",
            "sk-ssh-ed25519-cert-v01@openssh.com",
        ),
    }
    for algorithm, types in shown.items():
        assert (key_type(algorithm), shown_type(algorithm)) == types


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, KEX),
        ("curve25519-sha256", KEX[:1]),
        ("curve25519-sha256@libssh.org,ecdh-sha2-nistp521", (KEX[0], "ecdh-sha2-nistp521")),
        ("-curve25519*", KEX[1:]),
        ("+diffie-hellman-group1-sha1", KEX),
        ("diffie-hellman-group1-sha1", ()),
    ],
)
def test_key_exchanges_are_never_older_ones(written: str | None, expected: tuple[str, ...]) -> None:
    if expected:
        assert chosen_kex(written) == expected
    else:
        with pytest.raises(Unreachable, match=r"KexAlgorithms diffie.* leaves no algorithm"):
            chosen_kex(written)
