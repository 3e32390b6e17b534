"""SFTP errors go by a status' number, not its text; servers that answer out of turn."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.sftp.client import SftpStream
from aegis_provision.transport.sftp.files import SftpFiles
from tests.fleet.sftp_wire import wired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPEN, READ, LSTAT, FSTAT, REALPATH = 3, 5, 7, 8, 16
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _attrs(mode: int = 0o100600, size: int | None = None) -> bytes:
    rest = struct.pack(">III", 1000, 1000, mode)
    if size is None:
        return struct.pack(">I", 0x2 | 0x4) + rest
    return struct.pack(">IQ", 0x1 | 0x2 | 0x4, size) + rest


def _status(code: int, words: bytes = b"") -> tuple[int, bytes]:
    return STATUS, struct.pack(">I", code) + _text(words) + _text(b"")


@contextmanager
def _answering(
    answer: Callable[[int], tuple[int, bytes]], *, hold: int = 0, timeout: float = 20.0
) -> Iterator[SftpFiles]:
    """Yield files on a server that replies with what ``answer`` returns for a kind of request.

    Answers to requests of the kind ``hold`` are sent after the next other one.
    """
    ours, theirs = socket.socketpair()

    def serve() -> None:
        held = b""
        with theirs, theirs.makefile("rb") as stream, suppress(ConnectionError):
            while head := stream.read(5):
                (length,) = struct.unpack(">I", head[:4])
                body = stream.read(length - 1)
                if head[4] == 1:
                    theirs.sendall(struct.pack(">IBI", 5, 2, 3))
                    continue
                kind, reply = answer(head[4])
                packet = struct.pack(">IB", 5 + len(reply), kind) + body[:4] + reply
                if head[4] == hold:
                    held += packet
                    continue
                theirs.sendall(packet + held)
                held = b""

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        stream = SftpStream(ours, timeout, Deadline.after(60.0))
        files = SftpFiles(stream)
        files.start()
        yield files
    finally:
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        thread.join(timeout=30)


@pytest.mark.parametrize("words", [b"", b"No such file", "inaccessible é".encode("latin-1")])
@pytest.mark.parametrize(
    ("code", "error"), [(2, FileNotFoundError), (3, PermissionError), (4, OSError), (8, OSError)]
)
def test_a_status_counts_by_its_number(code: int, error: type[OSError], words: bytes) -> None:
    with (
        _answering(lambda _: _status(code, words)) as files,
        pytest.raises(error) as caught,
    ):
        files.lstat("/x")
    assert "inaccessible" not in str(caught.value)


@pytest.mark.parametrize("code", [6, 7])
def test_a_server_that_says_its_connection_is_lost_is_an_error_of_the_host(code: int) -> None:
    with _answering(lambda _: _status(code)) as files, pytest.raises(OSError, match="failure"):
        files.lstat("/x")


def test_facts_and_content_come_in_any_order() -> None:
    answers = {
        OPEN: (HANDLE, _text(b"h")),
        FSTAT: (ATTRS, _attrs()),
        READ: (DATA, _text(b"content")),
    }
    with _answering(lambda kind: answers.get(kind, _status(0)), hold=FSTAT) as files:
        facts, content = files.read_whole("/x", 1000)
    assert (facts.mode, facts.uid, content) == (0o100600, 1000, b"content")


def test_a_server_that_sends_short_pieces_is_asked_for_the_rest() -> None:
    pieces = [b"con", b"tent"]
    answers = {OPEN: (HANDLE, _text(b"h")), FSTAT: (ATTRS, _attrs(size=9))}

    def answer(kind: int) -> tuple[int, bytes]:
        if kind == READ:
            return (DATA, _text(pieces.pop(0))) if pieces else _status(1)
        return answers.get(kind, _status(0))

    with _answering(answer) as files:
        assert files.read_whole("/x", 1000)[1] == b"content"


@pytest.mark.parametrize("kind", [OPEN, READ, FSTAT, REALPATH])
@pytest.mark.parametrize(
    "wrong", [(NAME, struct.pack(">I", 7)), (99, b""), (HANDLE, b""), (DATA, _text(b"\xff"))]
)
def test_a_server_that_talks_nonsense_is_no_crash(kind: int, wrong: tuple[int, bytes]) -> None:
    answers = {
        OPEN: (HANDLE, _text(b"h")),
        FSTAT: (ATTRS, _attrs()),
        READ: (DATA, _text(b"content")),
        REALPATH: (NAME, struct.pack(">I", 1) + _text(b"/") + _text(b"/") + _attrs()),
    }
    answers[kind] = wrong
    with (
        _answering(lambda kind: answers.get(kind, _status(0))) as files,
        suppress(OSError, Unreachable),
    ):
        files.read_whole(files.absolute("x"), 1000)


def test_a_directory_whose_name_is_not_utf8_is_an_error() -> None:
    name = (NAME, struct.pack(">I", 1) + _text(b"/home/\xff") + _text(b"") + _attrs())
    with _answering(lambda _: name) as files, pytest.raises(Unreachable, match="not UTF-8"):
        files.absolute("x")


def test_a_server_that_never_answers_is_given_up() -> None:
    with (
        _answering(lambda _: _status(0), hold=LSTAT, timeout=0.2) as files,
        pytest.raises(Unreachable, match="in time"),
    ):
        files.lstat("/x")


def test_an_answer_too_long_to_be_one_is_given_up(tmp_path: Path) -> None:
    with (
        _answering(lambda _: (DATA, b"x" * (17 * 1024 * 1024))) as files,
        pytest.raises(Unreachable),
    ):
        files.lstat("/x")


def test_what_is_asked_together_goes_out_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with wired() as (files, wire):
        before = wire.round_trips
        asked = [files.submit_lstat(str(tmp_path / name)) for name in "ab"]
        found = files.submit_open(str(tmp_path / "a"))
        assert (len(wire.requests), wire.round_trips) == (0, before)
        assert found.get().submit_whole(10).get()[1] == b"a"
        with pytest.raises(FileNotFoundError):
            asked[1].get()
        assert asked[0].get() == asked[0].get()
        assert wire.round_trips == before + 2


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 200_000])
def test_content_of_any_size_is_written_and_read_whole(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = str(tmp_path / "file")
    with wired() as (files, _):
        with files.create(path) as stream:
            stream.submit_write(content).get()
        assert files.read_whole(path, size + 1)[1] == content
        assert files.read_whole(path, 1000)[1] == content[:1000]


def test_rename_goes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with wired() as (files, _):
        with pytest.raises(FileExistsError):
            files.rename(str(tmp_path / "a"), str(tmp_path / "b"))
        files.rename(str(tmp_path / "a"), str(tmp_path / "c"))
    assert (tmp_path / "b").read_bytes() == b"b"
    assert (tmp_path / "c").read_bytes() == b"a"


def test_create_and_mkdir_go_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with wired() as (files, _):
        with pytest.raises(FileExistsError):
            files.create(str(tmp_path / "link"))
        with pytest.raises(OSError, match="failure"):
            files.submit_mkdir(str(tmp_path / "link"), 0o700).get()
    assert not (tmp_path / "nowhere").exists()


def test_modes_and_owners_are_never_set_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    link = tmp_path / "link"
    link.symlink_to(victim)
    with wired() as (files, _):
        with pytest.raises(OSError):  # noqa: PT011 - the protocol says "failure" and no more
            files.chmod(str(link), 0o700)
        files.chmod(str(victim), 0o711)
    assert victim.stat().st_mode & 0o777 == 0o711
