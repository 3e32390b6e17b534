"""``known_hosts`` files, byte by byte as OpenSSH's client reads them, and what they say of a key.

The format is sshd(8)'s, SSH_KNOWN_HOSTS FILE FORMAT; what that leaves open follows OpenSSH's
``hostkeys_foreach`` and ``check_host_key``. Lines end at a line feed alone, and only blanks and
tabs separate fields: any other byte belongs to a name, a key or a comment. A line that is not
understood is skipped; the rest of the file still counts.

Keys are kept under names, as OpenSSH's client does since its CheckHostIP is off by default (8.5):
two names of one address have each their own entry, and may show keys of their own.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import threading
from contextlib import contextmanager, suppress
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from aegis_provision.files.reading import check_regular, read_file
from aegis_provision.transport.ssh.public_keys import (
    BLANKS,
    HostKey,
    is_too_short,
    plain_key,
    read_public_key,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_DEFAULT_PORT = 22
_HASH_MAGIC = b"|1|"
_SALT_LENGTH = 20
_LONGEST_PATTERN = 1022
_AUTHORITY, _REVOKED = b"@cert-authority", b"@revoked"
_BLANK = re.compile(rb"[ \t]")
_BLANK_ALONE = re.compile(rb" ")
_BLANK_OR_NUL = re.compile(rb"[ \t\0]")
# A name that stands for itself alone: no pattern, no list, no hash, no marker, no comment.
_ONE_NAME = re.compile(rb"[^\x00-\x20\x7f@?*#\[\]|'\"\\,!]+")
_NAME_AND_PORT = re.compile(rb"\[([^\]]+)\]:[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line's names, as they are written, its key's text, and its marker if it has one."""

    names: bytes
    key_text: bytes
    marker: bytes = b""

    @property
    def key(self) -> HostKey | None:
        """Return the key, ``None`` if the line holds none that OpenSSH's client takes."""
        key = read_public_key(self.key_text)
        return None if key is None or is_too_short(key) else key

    def is_about(self, name: bytes) -> bool:
        if self.names.startswith(b"|"):
            return _hash_matches(self.names, name)
        patterns = self.names.lower().decode("latin-1").split(",")
        return matches(name.lower().decode("latin-1"), patterns)


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """What known hosts say of a key that a host shows.

    ``others`` are its keys, if "changed"; if "revoked", the authority that is, and not the key.
    """

    standing: Literal["known", "new", "changed", "revoked"]
    others: tuple[HostKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Entries:
    """What stands under one name: keys of the host, keys of authorities, and revoked keys.

    Of a certificate that is revoked, ``revoked`` holds the key that it certifies.
    """

    trusted: tuple[HostKey, ...]
    authorities: tuple[HostKey, ...]
    revoked: tuple[HostKey, ...]


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The lines of all files. Those that name hosts in plain are found by name at once."""

    by_name: Mapping[bytes, tuple[_Line, ...]]
    patterns: tuple[_Line, ...]

    def verdict(self, names: Sequence[str], key: HostKey) -> KeyVerdict:
        """Return what the files say of ``key`` for a host with ``names`` (:func:`entry_names`).

        As for OpenSSH's client the first name decides if there is a key under it, or if ``key`` is
        revoked under it. Otherwise the next name counts, and only for a key that it knows: another
        key under it is not this host's.
        """
        for index, name in enumerate(names):
            entries = self.about(name)
            if key in entries.revoked:
                return KeyVerdict("revoked")
            if key in entries.trusted:
                return KeyVerdict("known")
            if entries.trusted and index == 0:
                return KeyVerdict("changed", entries.trusted)
        return KeyVerdict("new")

    def about(self, name: str) -> Entries:
        """Return what stands under ``name``."""
        written = _encoded(name)
        lines = list(self.by_name.get(written.lower(), ()))
        lines += [line for line in self.patterns if line.is_about(written)]
        keys = [(line.marker, line.key) for line in lines]
        found = {
            marker: tuple(key for mark, key in keys if key is not None and mark == marker)
            for marker in (b"", _AUTHORITY, _REVOKED)
        }
        revoked = tuple(plain_key(key) for key in found[_REVOKED])
        return Entries(found[b""], found[_AUTHORITY], revoked)


def entry_names(host: str, port: int) -> tuple[str, ...]:
    """Return the names under which a host's key may be kept: first its own, ``[host]:port``.

    If it has no entry, a key under the bare name is good for another port too (see
    :meth:`KnownHosts.verdict`).
    """
    host = host.lower()
    return (host,) if port == _DEFAULT_PORT else (f"[{host}]:{port}", host)


def parse_known_hosts(texts: Iterable[bytes]) -> KnownHosts:
    """Return what the files' ``texts`` hold."""
    by_name: dict[bytes, list[_Line]] = {}
    patterns: list[_Line] = []
    for text in texts:
        for written in text.split(b"\n"):
            line = _line(written)
            if line is None:
                continue
            if any(sign in line.names for sign in (b"|", b"!", b"*", b"?")):
                patterns.append(line)
                continue
            for name in dict.fromkeys(line.names.lower().split(b",")):
                by_name.setdefault(name, []).append(line)
    return KnownHosts({name: tuple(lines) for name, lines in by_name.items()}, tuple(patterns))


@dataclass(frozen=True, slots=True)
class LineCounts:
    """How many lines of a file hold a key, and the numbers of those that should and do not."""

    entries: int
    broken: tuple[int, ...]


def count_lines(text: bytes) -> LineCounts:
    """Return what the lines of a file's ``text`` are; OpenSSH's client passes over broken ones."""
    entries = 0
    broken: list[int] = []
    for number, written in enumerate(text.split(b"\n"), start=1):
        if not written.strip() or written.lstrip(BLANKS).startswith(b"#"):
            continue
        line = _line(written)
        if line is None or line.key is None:
            broken.append(number)
        else:
            entries += 1
    return LineCounts(entries, tuple(broken))


def read_known_hosts(paths: Sequence[Path]) -> KnownHosts:
    """Return what the files at ``paths`` hold; a missing one is empty.

    Files that did not change since are not read again. Raises ``OSError`` for a file that is
    there and can't be read.
    """
    return _read(tuple((path, _version(path)) for path in paths))


_Version = tuple[int, int, int]
_MISSING: _Version = (0, 0, 0)


def _version(path: Path) -> _Version:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    return (found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _read(versions: tuple[tuple[Path, _Version], ...]) -> KnownHosts:
    return parse_known_hosts(_content(path) for path, version in versions if version != _MISSING)


def _content(path: Path) -> bytes:
    """Return the bytes of one known_hosts file, none if it is missing. Raises ``OSError``."""
    try:
        return read_file(path, null=True)
    except (FileNotFoundError, NotADirectoryError):
        return b""


def add_if_new(paths: Sequence[Path], names: Sequence[str], key: HostKey) -> KeyVerdict:
    """Append a line for ``key`` to the first of ``paths``, if the files know none by now.

    Returns the verdict before that: "new" says that the key was added. Looking and adding are one
    step for all threads and processes that do the same, so the first key that comes is the only
    one. The file is made (0600) if it is not there. Raises ``OSError``, for what is no file (the
    null device keeps nothing) too, and ``ValueError`` for a name that a line can't say.
    """
    first = paths[0]
    with _ADDING, _locked(first) as descriptor:
        before = _content(first)
        texts = [before, *(_content(path) for path in paths[1:])]
        verdict = parse_known_hosts(texts).verdict(names, key)
        if verdict.standing == "new":
            line = _line_for(names[0], key)
            _append(descriptor, line if before[-1:] in (b"", b"\n") else b"\n" + line)
        return verdict


_ADDING = threading.Lock()
_TO_ADD = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock on the file at ``path``: the one that is there then, not one replaced since."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with suppress(FileNotFoundError):
            check_regular(path, path.stat())
        descriptor = os.open(path, _TO_ADD, 0o600)
        try:
            check_regular(path, os.fstat(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _append(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "ab", closefd=False) as stream:
        stream.write(data)


def _line_for(name: str, key: HostKey) -> bytes:
    """Return the line that says ``key`` under ``name`` and no other. Raises ``ValueError``."""
    written = _encoded(name)
    with_port = _NAME_AND_PORT.fullmatch(written)
    if not _ONE_NAME.fullmatch(with_port[1] if with_port else written):
        raise ValueError(name)
    return b"%s %s %s\n" % (written, key.key_type.encode(), base64.b64encode(key.blob))


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _line(text: bytes) -> _Line | None:
    """Return what one line says, ``None`` for one that says nothing of a host."""
    text = text.lstrip(BLANKS)
    if text.startswith(b"#"):
        return None
    marker = b""
    if text.startswith(b"@"):
        marker, text = _marker(text)
        if marker not in {_AUTHORITY, _REVOKED}:
            return None
    # A NUL ends what OpenSSH's client takes for the names, and the next one the line.
    names, rest = _split(text, _BLANK_OR_NUL)
    key_text = rest.partition(b"\0")[0]
    if not key_text or _has_long_pattern(names):
        return None
    return _Line(names, key_text, marker)


def _marker(text: bytes) -> tuple[bytes, bytes]:
    """Return the marker that ``text`` begins with, and what follows it.

    For OpenSSH's client the first blank ends a marker, and a tab only where no blank follows, so
    that it skips such a line. A key that the file calls revoked is refused here all the same.
    """
    marker, rest = _split(text, _BLANK)
    if marker != _REVOKED and b" " in text.partition(b"\0")[0]:
        return _split(text, _BLANK_ALONE)
    return marker, rest


def _split(text: bytes, separator: re.Pattern[bytes]) -> tuple[bytes, bytes]:
    """Return what is before the first ``separator``, and what follows it, less its blanks."""
    before, *after = separator.split(text, maxsplit=1)
    return before, b"".join(after).lstrip(BLANKS)


def _has_long_pattern(names: bytes) -> bool:
    # OpenSSH's client holds that such a list matches nothing.
    return len(names) > _LONGEST_PATTERN and any(
        len(pattern.removeprefix(b"!")) > _LONGEST_PATTERN for pattern in names.split(b",")
    )


def _hash_matches(written: bytes, name: bytes) -> bool:
    """Tell whether ``written``, a line's first field as a whole, is the hash of ``name``."""
    try:
        salt = base64.b64decode(written.removeprefix(_HASH_MAGIC).partition(b"|")[0], validate=True)
    except (binascii.Error, ValueError):
        return False
    digest = hmac.new(salt, name, hashlib.sha1).digest()
    hashed = _HASH_MAGIC + base64.b64encode(salt) + b"|" + base64.b64encode(digest)
    return len(salt) == _SALT_LENGTH and hmac.compare_digest(hashed, written)


def matches(subject: str, patterns: Iterable[str]) -> bool:
    """Tell whether ``subject`` matches one of ``patterns``, and none that is negated with ``!``.

    Only ``*`` and ``?`` are special (ssh_config(5), PATTERNS): brackets belong to ``[host]:port``.
    """
    found = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if _matcher(pattern[negated:])(subject):
            if negated:
                return False
            found = True
    return found


@lru_cache(maxsize=65536)
def _matcher(pattern: str) -> Callable[[str], object]:
    if "*" not in pattern and "?" not in pattern:
        return pattern.__eq__
    return re.compile(translate(pattern.replace("[", "[[]"))).match
