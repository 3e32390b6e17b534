"""Private keys in files: read, opened with a passphrase, and used to sign.

OpenSSH's own format, PEM (PKCS#1 and SEC1) and PKCS#8, encrypted or not.
"""

from __future__ import annotations

import base64
import os
import threading
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from aegis_provision.files.reading import UnfitFileError, read_file
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.public_keys import (
    HostKey,
    read_public_key,
    split_string,
    to_string,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from aegis_provision.providers.secret import Secret

    _Usable: TypeAlias = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

LONGEST_FILE = 64 * 1024
OPENSSH_ARMOUR = "-----BEGIN OPENSSH PRIVATE KEY-----"
PRIVATE_MAGIC = b"openssh-key-v1\0"
_FOR_OTHERS = 0o077
_MOST_KEPT = 256
_NO_KEY = "is no private key that can be used"
_LOCKED = "has a passphrase and is not in the agent (ssh-add it, or set identity_passphrase)"
# OpenSSH's ciphers for key files (its cipher.c), without those that are read here.
_OTHER_CIPHERS = frozenset(
    {
        "3des-cbc",
        "aes128-cbc",
        "aes192-cbc",
        "rijndael-cbc@lysator.liu.se",
        "aes128-ctr",
        "aes192-ctr",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    }
)
_RSA: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "rsa-sha2-256": hashes.SHA256,
    "rsa-sha2-512": hashes.SHA512,
}
_ECDSA: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "ecdsa-sha2-nistp256": hashes.SHA256,
    "ecdsa-sha2-nistp384": hashes.SHA384,
    "ecdsa-sha2-nistp521": hashes.SHA512,
}


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key that was opened; ``public`` is its public half."""

    public: HostKey
    _key: _Usable = field(repr=False)

    def sign(self, data: bytes, algorithm: str) -> bytes:
        """Return the signature of ``data`` by one of the algorithms of keys of this type."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            made = self._key.sign(data)
        elif isinstance(self._key, rsa.RSAPrivateKey):
            made = self._key.sign(data, padding.PKCS1v15(), _RSA[algorithm]())
        else:
            signature = self._key.sign(data, ec.ECDSA(_ECDSA[algorithm]()))
            made = b"".join(
                to_string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
                for number in decode_dss_signature(signature)
            )
        return to_string(algorithm.encode()) + to_string(made)


_Version = tuple[int, int, int, int]
_READ: dict[tuple[str, _Version], list[tuple[Secret | None, PrivateKey | str]]] = {}
_READING = threading.Lock()


def read_private_key(path: str, passphrase: Secret | None) -> PrivateKey | str:
    """Return the private key at ``path``, or why it can't be used.

    A key that others can read is not, as ssh has it. Opening one takes long on purpose: what was
    opened is kept while its file stays as it is. Raises ``OSError`` where this machine has no file
    left for it.
    """
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except OSError as problem:
        raise_shortage(problem)
        return "can't be read"
    version = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
    with _READING:
        if len(_READ) > _MOST_KEPT:
            _READ.clear()
        known = _READ.setdefault((path, version), [])
        for tried, key in known:
            if tried == passphrase:
                return key
        known.append((passphrase, _read(path, found, passphrase)))
        return known[-1][1]


def _read(path: str, facts: os.stat_result, passphrase: Secret | None) -> PrivateKey | str:
    try:
        data = read_file(Path(path), LONGEST_FILE)
    except UnfitFileError as problem:
        reason = problem.strerror or ""
        return f"can't be used: {reason[:1].lower()}{reason[1:]}"
    except OSError as problem:
        raise_shortage(problem)
        return "can't be read"
    if facts.st_uid == os.getuid() and facts.st_mode & _FOR_OTHERS and b"PRIVATE KEY" in data:
        return f"can be read by others (mode {facts.st_mode & 0o777:04o}): chmod 600 it"
    try:
        return _usable(_opened(data, None))
    except TypeError:
        if passphrase is None:
            return _LOCKED
    except (ValueError, UnsupportedAlgorithm):
        return _unusable(data)
    try:
        return _usable(_opened(data, passphrase.reveal().encode("utf-8", "surrogateescape")))
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return f"is not opened by the passphrase in {passphrase.origin}"


def _opened(data: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    if OPENSSH_ARMOUR.encode() in data:
        return load_ssh_private_key(data, passphrase)
    return load_pem_private_key(data, passphrase)


def _usable(key: PrivateKeyTypes) -> PrivateKey | str:
    if not isinstance(
        key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    ):
        return "is of a kind that is not used (ed25519, ecdsa and rsa are)"
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    public = read_public_key(line)
    return PrivateKey(public, key) if public is not None else _NO_KEY


def _unusable(data: bytes) -> str:
    if read_public_key(data.partition(b"\n")[0]) is not None:
        return "is a public key, and no agent has its private half"
    if OPENSSH_ARMOUR.encode() not in data:
        return _NO_KEY
    content = _inside_armour(data)
    if b"sk-ssh-ed25519@openssh.com" in content or b"sk-ecdsa-sha2-nistp256@" in content:
        return "is on a security key, and not in the agent (ssh-add it)"
    cipher = _cipher(content)
    if cipher in _OTHER_CIPHERS:
        return (
            f"is encrypted with {cipher}, which the agent alone reads (ssh-add it, "
            "or have ssh-keygen -p write it anew)"
        )
    return _NO_KEY


def _inside_armour(data: bytes) -> bytes:
    lines = [line for line in data.splitlines() if not line.startswith(b"-----")]
    try:
        return base64.b64decode(b"".join(lines))
    except ValueError:
        return b""


def _cipher(content: bytes) -> str:
    """Return what the private half is encrypted with (OpenSSH's PROTOCOL.key)."""
    try:
        name, _ = split_string(content.removeprefix(PRIVATE_MAGIC))
        return name.decode("ascii")
    except ValueError:
        return ""
