"""The private parts of paramiko that we use are there, and only those are used."""

from __future__ import annotations

import ast
import base64
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
import pytest
from paramiko.agent import AgentSSH
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer

from aegis_provision.transport.ssh import paramiko_internals
from aegis_provision.transport.ssh.host_keys import ShownKey
from aegis_provision.transport.ssh.paramiko_internals import PRIVATE_PARTS, Connection
from aegis_provision.transport.ssh.private_keys import PrivateKey, read_private_key
from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(paramiko_internals.__file__).parent
PARTS = [(owner, name) for owner, names in PRIVATE_PARTS for name in names]


@pytest.mark.parametrize(("owner", "name"), PARTS, ids=lambda part: getattr(part, "__name__", part))
def test_paramiko_has_the_private_part(owner: type, name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        instance = {
            paramiko.Transport: lambda: paramiko.Transport(ours),
            Packetizer: lambda: Packetizer(ours),
            paramiko.Channel: lambda: paramiko.Channel(0),
            BufferedPipe: BufferedPipe,
            AgentSSH: AgentSSH,
        }[owner]()
        assert hasattr(instance, name)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_uses_a_private_part(path: Path) -> None:
    named = {name for _, name in PARTS} - {"run", "active", "event"}
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in named
    }
    assert not used or path.stem == "paramiko_internals"


@contextmanager
def asking_for(algorithm: str, exchange: bytes) -> Iterator[Connection]:
    """Yield a connection that agreed on ``algorithm`` for the server's key."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours)
        connection.host_key_type, connection.H = algorithm, exchange
        yield connection


def key_pair(directory: Path, kind: str) -> tuple[PrivateKey, bytes]:
    """Return a new key, and the blob of a host's certificate for it, signed by itself."""
    path = make_key(directory / kind, kind=kind)
    command = ["ssh-keygen", "-q", "-s", str(path), "-I", "x", "-h", f"{path}.pub"]
    subprocess.run(command, check=True, capture_output=True)
    line = path.with_name(f"{kind}-cert.pub").read_text()
    key = read_private_key(str(path), None)
    assert isinstance(key, PrivateKey)
    return key, base64.b64decode(line.split()[1])


def test_a_host_key_has_to_be_what_was_agreed_upon(tmp_path: Path) -> None:
    rsa, certificate = key_pair(tmp_path, "rsa")
    ed25519, _ = key_pair(tmp_path, "ed25519")
    blob, exchange = rsa.public.blob, b"the hash of the exchange"
    right = rsa.sign(exchange, "rsa-sha2-512")

    with asking_for("rsa-sha2-512", exchange) as connection:
        with pytest.raises(paramiko.SSHException):
            connection.shown_key()
        for shown, signature in (
            (blob, rsa.sign(exchange, "rsa-sha2-256")),
            (blob, rsa.sign(b"another hash", "rsa-sha2-512")),
            (blob, b""),
            (certificate, right),
            (ed25519.public.blob, ed25519.sign(exchange, "ssh-ed25519")),
            (blob[:-1], right),
            (b"", right),
        ):
            with pytest.raises(paramiko.SSHException, match=r"^Host key: "):
                connection.verify_shown_key(shown, signature)
        connection.verify_shown_key(blob, right)
        assert connection.shown_key() == ShownKey(rsa.public)
        # In a later exchange of keys the server has to show the same key.
        connection.verify_shown_key(blob, right)
        connection.host_key_type = "ssh-ed25519"
        with pytest.raises(paramiko.SSHException, match="it is another than before"):
            connection.verify_shown_key(ed25519.public.blob, ed25519.sign(exchange, "ssh-ed25519"))
        assert connection.shown_key() == ShownKey(rsa.public)


def test_a_certificate_is_shown_where_one_was_agreed_upon(tmp_path: Path) -> None:
    rsa, certificate = key_pair(tmp_path, "rsa")
    exchange = b"the hash of the exchange"
    with asking_for("rsa-sha2-512-cert-v01@openssh.com", exchange) as connection:
        with pytest.raises(paramiko.SSHException, match="of another type"):
            connection.verify_shown_key(rsa.public.blob, rsa.sign(exchange, "rsa-sha2-512"))
        spoilt = certificate[:-1] + bytes([certificate[-1] ^ 1])
        with pytest.raises(paramiko.SSHException, match="the authority's signature is wrong"):
            connection.verify_shown_key(spoilt, rsa.sign(exchange, "rsa-sha2-512"))
        connection.verify_shown_key(certificate, rsa.sign(exchange, "rsa-sha2-512"))
        shown = connection.shown_key()
        assert shown.key == rsa.public
        assert shown.certificate is not None
        assert shown.certificate.authority == rsa.public


@contextmanager
def connected() -> Iterator[tuple[Connection, socket.socket]]:
    """Yield a connection as it is before the exchange of keys, and its far side."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        connection = Connection(ours)
        connection.active = True
        connection.clear_to_send.set()
        yield connection, theirs


def test_a_far_side_that_takes_nothing_is_not_sent_to_for_ever() -> None:
    message = paramiko.Message()
    message.add_string(b"x" * 4_000_000)
    with connected() as (connection, _):
        packets: Any = connection.packetizer
        packets.sends_within = 0.1
        with pytest.raises(TimeoutError):
            connection.send(message)
        assert packets.closed  # half a packet is under way


def test_who_waits_for_an_exchange_of_keys_is_told_of_the_connections_end() -> None:
    message = paramiko.Message(b"x")
    with connected() as (connection, theirs):
        connection.clear_to_send.clear()
        connection.clear_to_send_timeout = 20.0
        connection.read_in_background()
        threading.Timer(0.1, theirs.close).start()
        began = time.monotonic()
        connection.send(message)
        assert time.monotonic() - began < 10
        assert not connection.is_active()


def test_what_is_read_ahead_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with connected() as (connection, theirs):
        packets: Any = connection.packetizer
        packets.until = time.monotonic() + 20

        def sign_of_life() -> None:
            theirs.sendall(b"onetwo")
            assert packets.read_all(3) == b"one"
            theirs.sendall(b"three")

        monkeypatch.setattr(packets, "_check_keepalive", sign_of_life)
        assert packets.read_all(8, check_rekey=True) == b"twothree"
