"""Files of revoked keys: lists and KRLs, made by ssh-keygen."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from aegis_provision.transport.ssh.public_keys import HostKey, read_public_key
from aegis_provision.transport.ssh.revoked_keys import (
    RevokedKeysError,
    parse_revoked_keys,
    read_revoked_keys,
)
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("keys")
    return {
        name: make_key(directory / name, kind=kind).with_suffix(".pub")
        for name, kind in {"a": "ed25519", "b": "rsa", "c": "ecdsa", "free": "ed25519"}.items()
    }


def key_of(public: Path) -> HostKey:
    key = read_public_key(public.read_bytes())
    assert key is not None
    return key


def revocation_list(directory: Path, *lines: str) -> bytes:
    specification, made = directory / "specification", directory / "krl"
    specification.write_text("".join(f"{line}\n" for line in lines))
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", made, specification], check=True)
    return made.read_bytes()


def short(public: Path) -> str:
    return " ".join(public.read_text().split()[:2])


def test_a_list_of_keys(keys: dict[str, Path]) -> None:
    text = f"\n# old\n  \t\n{short(keys['a'])} of anna\r\n\0x\n \t{short(keys['b'])}\0 x"
    revoked = parse_revoked_keys(text.encode())
    assert [key_of(keys[name]) in revoked for name in ("a", "b", "c", "free")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("how", ["", "key: ", "sha1: ", "sha256: "])
def test_a_revocation_list(how: str, keys: dict[str, Path], tmp_path: Path) -> None:
    lines = [f"{how}{short(keys[name])}" for name in ("a", "b", "c")]
    revoked = parse_revoked_keys(revocation_list(tmp_path, *lines))
    assert all(key_of(keys[name]) in revoked for name in ("a", "b", "c"))
    assert key_of(keys["free"]) not in revoked


def test_a_revocation_list_of_certificates_revokes_no_key(
    keys: dict[str, Path], tmp_path: Path
) -> None:
    made = tmp_path / "krl"
    (tmp_path / "specification").write_text("serial: 1-9\nid: x\n")
    subprocess.run(
        ["ssh-keygen", "-q", "-k", "-s", keys["c"], "-f", made, tmp_path / "specification"],
        check=True,
    )
    revoked = parse_revoked_keys(made.read_bytes())
    assert not any(key_of(public) in revoked for public in keys.values())


def test_nothing_is_revoked_by_an_empty_file(keys: dict[str, Path]) -> None:
    assert key_of(keys["a"]) not in parse_revoked_keys(b"")


HEADER = b"SSHKRL\n\0" + bytes([0, 0, 0, 1]) + bytes(24) + bytes(4) + bytes(4)
UNCLEAR = {
    b"nonsense": "line 1 is no public key",
    b"\nssh-ed25519 AAAA": "line 2 is no public key",
    b"\r\n": "line 1 is no public key",
    b"no-pty ssh-ed25519 AAAA": "line 1 is no public key",
    b"SSHKRL\n\0": "it ends in the middle of its header",
    HEADER[:35]: "it ends in the middle of its header",
    HEADER[:36]: "it ends in the middle of a string",
    HEADER[:43]: "it ends in the middle of a string",
    b"SSHKRL\n\0" + bytes([0, 0, 0, 2]) + HEADER[12:]: "it is of an unknown version (2)",
    HEADER + b"\6" + bytes(4): "it has a part of an unknown kind (6)",
    HEADER + b"\xff" + bytes(4): "it has a part of an unknown kind (255)",
    HEADER + b"\2": "it ends in the middle of a string",
    HEADER + b"\2" + bytes([0, 0, 0, 1]): "it ends in the middle of a string",
    HEADER + b"\2" + bytes([0, 0, 0, 1]) + b"x": "it ends in the middle of a string",
    HEADER + b"\3" + bytes([0, 0, 0, 5, 0, 0, 0, 1]) + b"x": "a digest in it has the wrong length",
    HEADER + b"\3" + bytes([0, 0, 0, 36, 0, 0, 0, 32]) + bytes(32): (
        "a digest in it has the wrong length"
    ),
    HEADER + b"\5" + bytes([0, 0, 0, 24, 0, 0, 0, 20]) + bytes(20): (
        "a digest in it has the wrong length"
    ),
}


@pytest.mark.parametrize("content", UNCLEAR)
def test_what_is_not_understood_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is compared
        parse_revoked_keys(content)
    assert str(caught.value) == UNCLEAR[content]


def test_an_empty_revocation_list() -> None:
    assert HostKey("x", b"x") not in parse_revoked_keys(HEADER)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def test_the_signature_of_a_revocation_list_has_to_be_right() -> None:
    signer = ed25519.Ed25519PrivateKey.generate()
    key = _string(b"ssh-ed25519") + _string(signer.public_key().public_bytes_raw())
    covered = HEADER + b"\4" + _string(key)
    signature = _string(_string(b"ssh-ed25519") + _string(signer.sign(covered)))
    assert parse_revoked_keys(covered + signature) == parse_revoked_keys(HEADER)
    for wrong in (
        covered + signature[:-1] + bytes([signature[-1] ^ 1]),
        covered + signature + b"\2" + _string(b""),
        covered + _string(b""),
        HEADER + b"\4" + _string(b"no key") + signature,
    ):
        with pytest.raises(ValueError, match=r"."):
            parse_revoked_keys(wrong)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        _string(b"") + _string(b"") + b"\x20" + _string(bytes(7)),
        _string(b"") + _string(b"") + b"\x21" + _string(bytes(8)),
        _string(b"") + _string(b"") + b"\x21" + _string(bytes(7) + b"\2" + bytes(7) + b"\1"),
        _string(b"") + _string(b"") + b"\x22" + _string(bytes(9)),
        _string(b"") + _string(b"") + b"\x39" + _string(b""),
        _string(b"no key") + _string(b""),
    ],
)
def test_a_part_about_certificates_that_is_not_understood_spoils_the_list(part: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_revoked_keys(HEADER + b"\1" + _string(part))


def test_a_file_is_read_again_when_it_changes(keys: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    path.write_text("")
    os.utime(path, ns=(1, 1))
    assert key_of(keys["a"]) not in read_revoked_keys(str(path))
    path.write_text(short(keys["a"]))
    os.utime(path, ns=(1, 1))
    assert key_of(keys["a"]) in read_revoked_keys(str(path))


def test_a_file_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    assert _complaint(path) == f"{path} can't be read: No such file or directory"
    path.write_text("x")
    assert _complaint(path) == f"{path} is not understood: line 1 is no public key"
    path.unlink()
    path.mkdir()
    assert _complaint(path) == f"{path} can't be read: Is a directory"


def _complaint(path: Path) -> str:
    with pytest.raises(RevokedKeysError) as caught:
        read_revoked_keys(str(path))
    return str(caught.value)
