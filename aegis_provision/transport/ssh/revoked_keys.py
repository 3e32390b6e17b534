"""Files of revoked keys: a list of them, or OpenSSH's KRL (``RevokedHostKeys`` of ssh_config(5)).

What a file revokes follows OpenSSH's ``sshkey_check_revoked``: a key itself, a certificate by its
serial number or its id, and with an authority's key all certificates that it signed.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.files.reading import read_file
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.certificates import read_key
from aegis_provision.transport.ssh.public_keys import (
    BLANKS,
    plain_key,
    read_public_key,
    split_string,
    strings,
)
from aegis_provision.transport.ssh.signatures import is_signed, signature_algorithm
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.ssh.certificates import Certificate
    from aegis_provision.transport.ssh.public_keys import HostKey

# OpenSSH's PROTOCOL.krl.
_MAGIC = b"SSHKRL\n\0"
_VERSION = 1
_HEADER = struct.Struct(">8sIQQQ")
_CERTIFICATES, _KEYS, _SHA1, _SIGNATURE, _SHA256 = 1, 2, 3, 4, 5
_LENGTHS = {_KEYS: None, _SHA1: 20, _SHA256: 32}
_SERIALS, _SERIAL_RANGE, _SERIAL_BITMAP, _KEY_IDS = 0x20, 0x21, 0x22, 0x23
_NUMBER = 8
_LONGEST_BITMAP = 1 << 20
_RUN = re.compile("1+")


class RevokedKeysError(Exception):
    """A file of revoked keys that can't be used; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class RevokedCertificates:
    """Certificates that are revoked, of one authority or (``None``) of all.

    ``ranges`` holds serial numbers, the first and the last of each range.
    """

    authority: bytes | None
    ranges: tuple[tuple[int, int], ...] = ()
    key_ids: frozenset[str] = frozenset()

    def __contains__(self, certificate: Certificate) -> bool:
        """Tell whether ``certificate`` is revoked. Nothing revokes the serial number 0."""
        if self.authority not in {None, certificate.authority.blob}:
            return False
        serial = certificate.serial
        by_serial = serial != 0 and any(low <= serial <= high for low, high in self.ranges)
        return by_serial or certificate.key_id in self.key_ids


@dataclass(frozen=True, slots=True)
class RevokedKeys:
    """Blobs of revoked keys, digests of such blobs, and revoked certificates."""

    blobs: frozenset[bytes] = field(default=frozenset())
    sha1: frozenset[bytes] = field(default=frozenset())
    sha256: frozenset[bytes] = field(default=frozenset())
    certificates: tuple[RevokedCertificates, ...] = ()

    def __contains__(self, key: HostKey) -> bool:
        """Tell whether the plain ``key`` is revoked."""
        return (
            key.blob in self.blobs
            or hashlib.sha1(key.blob, usedforsecurity=False).digest() in self.sha1
            or hashlib.sha256(key.blob).digest() in self.sha256
        )

    def revokes(self, certificate: Certificate) -> bool:
        """Tell whether ``certificate``, its key or its authority is revoked."""
        return (
            certificate.key in self
            or certificate.authority in self
            or any(certificate in part for part in self.certificates)
        )


def read_revoked_keys(path: str) -> RevokedKeys:
    """Return what the file at ``path`` revokes. Raises :class:`RevokedKeysError`.

    A file that did not change since is not read again. Raises ``OSError`` where this machine has
    no file or memory left for it.
    """
    file = Path(path)
    try:
        found = file.stat()
        return _read(file, (found.st_ino, found.st_mtime_ns, found.st_size))
    except OSError as problem:
        raise_shortage(problem)
        raise RevokedKeysError(f"{path} can't be read: {problem.strerror}") from None


@lru_cache(maxsize=4)
def _read(path: Path, version: tuple[int, int, int]) -> RevokedKeys:  # noqa: ARG001 - the cache's key
    try:
        return parse_revoked_keys(read_file(path, null=True))
    except ValueError as problem:
        raise RevokedKeysError(f"{path} is not understood: {problem}") from None


