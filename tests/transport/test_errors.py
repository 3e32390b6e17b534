"""The texts for an SFTP server's refusals: by the operation that was refused."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable, WriteFailed, WriteRefused
from aegis_provision.transport.errors import describe_file_error
from aegis_provision.transport.filesystem import RenameNotAllowedError, RenameNotOfferedError
from aegis_provision.transport.sftp.packets import ATTRS, CLOSE, MKDIR, OPEN, WRITE
from tests.fleet.sftp_wire import wired
from tests.transport.sftp.test_files import _answering
from tests.transport.targets import (
    DATA_DIR,
    OLD,
    age_lock,
    attempt,
    leftovers,
    plan_write,
    put,
    read_state,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.sftp_wire import Wire

UNSUPPORTED, DENIED = 8, 3
NOT_SUPPORTED = "the host's SFTP server does not support this operation"
RENAME = "posix-rename@openssh.com"


def _status(number: bytes, code: int) -> bytes:
    body = bytes([101]) + number + struct.pack(">III", code, 0, 0)
    return struct.pack(">I", len(body)) + body


def refuse(wire: Wire, kind: int, code: int, *, after: int = 0) -> None:
    """Let the server answer every request of ``kind`` with ``code``, the first ``after`` aside."""
    forward, seen = wire._forward, [0]  # noqa: SLF001 - a wire that lies as no Trouble does

    def lie(packet: bytes) -> bool:
        seen[0] += packet[4] == kind
        if packet[4] != kind or seen[0] <= after:
            return forward(packet)
        wire.requests.append(packet[4])
        wire._ready += _status(packet[5:9], code)  # noqa: SLF001
        return True

    wire._forward = lie  # type: ignore[method-assign] # noqa: SLF001


@pytest.mark.parametrize(
    ("kind", "after", "step", "error"),
    [
        (MKDIR, 0, "prepare", WriteRefused),
        (OPEN, 0, "lock", WriteRefused),
        (WRITE, 0, "lock", WriteRefused),
        (WRITE, 1, "stage", WriteFailed),
        (CLOSE, 0, "stage", WriteFailed),
    ],
)
def test_what_a_server_does_not_support_is_not_blamed_on_renames(
    tmp_path: Path, kind: int, after: int, step: str, error: type[WriteRefused | WriteFailed]
) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired() as (files, _):
        write = plan_write(read_state(files, path))
    with wired() as (files, wire):
        refuse(wire, kind, UNSUPPORTED, after=after)
        result = attempt(files, write)
    assert isinstance(result, error)
    assert result.step == step
    assert NOT_SUPPORTED in result.reason
    assert RENAME not in result.reason
    assert path.read_bytes() == OLD


def test_a_rename_that_is_denied_is_named(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    with wired() as (files, wire):
        write = plan_write(read_state(files, path))
        refuse(wire, 200, DENIED, after=3)  # fsync, the file kept before, and the one that is kept
        result = attempt(files, write)
    assert isinstance(result, WriteFailed)
    words = f"no permission to rename over a file (is {RENAME} denied to SFTP there?)"
    assert (result.step, result.reason) == ("rename", f"{words}; the file there is untouched")


def test_one_that_is_denied_where_a_lock_expired_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    (tmp_path / DATA_DIR).mkdir(mode=0o700)
    (tmp_path / DATA_DIR / "lock").write_text("of a dead run")
    age_lock(tmp_path)
    with wired() as (files, wire):
        write = plan_write(read_state(files, path))
        refuse(wire, 200, DENIED)
        result = attempt(files, write)
    assert isinstance(result, WriteRefused)
    assert result.step == "lock"
    assert RENAME in result.reason
    assert leftovers(tmp_path) == {"lock"}


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (PermissionError(errno.EACCES, "x"), "no permission"),
        (
            RenameNotAllowedError(errno.EACCES, "x"),
            f"no permission to rename over a file (is {RENAME} denied to SFTP there?)",
        ),
        (
            RenameNotOfferedError(errno.EOPNOTSUPP, "x"),
            f"the host's SFTP server can't rename over a file ({RENAME})",
        ),
        (OSError(errno.EOPNOTSUPP, "x"), NOT_SUPPORTED),
        (OSError("failure"), "the host says no more than 'failure'"),
        (OSError(errno.ENOSPC, "x"), os.strerror(errno.ENOSPC).lower()),
    ],
)
def test_words(problem: OSError, words: str) -> None:
    assert describe_file_error(problem) == words


@pytest.mark.parametrize("flags", [0, 0x2, 0x4])
def test_a_server_that_sends_no_owner_or_mode_is_named_in_the_error(flags: int) -> None:
    words = {0: (), 0x2: (1, 1), 0x4: (0o40755,)}[flags]
    body = struct.pack(f">{1 + len(words)}I", flags, *words)
    with (
        _answering(lambda _: (ATTRS, body)) as files,
        pytest.raises(Unreachable, match="does not tell a file's owner and mode") as caught,
    ):
        files.stat("/")
    assert caught.value.hint == "use OpenSSH's SFTP server there"
