"""A real OpenSSH server on loopback, with keys and settings of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.needs import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ADDRESS = "127.0.0.1"
_READY_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Sshd:
    """A server that runs. ``log`` is what it writes to; ``host_key`` its public key's file."""

    address: str
    port: int
    user: str
    client_key: Path
    known_hosts: Path
    host_key: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def entry(self) -> str:
        """The server's name in known_hosts."""
        return f"[{self.address}]:{self.port}"


def sshd_path() -> str | None:
    """Return where this machine's sshd is."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which("sshd", path=path)


def find_sshd() -> str:
    """Return the server's path. Without one the test is skipped, or fails where CI is set."""
    found = sshd_path()
    if found is None:
        message = "there is no sshd on this machine: install openssh-server"
        missing(message)
    return found


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    """Make a key pair at ``path`` and return it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)],
        check=True,
    )
    return path


@contextmanager
def running_sshd(
    directory: Path,
    *,
    max_startups: int | str = 200,
    subsystem: str = "internal-sftp",
    authorized: Sequence[Path] = (),
    settings: Sequence[str] = (),
    kind: str = "ed25519",
    port: int | None = None,
    listens_on: str = ADDRESS,
) -> Iterator[Sshd]:
    """Run a server out of ``directory`` until the block ends.

    It lets this process's user in with ``client_key``, and with the public keys ``authorized``
    in addition. ``settings`` come first in its configuration, where they win. It may listen on
    0.0.0.0, so that many hosts have an address of their own there.
    """
    sshd = find_sshd()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key = directory / "host_key"
    if not host_key.exists():
        make_key(host_key, kind=kind)
    client_key = directory / "client_key"
    if not client_key.exists():
        make_key(client_key)
    keys = [client_key.with_name("client_key.pub"), *authorized]
    (directory / "authorized_keys").write_text("".join(key.read_text() for key in keys))
    number = port or free_port()
    config = directory / "sshd_config"
    listening = (f"ListenAddress {listens_on}", *settings)
    config.write_text(_config(directory, number, max_startups, subsystem, listening))
    known_hosts = directory / "known_hosts"
    public = host_key.with_name("host_key.pub")
    known_hosts.write_text(f"[{ADDRESS}]:{number} {public.read_text()}")
    log = directory / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until_ready(process, number, log)
        yield Sshd(
            ADDRESS,
            number,
            getpass.getuser(),
            client_key,
            known_hosts,
            public,
            log,
            process,
        )
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _config(
    directory: Path, port: int, max_startups: int | str, subsystem: str, settings: Sequence[str]
) -> str:
    lines = [
        *settings,
        f"Port {port}",
        f"HostKey {directory / 'host_key'}",
        f"AuthorizedKeysFile {directory / 'authorized_keys'}",
        f"PidFile {directory / 'pid'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        f"MaxStartups {max_startups}",
        "MaxSessions 100",
        "LogLevel VERBOSE",
        f"Subsystem sftp {subsystem}",
    ]
    return "\n".join(line for line in lines if line != "Subsystem sftp none") + "\n"


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection((ADDRESS, port), timeout=1.0) as probe:
                if probe.recv(4).startswith(b"SSH-"):
                    return
        except OSError:
            # Not listening yet. The kernel refuses at once, so yield the processor for a moment.
            process_wait(process)
    pytest.fail(f"sshd did not start: {log.read_text(errors='replace')}")


def process_wait(process: subprocess.Popen[bytes]) -> None:
    """Wait a little, or until ``process`` ends."""
    try:
        process.wait(timeout=0.02)
    except subprocess.TimeoutExpired:
        return
