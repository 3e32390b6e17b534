"""Certificates and signatures, read and verified: what ssh-keygen makes, and what is spoilt."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aegis_provision.transport.ssh.algorithms import CA_SIGNATURES
from aegis_provision.transport.ssh.certificates import (
    HOST,
    USER,
    Certificate,
    host_problem,
    parse_certificate,
)
from aegis_provision.transport.ssh.public_keys import HostKey, read_public_key, to_string
from aegis_provision.transport.ssh.signatures import is_signed
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("ed25519", "rsa", "ecdsa")
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("keys")
    return {kind: make_key(directory / kind, kind=kind) for kind in KINDS}


def certified(key: Path, authority: Path, *words: str, directory: Path) -> bytes:
    public = directory / "key.pub"
    public.write_text(key.with_name(f"{key.name}.pub").read_text())
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "the-id", *words, public],
        check=True,
        capture_output=True,
    )
    return base64.b64decode((directory / "key-cert.pub").read_text().split()[1])


def key_of(path: Path) -> HostKey:
    key = read_public_key(path.with_name(f"{path.name}.pub").read_bytes())
    assert key is not None
    return key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("authority", KINDS)
def test_a_certificate_of_ssh_keygen(
    kind: str, authority: str, keys: dict[str, Path], tmp_path: Path
) -> None:
    words = ["-h", "-n", "a,b", "-z", "77", "-V", "20200101000000Z:20300101000000Z"]
    blob = certified(keys[kind], keys[authority], *words, directory=tmp_path)
    found = parse_certificate(blob)
    assert (found.key, found.authority) == (key_of(keys[kind]), key_of(keys[authority]))
    assert (found.kind, found.serial, found.key_id) == (HOST, 77, "the-id")
    assert found.principals == ("a", "b")
    assert found.validity() == "from 2020-01-01 00:00 UTC until 2030-01-01 00:00 UTC"
    assert found.signed_by in CA_SIGNATURES
    assert host_problem(found, "a", NOW, CA_SIGNATURES) == ""


def test_a_users_certificate_that_is_valid_forever(keys: dict[str, Path], tmp_path: Path) -> None:
    words = ["-n", "root", "-O", "force-command=true"]
    blob = certified(keys["rsa"], keys["ed25519"], *words, directory=tmp_path)
    found = parse_certificate(blob)
    assert (found.kind, found.validity()) == (USER, "valid forever")
    assert found.critical_options == ("force-command",)
    assert found.key_type == "ssh-rsa-cert-v01@openssh.com"


def test_every_byte_of_a_certificate_counts(keys: dict[str, Path], tmp_path: Path) -> None:
    blob = certified(keys["ed25519"], keys["ed25519"], "-h", "-n", "a", directory=tmp_path)
    parse_certificate(blob)
    for at in range(len(blob)):
        spoilt = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        with pytest.raises(ValueError, match=r"."):
            parse_certificate(spoilt)
    for wrong in (blob[:-1], blob + b"\0", b"", key_of(keys["rsa"]).blob):
        with pytest.raises(ValueError, match=r"."):
            parse_certificate(wrong)


CERTIFICATE = Certificate(
    key=HostKey("ssh-ed25519", b"k"),
    blob=b"",
    kind=HOST,
    serial=0,
    key_id="x",
    principals=("a", "b"),
    valid_after=NOW - 10,
    valid_before=NOW + 10,
    critical_options=(),
    authority=HostKey("ssh-ed25519", b"a"),
    signed_by="ssh-ed25519",
)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"principals": ()}, ""),
        ({"valid_after": NOW}, ""),
        ({"valid_before": NOW}, "it expired at 2027-01-15 08:00 UTC"),
        ({"valid_after": NOW + 1}, "it is valid from 2027-01-15 08:00 UTC on only"),
        ({"valid_before": 0}, "it expired at 1970-01-01 00:00 UTC"),
        ({"valid_after": 2**64 - 2}, "it is valid from 18446744073709551614 s after 1970 on only"),
        ({"kind": USER}, "it is not a host's"),
        ({"principals": ("A", "a.b", "*", "?")}, "a is none of its principals"),
        (
            {"critical_options": ("x",)},
            "it has a critical option, and none is known for hosts",
        ),
        (
            {"signed_by": "ssh-rsa"},
            "its authority signed it with ssh-rsa, which is not accepted",
        ),
    ],
)
def test_what_makes_a_hosts_certificate_good(changes: dict[str, object], problem: str) -> None:
    found = replace(CERTIFICATE, **changes)  # type: ignore[arg-type] # of each field's own type
    assert host_problem(found, "a", NOW, CA_SIGNATURES) == problem


# --- Signatures of keys that a device keeps, as recorded: no device is needed ---


def test_a_signature_by_a_devices_ed25519_key() -> None:
    device, application, behind = ed25519.Ed25519PrivateKey.generate(), b"ssh:", b"\1\0\0\0\7"
    key = b"".join(
        map(
            to_string,
            (b"sk-ssh-ed25519@openssh.com", device.public_key().public_bytes_raw(), application),
        )
    )
    signed = hashlib.sha256(application).digest() + behind + hashlib.sha256(b"data").digest()
    name = to_string(b"sk-ssh-ed25519@openssh.com")
    signature = name + to_string(device.sign(signed)) + behind
    kinds = {"sk-ssh-ed25519@openssh.com"}
    assert is_signed(b"data", signature, key, kinds)
    assert not is_signed(b"other", signature, key, kinds)
    assert not is_signed(b"data", signature[:-1] + b"\x08", key, kinds)
    assert not is_signed(b"data", signature[:-1], key, kinds)
    assert not is_signed(b"data", signature, key, {"ssh-ed25519"})
    assert not is_signed(b"data", signature, key.replace(b"ssh:", b"web:"), kinds)


def test_a_signature_by_a_devices_ecdsa_key() -> None:
    device, application, behind = ec.generate_private_key(ec.SECP256R1()), b"ssh:", b"\1\0\0\0\7"
    point = device.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    name = b"sk-ecdsa-sha2-nistp256@openssh.com"
    key = b"".join(map(to_string, (name, b"nistp256", point, application)))
    signed = hashlib.sha256(application).digest() + behind + hashlib.sha256(b"data").digest()
    r, s = decode_dss_signature(device.sign(signed, ec.ECDSA(hashes.SHA256())))
    made = to_string(r.to_bytes(33, "big")) + to_string(s.to_bytes(33, "big"))
    signature = to_string(name) + to_string(made) + behind
    assert is_signed(b"data", signature, key, {name.decode()})
    assert not is_signed(b"other", signature, key, {name.decode()})
