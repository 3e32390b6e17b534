"""Public keys as OpenSSH writes them: a type and a base64 text, on a line of a file.

The rules are those of OpenSSH's ``sshkey_read``; the blobs are RFC 4253, 5656 and 8709.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

BLANKS = b" \t"
_BETWEEN_FIELDS = re.compile(rb"[ \t]+")
_SKIPPED_IN_BASE64 = re.compile(rb"[\n\v\f\r]+")
_LENGTH = 4
_SHORTEST_MODULUS = 1024
_CERTIFICATE = "-cert-v01@openssh.com"
# A line may call an RSA key by the name of a signature made with it.
_SIGNATURES = {"rsa-sha2-256": "ssh-rsa", "rsa-sha2-512": "ssh-rsa"}
_ED25519 = 32
_POINTS = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}
_UNCOMPRESSED = b"\x04"


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
    if blob is None or not _is_key(_SIGNATURES.get(written, written), blob):
        return None
    return HostKey(_SIGNATURES.get(written, written), blob)


def is_too_short(key: HostKey) -> bool:
    """Tell whether ``key`` is an RSA key that OpenSSH's client never accepts."""
    if key.key_type != "ssh-rsa":
        return False
    return int.from_bytes(_fields(key.blob)[2], "big").bit_length() < _SHORTEST_MODULUS


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


def _is_key(key_type: str, blob: bytes) -> bool:
    """Tell whether ``blob`` has the fields of a key of ``key_type``.

    Where OpenSSH looks closer (at a certificate's inside, or whether a point is on its curve),
    this takes the key for one: it then counts as another key than the one that a host shows.
    """
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
            wanted = key_type.partition("@")[0].rpartition("-")[2].encode()
            return (
                curve == wanted and len(point) == _POINTS[curve] and point.startswith(_UNCOMPRESSED)
            )
        case ("ssh-rsa", [_, _]) | ("ssh-dss", [_, _, _, _]):
            return True
        case _:
            return key_type.endswith(_CERTIFICATE)
