"""Signatures made with SSH keys, verified.

The formats are those of RFC 4253 and 8332 (RSA), RFC 5656 (ECDSA), RFC 8709 (Ed25519), and for
keys that a device keeps those of OpenSSH's PROTOCOL.u2f.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from aegis_provision.transport.ssh.public_keys import split_string, strings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_RSA: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "rsa-sha2-256": hashes.SHA256,
    "rsa-sha2-512": hashes.SHA512,
    # Old certificates are signed so: they have to be read to be refused for what they are.
    "ssh-rsa": hashes.SHA1,
}
_CURVES: dict[bytes, tuple[type[ec.EllipticCurve], type[hashes.HashAlgorithm]]] = {
    b"nistp256": (ec.SECP256R1, hashes.SHA256),
    b"nistp384": (ec.SECP384R1, hashes.SHA384),
    b"nistp521": (ec.SECP521R1, hashes.SHA512),
}
_COUNTER = 5  # a byte of flags and the device's counter, of four bytes


def signature_algorithm(signature: bytes) -> str:
    """Return the algorithm that a signature names. Raises ``ValueError``."""
    return split_string(signature)[0].decode("ascii")


def is_signed(data: bytes, signature: bytes, key: bytes, algorithms: Collection[str]) -> bool:
    """Tell whether ``signature`` of ``data`` was made with ``key`` by one of ``algorithms``.

    ``key`` is a public key's blob, no certificate.
    """
    try:
        name, rest = split_string(signature)
        algorithm = name.decode("ascii")
        if algorithm not in algorithms:
            return False
        _verify(data, algorithm, rest, strings(key))
    except (ValueError, InvalidSignature):
        return False
    return True


def _verify(data: bytes, algorithm: str, rest: bytes, fields: list[bytes]) -> None:
    """Raise ``InvalidSignature`` or ``ValueError`` unless the signature is right."""
    made, behind = split_string(rest)
    match fields:
        case [b"ssh-ed25519", point] if algorithm == "ssh-ed25519" and not behind:
            ed25519.Ed25519PublicKey.from_public_bytes(point).verify(made, data)
        case [b"ssh-rsa", exponent, modulus] if algorithm in _RSA and not behind:
            numbers = rsa.RSAPublicNumbers(
                int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
            )
            key = numbers.public_key()
            made = made.rjust((key.key_size + 7) // 8, b"\0")
            key.verify(made, data, padding.PKCS1v15(), _RSA[algorithm]())
        case [name, curve, point] if (
            name.startswith(b"ecdsa-sha2-") and algorithm.encode() == name and not behind
        ):
            _verify_ecdsa(data, made, curve, point)
        case [name, point, application] if (
            algorithm == "sk-ssh-ed25519@openssh.com" and algorithm.encode() == name
        ):
            signed = _signed_by_device(data, behind, application)
            ed25519.Ed25519PublicKey.from_public_bytes(point).verify(made, signed)
        case [name, curve, point, application] if (
            algorithm == "sk-ecdsa-sha2-nistp256@openssh.com" and algorithm.encode() == name
        ):
            _verify_ecdsa(_signed_by_device(data, behind, application), made, curve, point)
        case _:
            raise ValueError("the signature is of another kind than the key")


def _verify_ecdsa(data: bytes, made: bytes, curve: bytes, point: bytes) -> None:
    if curve not in _CURVES:
        raise ValueError("an unknown curve")
    kind, digest = _CURVES[curve]
    r, s = (int.from_bytes(number, "big", signed=True) for number in strings(made))
    key = ec.EllipticCurvePublicKey.from_encoded_point(kind(), point)
    key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest()))


def _signed_by_device(data: bytes, behind: bytes, application: bytes) -> bytes:
    """Return what a device signs where it is asked to sign ``data``."""
    if len(behind) != _COUNTER:
        raise ValueError("the device's counter is missing")
    return hashlib.sha256(application).digest() + behind + hashlib.sha256(data).digest()
