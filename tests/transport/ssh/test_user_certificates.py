"""Certificates of users, and keys that only an agent can use; OpenSSH's client is the oracle."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from aegis_provision.transport.ssh.public_keys import split_string, to_string
from tests.fleet.agent import Agent, running_agent
from tests.fleet.clients import connection, login_of, need, options, refusal, target_at
from tests.fleet.openssh import make_key, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.connect_options import ConnectOptions
    from tests.fleet.openssh import Sshd

KINDS = ("ed25519", "ecdsa", "rsa")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("keys")
    keys = {kind: make_key(directory / kind, kind=kind) for kind in KINDS}
    keys["authority"] = make_key(directory / "authority")
    return keys


@pytest.fixture(scope="module")
def server(
    made: dict[str, Path], device: Device, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sshd]:
    """Run a server that takes certificates, the device's key, and none of the keys alone."""
    directory = tmp_path_factory.mktemp("certified")
    public = directory / "device.pub"
    public.write_text(device.public_line)
    own = [f"TrustedUserCAKeys {made['authority']}.pub", "MaxAuthTries 20"]
    with running_sshd(directory / "server", authorized=[public], settings=own) as running:
        yield running


@pytest.fixture
def agent() -> Iterator[Agent]:
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        running_agent(Path(directory)) as running,
    ):
        yield running


def _copy(made: dict[str, Path], kind: str, directory: Path) -> Path:
    key = directory / "key"
    shutil.copy(made[kind], key)
    shutil.copy(made[kind].with_name(f"{kind}.pub"), directory / "key.pub")
    return key


def _certify(made: dict[str, Path], key: Path, *words: str) -> Path:
    """Sign a certificate for ``key``, beside it."""
    names = [] if "-n" in words else ["-n", "root"]
    command: list[str | Path] = [
        "ssh-keygen",
        "-q",
        "-s",
        made["authority"],
        "-I",
        "me",
        *names,
        *words,
    ]
    subprocess.run([*command, f"{key}.pub"], check=True, capture_output=True)
    return key.with_name(f"{key.name}-cert.pub")


