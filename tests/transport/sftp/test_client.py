"""Where SFTP begins: after what a login shell prints, or not at all."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.sftp.client import MOST_NOISE, SftpStream
from tests.fleet.clients import connection, options, refusal, target_at
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from pathlib import Path

VERSION_REPLY = struct.pack(">IBI", 5, 2, 3)


class Pieces:
    """A stream that gives out the bytes it was made with, piece by piece."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._pieces: list[bytes] = []
        for size in sizes:
            self._pieces.append(data[:size])
            data = data[size:]
        self._pieces.append(data)
        self._pieces = [piece for piece in self._pieces if piece]

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def send(self, data: bytes) -> int:
        return len(data)

    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        pass


@given(
    noise=st.binary(max_size=300).filter(lambda data: b"\x02\0\0\0\x03" not in data),
    packets=st.lists(st.binary(max_size=60), max_size=4),
    sizes=st.lists(st.integers(1, 40), max_size=20),
)
def test_noise_is_dropped_and_nothing_else(
    noise: bytes, packets: list[bytes], sizes: list[int]
) -> None:
    sent = VERSION_REPLY + b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)
    stream = SftpStream(Pieces(noise + sent, sizes), 5.0, Deadline.after(60.0))
    assert stream.packet() == VERSION_REPLY[4:]
    assert [stream.packet() for _ in packets] == packets
    assert stream.noise == noise
    with pytest.raises(EOFError):
        stream.packet()


@given(noise=st.binary(max_size=300).filter(lambda data: b"\x02\0\0\0\x03" not in data))
def test_noise_alone_is_kept_and_the_stream_ends(noise: bytes) -> None:
    stream = SftpStream(Pieces(noise, []), 5.0, Deadline.after(60.0))
    with pytest.raises(EOFError):
        stream.packet()
    assert stream.noise == noise


def test_noise_without_end_is_not_listened_to_for_ever() -> None:
    stream = SftpStream(Pieces(b"z" * (2 * MOST_NOISE), []), 5.0, Deadline.after(60.0))
    with pytest.raises(Unreachable, match="prints without end"):
        stream.packet()
    assert len(stream.noise) == 200


def sftp_server_behind(script: str, directory: Path) -> str:
    path = directory / "server.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("subsystem", "reason", "hint"),
    [
        ("none", "the host offers no SFTP", "Subsystem sftp internal-sftp"),
        ("/bin/false", "the SFTP server ended at once", "Subsystem sftp"),
        ("/nowhere/sftp-server", "the SFTP server ended at once", "Subsystem sftp"),
        ("/bin/echo no files here", "the login shell answered instead of SFTP", "allowed"),
    ],
)
def test_a_host_without_sftp(subsystem: str, reason: str, hint: str, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "server", subsystem=subsystem) as sshd:
        problem = refusal(target_at(sshd), options(tmp_path, sshd.known_hosts))
    assert problem.step == "sftp"
    assert problem.reason.startswith(reason)
    assert hint in problem.hint


def test_a_server_that_prints_before_sftp_begins(tmp_path: Path) -> None:
    server = sftp_server_behind("echo 'Welcome! 100% legal use only'; exec $SFTP", tmp_path)
    script = tmp_path / "server.sh"
    places = "/usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec"
    find = f"for place in {places}; do [ -x $place/sftp-server ] && SFTP=$place/sftp-server; done"
    script.write_text(script.read_text().replace("echo", f"{find}\necho", 1))
    with running_sshd(tmp_path / "server", subsystem=server) as sshd:
        connection(target_at(sshd), options(tmp_path, sshd.known_hosts))


def test_an_ipv6_address(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "server", settings=["ListenAddress ::1"]) as sshd:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[::1]:{sshd.port} {sshd.host_key.read_text()}")
        connection(target_at(sshd, address="::1"), options(tmp_path, known_hosts))
        jump = (f"{sshd.user}@[::1]:{sshd.port}",)
        config = tmp_path / "config"
        config.write_text(f"IdentityFile {sshd.client_key}\n")
        behind = target_at(sshd, jump=jump)
        connection(behind, options(tmp_path, known_hosts, sshd.known_hosts, ssh_config=config))