def parse_revoked_keys(content: bytes) -> RevokedKeys:
    """Return what ``content`` revokes. Raises ``ValueError`` that says what is wrong with it.

    A certificate in a list stands for the key that it certifies.
    """
    if content.startswith(_MAGIC):
        return _revocation_list(content)
    blobs: set[bytes] = set()
    for number, written in enumerate(content.split(b"\n"), start=1):
        line = written.partition(b"\0")[0].lstrip(BLANKS)
        if not line or line.startswith(b"#"):
            continue
        key = read_public_key(line)
        if key is None:
            raise ValueError(f"line {number} is no public key")
        blobs.add(plain_key(key).blob)
    return RevokedKeys(frozenset(blobs))


def _revocation_list(content: bytes) -> RevokedKeys:
    found: dict[int, set[bytes]] = {kind: set() for kind in _LENGTHS}
    certificates: list[RevokedCertificates] = []
    for kind, data in _sections(content):
        if kind == _CERTIFICATES:
            certificates.append(_certificates(data))
            continue
        if kind not in found:
            raise ValueError(f"it has a part of an unknown kind ({kind})")
        entries = strings(data)
        if _LENGTHS[kind] is not None and any(len(entry) != _LENGTHS[kind] for entry in entries):
            raise ValueError("a digest in it has the wrong length")
        found[kind].update(entries)
    keys, sha1, sha256 = (frozenset(found[kind]) for kind in (_KEYS, _SHA1, _SHA256))
    return RevokedKeys(keys, sha1, sha256, tuple(certificates))


def _sections(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a KRL but its signatures, each with its kind. Raises ``ValueError``.

    A signature covers all that stands before it, and only further ones may follow it. It says
    nothing of who may sign, but one that is wrong spoils the file.
    """
    if len(content) < _HEADER.size:
        raise ValueError("it ends in the middle of its header")
    _, version, _, _, _ = _HEADER.unpack_from(content)
    if version != _VERSION:
        raise ValueError(f"it is of an unknown version ({version})")
    _, rest = split_string(content[_HEADER.size :])  # reserved
    _, rest = split_string(rest)  # a comment
    signed = False
    while rest:
        kind = rest[0]
        data, rest = split_string(rest[1:])
        if kind != _SIGNATURE:
            if signed:
                raise ValueError("something follows its signature")
            yield kind, data
            continue
        signed = True
        covered = content[: len(content) - len(rest)]
        signature, rest = split_string(rest)
        key = read_key(data).blob
        if not is_signed(covered, signature, key, {signature_algorithm(signature)}):
            raise ValueError("its signature is wrong")


def _certificates(data: bytes) -> RevokedCertificates:
    authority, rest = split_string(data)
    _, rest = split_string(rest)  # reserved
    ranges: list[tuple[int, int]] = []
    key_ids: set[str] = set()
    while rest:
        kind = rest[0]
        part, rest = split_string(rest[1:])
        if kind == _KEY_IDS:
            key_ids.update(key_id.decode("utf-8", "replace") for key_id in strings(part))
        else:
            ranges += _serials(kind, part)
    blob = read_key(authority).blob if authority else None
    return RevokedCertificates(blob, tuple(ranges), frozenset(key_ids))


def _serials(kind: int, data: bytes) -> Iterator[tuple[int, int]]:
    if kind == _SERIAL_BITMAP:
        bits, rest = split_string(data[_NUMBER:])
        if rest or len(bits) > _LONGEST_BITMAP:
            raise ValueError("a bitmap of serial numbers in it is not proper")
        low = int.from_bytes(data[:_NUMBER], "big")
        lowest_first = f"{int.from_bytes(bits, 'big'):b}"[::-1]
        for run in _RUN.finditer(lowest_first):
            yield low + run.start(), low + run.end() - 1
        return
    if kind not in {_SERIALS, _SERIAL_RANGE} or len(data) % _NUMBER:
        raise ValueError(f"it has a part about certificates of an unknown kind ({kind})")
    numbers = [
        int.from_bytes(data[at : at + _NUMBER], "big") for at in range(0, len(data), _NUMBER)
    ]
    if kind == _SERIALS:
        yield from ((number, number) for number in numbers)
        return
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise ValueError("a range of serial numbers in it is not proper")
    yield numbers[0], numbers[1]
