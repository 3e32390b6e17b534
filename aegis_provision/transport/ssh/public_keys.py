"""Public keys as OpenSSH writes them: a type and a base64 text.

The text is read by the rules of OpenSSH's ``sshkey_read``; the blobs are RFC 4253, 5656 and 8709.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from aegis_provision.values import dataclass

BLANKS = b" \t"
CERTIFICATE = "-cert-v01@openssh.com"
_BETWEEN_FIELDS = re.compile(rb"[ \t]+")
_SKIPPED_IN_BASE64 = re.compile(rb"[\n\v\f\r]+")
_LENGTH = 4
_SHORTEST_MODULUS = 1024
# A line may call an RSA key by the name of a signature made with it.
_SIGNATURES = {"rsa-sha2-256": "ssh-rsa", "rsa-sha2-512": "ssh-rsa"}
_ED25519 = 32
_POINTS = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}
_UNCOMPRESSED = b"\x04"
KEY_FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
"""The types of keys that are used, and of how many strings each consists beside its type."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key: its type and its blob."""

    key_type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """Return the key's fingerprint the way OpenSSH shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"


def read_public_key(text: bytes) -> HostKey | None:
    """Return the key that ``text`` begins with (``TYPE BASE64 comment``), ``None`` for none.

    RSA keys that are too short for OpenSSH are keys too (see :func:`is_too_short`).
    """
    fields = _BETWEEN_FIELDS.split(text.lstrip(BLANKS), maxsplit=2)
    if len(fields) < 2:
        return None
    try:
        written = fields[0].decode("ascii")
    except UnicodeDecodeError:
        return None
    blob = _decoded(fields[1])
    if blob is None or not is_key(_SIGNATURES.get(written, written), blob):
        return None
    return HostKey(_SIGNATURES.get(written, written), blob)


def is_too_short(key: HostKey) -> bool:
    """Tell whether ``key`` is an RSA key that OpenSSH's client never accepts."""
    return is_shorter(key, _SHORTEST_MODULUS)


def is_shorter(key: HostKey, bits: int) -> bool:
    """Tell whether ``key`` is an RSA key of fewer than ``bits``."""
    if key.key_type != "ssh-rsa":
        return False
    return int.from_bytes(_fields(key.blob)[2], "big").bit_length() < bits


def plain_type(key_type: str) -> str:
    """Return the type of key that certificates of ``key_type`` certify; a plain type is its own."""
    if not key_type.endswith(CERTIFICATE):
        return key_type
    plain = key_type.removesuffix(CERTIFICATE)
    return f"{plain}@openssh.com" if plain.startswith("sk-") else plain


def plain_key(key: HostKey) -> HostKey:
    """Return the key that is in a certificate; what is none, or is not understood, is its own."""
    plain = plain_type(key.key_type)
    if plain == key.key_type or plain not in KEY_FIELDS:
        return key
    try:
        return HostKey(plain, certified_key(key.blob)[0])
    except ValueError:
        return key


def certified_key(blob: bytes) -> tuple[bytes, bytes]:
    """Return the plain key's blob in a certificate, and what follows it. Raises ``ValueError``."""
    written, rest = split_string(blob)
    plain = plain_type(written.decode("ascii"))
    _, rest = split_string(rest)  # the nonce
    before = rest
    for _ in range(KEY_FIELDS[plain]):
        _, rest = split_string(rest)
    return to_string(plain.encode()) + before[: len(before) - len(rest)], rest


def to_string(data: bytes) -> bytes:
    """Return ``data`` as a string (RFC 4251, 5)."""
    return len(data).to_bytes(_LENGTH, "big") + data


def strings(data: bytes) -> list[bytes]:
    """Return the strings that ``data`` is made of (RFC 4251, 5). Raises ``ValueError``."""
    found: list[bytes] = []
    while data:
        string, data = split_string(data)
        found.append(string)
    return found


def split_string(data: bytes) -> tuple[bytes, bytes]:
    """Return the string that ``data`` begins with, and the rest. Raises ``ValueError``."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    if len(data) < _LENGTH or len(data) < end:
        raise ValueError("it ends in the middle of a string")
    return data[_LENGTH:end], data[end:]


def _decoded(text: bytes) -> bytes | None:
    text = _SKIPPED_IN_BASE64.sub(b"", text)
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Bits behind the end, which Python lets pass, are none of base64's.
    return blob if base64.b64encode(blob) == text else None


def _fields(blob: bytes) -> list[bytes]:
    try:
        return strings(blob)
    except ValueError:
        return []


def is_key(key_type: str, blob: bytes) -> bool:
    """Tell whether ``blob`` has the fields of a key of ``key_type``.

    Where OpenSSH looks closer (at a certificate's inside, or whether a point is on its curve),
    this takes the key for one: it then counts as another key than the one that a host shows.
    """
    if key_type.endswith(CERTIFICATE):
        return _is_certificate(key_type, blob)
    fields = _fields(blob)
    if fields[:1] != [key_type.encode()]:
        return False
    match key_type, fields[1:]:
        case ("ssh-ed25519", [key]) | ("sk-ssh-ed25519@openssh.com", [key, _]):
            return len(key) == _ED25519
        case (
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521",
            [curve, point],
        ) | ("sk-ecdsa-sha2-nistp256@openssh.com", [curve, point, _]):
            expected = key_type.partition("@")[0].rpartition("-")[2].encode()
            return (
                curve == expected
                and len(point) == _POINTS[curve]
                and point.startswith(_UNCOMPRESSED)
            )
        case ("ssh-rsa", [_, _]) | ("ssh-dss", [_, _, _, _]):
            return True
        case _:
            return False


def _is_certificate(key_type: str, blob: bytes) -> bool:
    plain = plain_type(key_type)
    try:
        named = split_string(blob)[0] == key_type.encode()
        return named and plain in KEY_FIELDS and is_key(plain, certified_key(blob)[0])
    except ValueError:
        return False