def openssh_connects(server: Sshd, config: Path, key: Path | None, agent: Agent | None) -> bool:
    command = [need("ssh", "openssh-client"), "-F", str(config), "-p", str(server.port)]
    said = {
        "BatchMode": "yes",
        "UserKnownHostsFile": str(server.known_hosts),
        "GlobalKnownHostsFile": "none",
        "IdentityAgent": agent.socket if agent else "none",
    }
    for name, value in said.items():
        command += ["-o", f"{name}={value}"]
    named = [] if key is None else ["-o", "IdentitiesOnly=yes", "-i", str(key)]
    done = subprocess.run(
        [*command, *named, f"{server.user}@{server.address}", "true"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
    return done.returncode == 0


def _options(server: Sshd, home: Path, agent: Agent | None = None) -> ConnectOptions:
    config = home / "config"
    config.touch()
    socket_path = agent.socket if agent else None
    return options(home, server.known_hosts, ssh_config=config, agent_socket=socket_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_beside_its_key(
    kind: str, made: dict[str, Path], server: Sshd, home: Path, tmp_path: Path
) -> None:
    key = _copy(made, kind, tmp_path)
    host, conn_options = target_at(server, identity_file=str(key)), _options(server, home)
    assert not openssh_connects(server, home / "config", key, None)
    assert "took none of the keys offered" in refusal(host, conn_options).reason
    _certify(made, key)
    assert openssh_connects(server, home / "config", key, None)
    assert login_of(host, conn_options).key == str(key)


@pytest.mark.parametrize("where", ["file", "agent", "agent alone"])
def test_a_certificate_that_the_ssh_config_names(
    where: str, made: dict[str, Path], server: Sshd, home: Path, tmp_path: Path, agent: Agent
) -> None:
    key = _copy(made, "rsa", tmp_path)
    if where != "file":
        agent.add(key)
    certificate = _certify(made, key).rename(tmp_path / "elsewhere.pub")
    conn_options = _options(server, home, agent)
    (home / "config").write_text(f"CertificateFile {certificate}\n")
    named = None if where == "agent alone" else key
    assert openssh_connects(server, home / "config", named, agent)
    connection(target_at(server, identity_file=str(named) if named else None), conn_options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_in_the_agent(
    kind: str, made: dict[str, Path], server: Sshd, home: Path, tmp_path: Path, agent: Agent
) -> None:
    key = _copy(made, kind, tmp_path)
    _certify(made, key)
    agent.add(key)  # ssh-add takes the certificate beside it too
    conn_options = _options(server, home, agent)
    for path in tmp_path.glob("key*"):
        path.unlink()
    assert openssh_connects(server, home / "config", None, agent)
    found = login_of(target_at(server, identity_file=None), conn_options)
    assert found.key.startswith("the agent's key SHA256:")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-V", "20200101000000Z:20210101000000Z"), "it expired at 2021-01-01 00:00 UTC, for root"),
        (
            ("-V", "20990101000000Z:21000101000000Z"),
            "it is valid from 2099-01-01 00:00 UTC on",
        ),
        (("-n", "anna,bert"), "it is valid forever, for anna, bert"),
        (("-n", "a,b,c,d,e"), "it is valid forever, for a, b, c, and 2 more"),
        (
            ("-O", "source-address=10.0.0.0/8"),
            "it is valid forever, for root, with source-address, signed by SHA256:",
        ),
    ],
)
def test_a_certificate_that_is_not_taken_is_told_with_its_time_and_names(
    words: tuple[str, ...],
    told: str,
    made: dict[str, Path],
    server: Sshd,
    home: Path,
    tmp_path: Path,
) -> None:
    key = _copy(made, "ed25519", tmp_path)
    _certify(made, key, *words)
    conn_options = _options(server, home)
    assert not openssh_connects(server, home / "config", key, None)
    problem = refusal(target_at(server, identity_file=str(key)), conn_options)
    assert f"; the certificate with {key}: {told}" in problem.reason


def test_what_is_no_certificate_of_a_user_is_not_offered(
    made: dict[str, Path], server: Sshd, home: Path, tmp_path: Path
) -> None:
    key = _copy(made, "ed25519", tmp_path)
    certificate = _certify(made, key, "-h")
    conn_options = _options(server, home)
    host = target_at(server, identity_file=str(key))
    assert not openssh_connects(server, home / "config", key, None)
    reason = refusal(host, conn_options).reason
    assert f"; {certificate} is no user's certificate" in reason
    (home / "config").write_text(f"CertificateFile {tmp_path}/none\n")
    assert f"; {tmp_path}/none is not there" in refusal(host, conn_options).reason


def test_algorithms_that_the_config_leaves_out_are_not_used(
    made: dict[str, Path], server: Sshd, home: Path, tmp_path: Path
) -> None:
    key = _copy(made, "ed25519", tmp_path)
    _certify(made, key)
    conn_options = _options(server, home)
    host = target_at(server, identity_file=str(key))
    for names, opens in (("-*-cert-*", False), ("*ed25519-cert*", True), ("rsa-*", False)):
        (home / "config").write_text(f"PubkeyAcceptedAlgorithms {names}\n")
        assert openssh_connects(server, home / "config", key, None) == opens
        if opens:
            connection(host, conn_options)
        else:
            assert refusal(host, conn_options).step == "login"


def test_a_key_that_the_agent_restricts_to_a_host(
    sshd: Sshd, keys: dict[str, Path], home: Path, agent: Agent
) -> None:
    known = home / "known_hosts"
    known.write_text(f"here {sshd.host_key.read_text()}")
    agent.add(keys["ed25519"], "-H", str(known), "-h", "here")
    conn_options = _options(sshd, home, agent)
    host = target_at(sshd, identity_file=None)
    (home / "config").write_text("HostKeyAlgorithms ssh-ed25519\n")
    assert openssh_connects(sshd, home / "config", None, agent)
    connection(host, conn_options)
    # To the agent another key of the same server is another host.
    elsewhere = home / "elsewhere"
    ecdsa = (sshd.host_key.parents[1] / "host_ecdsa.pub").read_text()
    elsewhere.write_text(f"{sshd.entry} {ecdsa}")
    (home / "config").write_text("HostKeyAlgorithms ecdsa-sha2-nistp256\n")
    problem = refusal(host, replace(conn_options, known_hosts=(elsewhere,)))
    assert problem.reason.startswith("the agent would not sign with its key")


# --- Keys on a device; an agent stands in for it ---


class Device:
    """An agent with one key of a security key's kind, made as OpenSSH's PROTOCOL.u2f has it."""

    def __init__(self) -> None:
        self._private = ed25519.Ed25519PrivateKey.generate()
        self._name = b"sk-ssh-ed25519@openssh.com"
        point = self._private.public_key().public_bytes_raw()
        self.blob = b"".join(map(to_string, (self._name, point, b"ssh:")))
        self.touches = 0

    @property
    def public_line(self) -> str:
        """Its line in authorized_keys."""
        return f"{self._name.decode()} {base64.b64encode(self.blob).decode()} device\n"

    def answer(self, request: bytes) -> bytes:
        """Return the agent's answer to one request."""
        if request[0] == 11:
            keys = (1).to_bytes(4, "big") + to_string(self.blob) + to_string(b"device")
            return b"\x0c" + keys
        if request[0] != 13:
            return b"\x05"
        self.touches += 1
        blob, rest = split_string(request[1:])
        data, _ = split_string(rest)
        assert blob == self.blob
        behind = b"\x01" + (self.touches).to_bytes(4, "big")
        signed = hashlib.sha256(b"ssh:").digest() + behind + hashlib.sha256(data).digest()
        signature = to_string(self._name) + to_string(self._private.sign(signed)) + behind
        return b"\x0e" + to_string(signature)

    def serve(self, listener: socket.socket) -> None:
        """Answer each client, until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                while header := stream.read(4):
                    request = stream.read(int.from_bytes(header, "big"))
                    stream.write(to_string(self.answer(request)))
                    stream.flush()


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


@contextmanager
def _plugged_in(device: Device) -> Iterator[Agent]:
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = Path(directory) / "agent"
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=device.serve, args=(listener,))
        thread.start()
        try:
            yield Agent(str(path), Path(directory))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_key_on_a_device_through_the_agent(
    device: Device, server: Sshd, sshd: Sshd, home: Path
) -> None:
    with _plugged_in(device) as agent:
        conn_options = _options(server, home, agent)
        assert openssh_connects(server, home / "config", None, agent)
        before = device.touches
        connection(target_at(server, identity_file=None), conn_options)
        assert device.touches == before + 1
        # Where the host does not take it, the device needs no touch.
        host = target_at(sshd, identity_file=None)
        problem = refusal(host, replace(conn_options, known_hosts=(sshd.known_hosts,)))
        assert "took none of the keys offered" in problem.reason
        assert device.touches == before + 1
