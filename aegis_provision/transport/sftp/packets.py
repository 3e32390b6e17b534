"""SFTP's packets as bytes: version 3, as draft-ietf-secsh-filexfer-02 has it.

paramiko has SFTP too, but made for one request at a time: it takes longer over a packet than the
host takes to answer it. We send a dozen kinds of requests, whose form never changes.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from aegis_provision.transport.filesystem import FileStat, FileSystemSpace

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Reader: TypeAlias = "Callable[[int, bytes], T]"
"""Makes a value of a reply's kind and body."""

VERSION = 3

INIT = 1
VERSION_REPLY = 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 3, 4, 5, 6, 7, 8
FSETSTAT = 10
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK = 13, 14, 15, 16, 17, 18, 19
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

FOR_READING = 0x01
TO_MAKE = 0x02 | 0x08 | 0x20  # for writing, made, and not there yet

_OK, _EOF = 0, 1
_ERRNO = {2: errno.ENOENT, 3: errno.EACCES, 8: errno.EOPNOTSUPP}
_SIZE, _OWNER, _MODE, _TIMES = 0x1, 0x2, 0x4, 0x8
_NEEDED = _OWNER | _MODE

_HEAD = struct.Struct(">IBI")
_NUMBER = struct.Struct(">I")
_AFTER_LENGTH = 5  # the kind, and the request's number
_STATVFS = struct.Struct(">11Q")
_READ_ONLY = 0x1

NO_ATTRIBUTES = _NUMBER.pack(0)


class NoAttributesError(Exception):
    """A server's reply about a file lacks its owner or its mode."""


class ProtocolError(Exception):
    """A reply does not have the form that its request calls for."""


def request(kind: int, number: int, body: bytes) -> bytes:
    """Return a whole packet. The reply gives ``number`` back."""
    return _HEAD.pack(_AFTER_LENGTH + len(body), kind, number) + body


def init() -> bytes:
    """Return the packet that a client begins with."""
    return _HEAD.pack(_AFTER_LENGTH, INIT, VERSION)


def parse_reply(packet: bytes) -> tuple[int, int, bytes]:
    """Return a reply's kind, number and body. Raises :class:`ProtocolError`."""
    if len(packet) < _AFTER_LENGTH:
        raise ProtocolError
    return packet[0], _NUMBER.unpack_from(packet, 1)[0], packet[_AFTER_LENGTH:]


def string(data: bytes) -> bytes:
    """Return ``data`` with its length before it."""
    return _NUMBER.pack(len(data)) + data


def uint32(value: int) -> bytes:
    """Return a number of 32 bits."""
    return _NUMBER.pack(value)


def uint64(value: int) -> bytes:
    """Return a number of 64 bits, such as an offset into a file."""
    return struct.pack(">Q", value)


def with_mode(mode: int) -> bytes:
    """Return the attributes of a file of which only the permission bits are set."""
    return struct.pack(">II", _MODE, mode)


def with_owner(uid: int, gid: int) -> bytes:
    """Return the attributes of a file of which only the owner is set."""
    return struct.pack(">III", _OWNER, uid, gid)


def with_time(mtime: int) -> bytes:
    """Return the attributes of a file of which only the times are set, in seconds."""
    return struct.pack(">III", _TIMES, mtime, mtime)


def read_done(kind: int, body: bytes) -> None:
    """Read the reply to a request that returns nothing.

    Raises the ``OSError`` that a status stands for, by its number and never by the host's text: it
    may be in any language and encoding, and a hostile host may put anything into it. One without a
    number is the protocol's plain "failure". Raises ``EOFError`` at a file's end, and
    :class:`ProtocolError`.
    """
    if kind != STATUS:
        raise ProtocolError
    code = _number_at(body, 0)
    if code == _OK:
        return
    if code == _EOF:
        raise EOFError
    known_errno = _ERRNO.get(code)
    if known_errno is None:
        raise OSError("failure")
    raise OSError(known_errno, os.strerror(known_errno))


def read_extensions(version: bytes) -> frozenset[str]:
    """Return the names of the extensions that a server's version packet announces.

    They follow the version in pairs of name and data (section 4). What is cut off, or is no ASCII,
    is none.
    """
    names: set[str] = set()
    at = _AFTER_LENGTH
    while at < len(version):
        try:
            name = _string_at(version, at)
            at += 4 + len(name)
            at += 4 + len(_string_at(version, at))
        except ProtocolError:
            break
        names.add(name.decode("ascii", "replace"))
    return frozenset(names)


def read_space(kind: int, body: bytes) -> FileSystemSpace:
    """Read the reply to ``statvfs@openssh.com`` (OpenSSH's PROTOCOL, section 4.4).

    Raises what :func:`read_done` does.
    """
    _expect(EXTENDED_REPLY, kind, body)
    try:
        _, unit, _, free, available, files, free_files, available_files, _, flags, _ = (
            _STATVFS.unpack_from(body)
        )
    except struct.error:
        raise ProtocolError from None
    return FileSystemSpace(
        free=free * unit,
        available=available * unit,
        files=available_files if files else None,
        free_files=free_files if files else None,
        read_only=bool(flags & _READ_ONLY),
    )


def read_handle(kind: int, body: bytes) -> bytes:
    """Read an open file's handle. Raises what :func:`read_done` does."""
    _expect(HANDLE, kind, body)
    return _string_at(body, 0)


def read_data(kind: int, body: bytes) -> bytes:
    """Read a piece of a file's content. Raises what :func:`read_done` does."""
    _expect(DATA, kind, body)
    return _string_at(body, 0)


def read_name(kind: int, body: bytes) -> bytes:
    """Read the one path that was asked for. Raises what :func:`read_done` does."""
    _expect(NAME, kind, body)
    if _number_at(body, 0) != 1:
        raise ProtocolError
    return _string_at(body, 4)


def read_attributes(kind: int, body: bytes) -> FileStat:
    """Read a file's stat; what a server leaves out is 0. Raises what :func:`read_done` does."""
    _expect(ATTRS, kind, body)
    flags, at = _number_at(body, 0), 4
    size = uid = gid = mode = mtime = 0
    if flags & _SIZE:
        size = _number_at(body, at) << 32 | _number_at(body, at + 4)
        at += 8
    if flags & _OWNER:
        uid, gid = _number_at(body, at), _number_at(body, at + 4)
        at += 8
    if flags & _MODE:
        mode = _number_at(body, at)
        at += 4
    if flags & _TIMES:
        mtime = _number_at(body, at + 4)
    return FileStat(mode, uid, gid, size, mtime)


def read_stat(kind: int, body: bytes) -> FileStat:
    """Read a file's stat, of which size and times may be left out.

    Raises what :func:`read_done` does, and :class:`NoAttributesError` if owner or mode is left out,
    as section 5 lets a server do: owner 0 would pass for root, and mode 0 for no directory.
    """
    found = read_attributes(kind, body)
    if _number_at(body, 0) & _NEEDED != _NEEDED:
        raise NoAttributesError
    return found


def _expect(expected: int, kind: int, body: bytes) -> None:
    if kind == expected:
        return
    read_done(kind, body)
    raise ProtocolError  # it says ok without the value that the request calls for


def _number_at(body: bytes, at: int) -> int:
    try:
        value: int = _NUMBER.unpack_from(body, at)[0]
    except struct.error:
        raise ProtocolError from None
    return value


def _string_at(body: bytes, at: int) -> bytes:
    end = at + 4 + _number_at(body, at)
    if end > len(body):
        raise ProtocolError
    return body[at + 4 : end]
