"""``known_hosts`` files, read line by line (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

A line that this tool does not understand, certificate authorities among them, is passed over; it
never takes the rest of the file with it. A revoked key is refused wherever it stands.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_DEFAULT_PORT = 22


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


@dataclass(frozen=True, slots=True)
class _Line:
    names: tuple[str, ...]
    key: HostKey
    revoked: bool

    def is_about(self, name: str) -> bool:
        found = False
        for pattern in self.names:
            if pattern.startswith("|1|"):
                found = found or _hash_matches(pattern, name)
            elif pattern.startswith("!"):
                if fnmatchcase(name, _glob(pattern[1:])):
                    return False
            else:
                found = found or fnmatchcase(name, _glob(pattern))
        return found


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The lines of all files. Those that name hosts in plain are found by name at once."""

    by_name: Mapping[str, tuple[_Line, ...]]
    patterns: tuple[_Line, ...]

    def trusted(self, names: Iterable[str]) -> tuple[HostKey, ...]:
        """Return the keys that are trusted for any of ``names`` (see :func:`entry_names`)."""
        return tuple(line.key for line in self._about(names) if not line.revoked)

    def is_revoked(self, names: Iterable[str], key: HostKey) -> bool:
        """Tell whether ``key`` is revoked for any of ``names``."""
        return any(line.revoked and line.key.blob == key.blob for line in self._about(names))

    def _about(self, names: Iterable[str]) -> Iterator[_Line]:
        for name in names:
            yield from self.by_name.get(name, ())
            yield from (line for line in self.patterns if line.is_about(name))


def entry_names(host: str, port: int) -> tuple[str, ...]:
    """Return the names under which a host's key may be kept: first its own, ``[host]:port``.

    A key under the bare name is good for another port too: OpenSSH's client looks there when it
    finds none under the first.
    """
    host = host.lower()
    return (host,) if port == _DEFAULT_PORT else (f"[{host}]:{port}", host)


def parse_known_hosts(texts: Iterable[str]) -> KnownHosts:
    """Return what the files' ``texts`` hold."""
    by_name: dict[str, list[_Line]] = {}
    patterns: list[_Line] = []
    for text in texts:
        for written in text.splitlines():
            line = _line(written)
            if line is None:
                continue
            if any(
                name.startswith(("|", "!")) or "*" in name or "?" in name for name in line.names
            ):
                patterns.append(line)
                continue
            for name in line.names:
                by_name.setdefault(name, []).append(line)
    return KnownHosts({name: tuple(lines) for name, lines in by_name.items()}, tuple(patterns))


def read_known_hosts(paths: Sequence[Path]) -> KnownHosts:
    """Return what the files at ``paths`` hold; a missing one is empty.

    Files that did not change since are not read again. Raises ``OSError`` for a file that is
    there and can't be read.
    """
    return _read(tuple((path, _version(path)) for path in paths))


def _version(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _read(versions: tuple[tuple[Path, tuple[int, int]], ...]) -> KnownHosts:
    there = [path for path, version in versions if version != (0, 0)]
    return parse_known_hosts(path.read_text(encoding="utf-8", errors="replace") for path in there)


def add_known_host(path: Path, name: str, key: HostKey) -> None:
    """Append a line for ``key`` to ``path``, which is made (0600) if it is not there.

    Safe against other threads and processes that do the same. Raises ``OSError``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as stream:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = stream.read()
        line = f"{name} {key.key_type} {base64.b64encode(key.blob).decode()}\n".encode()
        if line in before.splitlines(keepends=True):
            return
        if before and not before.endswith(b"\n"):
            line = b"\n" + line
        stream.write(line)


def _line(text: str) -> _Line | None:
    fields = text.split()
    if not fields or fields[0].startswith("#"):
        return None
    revoked = fields[0] == "@revoked"
    if fields[0].startswith("@"):
        if not revoked:
            return None
        fields = fields[1:]
    if len(fields) < 3:
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    names = tuple(name if name.startswith("|1|") else name.lower() for name in fields[0].split(","))
    return _Line(names, HostKey(fields[1], blob), revoked)


def _hash_matches(pattern: str, name: str) -> bool:
    parts = pattern.split("|")
    if len(parts) != 4:
        return False
    try:
        salt, wanted = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), wanted)


def _glob(pattern: str) -> str:
    # OpenSSH knows * and ? only; brackets belong to [host]:port.
    return pattern.replace("[", "[[]")
