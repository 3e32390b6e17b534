"""The verdict on the key that a host shows: known, new, changed or revoked, and what follows.

``known_hosts`` holds the keys that are known; ``--host-key`` says whether a new one is accepted.

``RevokedHostKeys`` (ssh_config(5)) names a file of keys to refuse: a list, or OpenSSH's KRL. If the
file can't be read or is not understood, every key is refused, as by OpenSSH's
``sshkey_check_revoked``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.files.reading import read_file
from aegis_provision.transport.connect_options import AcceptedKey
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.ssh.known_hosts import (
    BLANKS,
    HostKey,
    add_if_new,
    read_public_key,
    split_string,
    strings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.ssh.known_hosts import HostKey, KeyVerdict, KnownHosts
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_STEP = "host key"
_REVOKED_HINT = "someone may be in between; ask who runs the host"
# OpenSSH's PROTOCOL.krl.
_MAGIC = b"SSHKRL\n\0"
_VERSION = 1
_HEADER = struct.Struct(">8sIQQQ")
_CERTIFICATES, _KEYS, _SHA1, _SIGNATURE, _SHA256 = 1, 2, 3, 4, 5
_SKIPPED = frozenset({_CERTIFICATES, _SIGNATURE})
_LENGTHS = {_KEYS: None, _SHA1: 20, _SHA256: 32}


def check_host_key(
    key: HostKey, hop: Hop, known_hosts: KnownHosts, options: ConnectOptions
) -> AcceptedKey | None:
    """Return the key if it was new and accepted on trust, ``None`` if it was known.

    Raises :class:`Unreachable` for a key that is revoked, changed, or new and not to be accepted.
    """
    name = hop.key_name
    if hop.revoked_keys is not None:
        _check_revoked(key, name, hop.revoked_keys)
    verdict = known_hosts.verdict(hop.key_names, key)
    if verdict.standing == "new" and options.accept_new:
        verdict = _accept_new(key, hop)
        if verdict.standing == "new":
            return AcceptedKey(name, key.key_type, key.fingerprint)
    if verdict.standing == "known":
        return None
    raise _refused(key, name, verdict)


def _check_revoked(key: HostKey, name: str, path: str) -> None:
    try:
        revoked = read_revoked_keys(path)
    except RevokedKeysError as problem:
        raise Unreachable(
            _STEP,
            f"whether the key of {name} is revoked can't be told: RevokedHostKeys {problem}",
            "correct the file or the ssh config (without the file ssh refuses every key too)",
        ) from None
    if key in revoked:
        raise Unreachable(
            _STEP,
            f"the key of {name} is revoked by {path} ({key.fingerprint})",
            _REVOKED_HINT,
        )


def _accept_new(key: HostKey, hop: Hop) -> KeyVerdict:
    if hop.new_keys_file is None:
        raise Unreachable(
            _STEP,
            f"the key of {hop.key_name} is new, and there is no file to save it in",
            "--known-hosts, or UserKnownHostsFile of the ssh config, must name one",
        )
    others = tuple(path for path in hop.known_hosts if path != hop.new_keys_file)
    with map_errors("known_hosts"):
        try:
            return add_if_new((hop.new_keys_file, *others), hop.key_names, key)
        except ValueError:
            raise Unreachable(
                "known_hosts",
                f"a key can't be saved under {hop.key_name!r}, which is no plain name",
                "correct HostKeyAlias or HostName in the ssh config",
            ) from None


def _refused(key: HostKey, name: str, verdict: KeyVerdict) -> Unreachable:
    if verdict.standing == "revoked":
        return Unreachable(
            _STEP, f"the key of {name} is revoked ({key.fingerprint})", _REVOKED_HINT
        )
    if verdict.standing == "changed":
        old = ", ".join(dict.fromkeys(key.fingerprint for key in verdict.others))
        return Unreachable(
            _STEP,
            f"the key of {name} has changed: known is {old}, and it shows {key.fingerprint}",
            f"someone may be in between; if the host was reinstalled: ssh-keygen -R '{name}'",
        )
    return Unreachable(
        _STEP,
        f"the key of {name} is not known ({key.key_type} {key.fingerprint})",
        "compare it with the host's own, then add it with ssh-keyscan, "
        "or take it with --host-key accept-new",
    )


class RevokedKeysError(Exception):
    """A file of revoked keys that can't be used; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class RevokedKeys:
    """Blobs of revoked keys, and digests of such blobs."""

    blobs: frozenset[bytes] = field(default=frozenset())
    sha1: frozenset[bytes] = field(default=frozenset())
    sha256: frozenset[bytes] = field(default=frozenset())

    def __contains__(self, key: HostKey) -> bool:
        """Tell whether ``key`` is revoked."""
        return (
            key.blob in self.blobs
            or hashlib.sha1(key.blob, usedforsecurity=False).digest() in self.sha1
            or hashlib.sha256(key.blob).digest() in self.sha256
        )


def read_revoked_keys(path: str) -> RevokedKeys:
    """Return what the file at ``path`` revokes. Raises :class:`RevokedKeysError`.

    A file that did not change since is not read again.
    """
    file = Path(path)
    try:
        found = file.stat()
        return _read(file, (found.st_ino, found.st_mtime_ns, found.st_size))
    except OSError as problem:
        raise RevokedKeysError(f"{path} can't be read: {problem.strerror}") from None


@lru_cache(maxsize=4)
def _read(path: Path, version: tuple[int, int, int]) -> RevokedKeys:  # noqa: ARG001 - the cache's key
    try:
        return parse_revoked_keys(read_file(path, null=True))
    except ValueError as problem:
        raise RevokedKeysError(f"{path} is not understood: {problem}") from None


def parse_revoked_keys(content: bytes) -> RevokedKeys:
    """Return what ``content`` revokes. Raises ``ValueError`` that says what is wrong with it."""
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
        blobs.add(key.blob)
    return RevokedKeys(frozenset(blobs))


def _revocation_list(content: bytes) -> RevokedKeys:
    """Read a KRL. Its parts about certificates are skipped: we accept none."""
    found: dict[int, set[bytes]] = {kind: set() for kind in _LENGTHS}
    for kind, data in _sections(content):
        if kind in _SKIPPED:
            continue
        if kind not in found:
            raise ValueError(f"it has a part of an unknown kind ({kind})")
        entries = strings(data)
        if _LENGTHS[kind] is not None and any(len(entry) != _LENGTHS[kind] for entry in entries):
            raise ValueError("a digest in it has the wrong length")
        found[kind].update(entries)
    return RevokedKeys(*(frozenset(found[kind]) for kind in (_KEYS, _SHA1, _SHA256)))


def _sections(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the parts of a KRL, each with its kind. Raises ``ValueError``."""
    if len(content) < _HEADER.size:
        raise ValueError("it ends in the middle of its header")
    _, version, _, _, _ = _HEADER.unpack_from(content)
    if version != _VERSION:
        raise ValueError(f"it is of an unknown version ({version})")
    _, rest = split_string(content[_HEADER.size :])  # reserved
    _, rest = split_string(rest)  # a comment
    while rest:
        kind = rest[0]
        data, rest = split_string(rest[1:])
        yield kind, data
