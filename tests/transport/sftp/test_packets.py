"""SFTP's packets as the draft has them; malformed replies and errors of files differ."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko.message import Message
from paramiko.sftp_attr import SFTPAttributes

from aegis_provision.transport.filesystem import FileStat, FileSystemSpace
from aegis_provision.transport.sftp import packets

_U32 = st.integers(0, 2**32 - 1)
_READERS = [
    packets.read_done,
    packets.read_handle,
    packets.read_data,
    packets.read_name,
    packets.read_attributes,
    packets.read_stat,
    packets.read_space,
]


@given(kind=st.integers(0, 255), number=_U32, body=st.binary(max_size=50))
def test_a_packet_taken_apart_is_what_it_was_made_of(kind: int, number: int, body: bytes) -> None:
    packet = packets.request(kind, number, body)
    assert struct.unpack(">I", packet[:4]) == (len(packet) - 4,)
    assert packets.parse_reply(packet[4:]) == (kind, number, body)


@pytest.mark.parametrize("packet", [b"", b"e", b"\x65\0\0\0"])
def test_a_packet_without_a_number_is_none(packet: bytes) -> None:
    with pytest.raises(packets.ProtocolError):
        packets.parse_reply(packet)


@given(
    size=st.none() | st.integers(0, 2**64 - 1),
    owner=st.none() | st.tuples(_U32, _U32),
    mode=st.none() | _U32,
    times=st.none() | st.tuples(_U32, _U32),
)
def test_facts_are_read_as_another_implementation_writes_them(
    size: int | None,
    owner: tuple[int, int] | None,
    mode: int | None,
    times: tuple[int, int] | None,
) -> None:
    theirs = SFTPAttributes()
    theirs.st_size, theirs.st_mode = size, mode
    theirs.st_uid, theirs.st_gid = owner or (None, None)
    theirs.st_atime, theirs.st_mtime = times or (None, None)
    message = Message()
    theirs._pack(message)  # type: ignore[attr-defined]  # noqa: SLF001 - what we are held against
    uid, gid = owner or (0, 0)
    found = packets.read_attributes(packets.ATTRS, message.asbytes())
    assert found == FileStat(mode or 0, uid, gid, size or 0, times[1] if times else 0)


@pytest.mark.parametrize(
    ("attributes", "there"),
    [
        (packets.with_mode(0o640), FileStat(0o640, 0, 0, 0, 0)),
        (packets.with_owner(5, 6), FileStat(0, 5, 6, 0, 0)),
        (packets.with_time(7), FileStat(0, 0, 0, 0, 7)),
        (packets.NO_ATTRIBUTES, FileStat(0, 0, 0, 0, 0)),
    ],
)
def test_attributes_that_are_set_are_those_and_no_others(
    attributes: bytes, there: FileStat
) -> None:
    assert packets.read_attributes(packets.ATTRS, attributes) == there


@pytest.mark.parametrize("read", _READERS)
@given(kind=st.sampled_from([101, 102, 103, 104, 105, 201]), body=st.binary(max_size=40))
def test_any_reply_is_a_value_or_an_error(
    read: packets.Reader[object], kind: int, body: bytes
) -> None:
    try:
        read(kind, body)
    except (OSError, EOFError, packets.ProtocolError, packets.NoAttributesError):
        return


@pytest.mark.parametrize(
    ("flags", "words", "told"),
    [
        (0x6, (5, 6, 0o640), FileStat(0o640, 5, 6, 0, 0)),
        (0xE, (5, 6, 0o640, 7, 8), FileStat(0o640, 5, 6, 0, 8)),
        (0x7, (0, 9, 5, 6, 0o640), FileStat(0o640, 5, 6, 9, 0)),
        (0x2, (5, 6), None),
        (0x4, (0o640,), None),
        (0x9, (0, 9, 7, 8), None),
        (0, (), None),
    ],
)
def test_attributes_without_owner_or_mode_are_an_error(
    flags: int, words: tuple[int, ...], told: FileStat | None
) -> None:
    body = struct.pack(f">{1 + len(words)}I", flags, *words)
    if told is not None:
        assert packets.read_stat(packets.ATTRS, body) == told
        return
    with pytest.raises(packets.NoAttributesError):
        packets.read_stat(packets.ATTRS, body)


@pytest.mark.parametrize("read", _READERS[1:])
def test_ok_without_a_value_is_a_protocol_error(
    read: packets.Reader[object],
) -> None:
    with pytest.raises(packets.ProtocolError):
        read(packets.STATUS, struct.pack(">I", 0))


@given(names=st.lists(st.text("abc@.-", max_size=9), max_size=6), cut=st.integers(0, 3))
def test_extensions_are_the_names_that_a_server_announces(names: list[str], cut: int) -> None:
    pairs = b"".join(packets.string(name.encode()) + packets.string(b"1") for name in names)
    version = struct.pack(">BI", packets.VERSION_REPLY, packets.VERSION) + pairs
    assert packets.read_extensions(version) == set(names)
    short = version[: len(version) - cut]
    assert packets.read_extensions(short) == set(names if short == version else names[:-1])


def test_the_space_that_is_left_is_that_of_statvfs() -> None:
    numbers = (512, 4096, 100, 50, 40, 9, 8, 7, 1, 0x1, 255)
    body = struct.pack(">11Q", *numbers)
    found = packets.read_space(packets.EXTENDED_REPLY, body)
    assert found == FileSystemSpace(50 * 4096, 40 * 4096, 7, 8, read_only=True)
    uncounted = packets.read_space(packets.EXTENDED_REPLY, struct.pack(">11Q", 1, 1, *[0] * 9))
    assert (uncounted.files, uncounted.free_files, uncounted.read_only) == (None, None, False)
