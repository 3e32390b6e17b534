"""Networks of their own: an operator, a bastion, and two networks that only the bastion reaches.

Each machine is a network namespace of this kernel with a real sshd in it; all of them see the same
files. Nothing leaves them, and nothing of this machine's own network is touched.

    operator --- gate ---+--- left --- deep
                         +--- right
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.clients import need
from tests.fleet.openssh import find_sshd, make_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PORT = 22
_READY_WITHIN = 20.0
_MACHINES = ("operator", "gate", "left", "right", "deep")
_LINKS = (("operator", "gate"), ("gate", "left"), ("gate", "right"), ("left", "deep"))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with an sshd: where others reach it, its key, and what its sshd logs."""

    name: str
    address: str
    host_key: Path
    log: Path

    @property
    def known_hosts_line(self) -> str:
        """The line of known_hosts that names it by its address."""
        return f"{self.address} {self.host_key.read_text()}"

    @property
    def logins(self) -> int:
        """How many connections have logged in."""
        return self.log.read_text().count("Accepted publickey")


@dataclass(frozen=True, slots=True)
class Networks:
    """The machines by name, and the operator's side: a key that all of them take."""

    prefix: str
    user: str
    client_key: Path
    machines: Mapping[str, Machine]

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def run(
        self, *command: str | Path, env: Mapping[str, str], cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` to its end on the operator's machine."""
        return subprocess.run(
            self.inside("operator", *map(str, command)),
            env={"PATH": os.environ["PATH"], **env},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def inside(self, machine: str, *command: str) -> list[str]:
        """Return the command line that runs ``command`` on ``machine``."""
        return [need("ip", "iproute2"), "netns", "exec", f"{self.prefix}-{machine}", *command]


@contextmanager
def running_networks(directory: Path) -> Iterator[Networks]:
    """Run the machines until the block ends. Skips the test where the kernel allows no networks."""
    _check_kernel()
    directory.mkdir(parents=True, exist_ok=True)
    prefix = f"ap{os.getpid()}"
    client_key = make_key(directory / "client_key")
    with ExitStack() as stack:
        for name in _MACHINES:
            _ip("netns", "add", f"{prefix}-{name}")
            stack.callback(_ip, "netns", "delete", f"{prefix}-{name}")
            _inside(prefix, name, "link", "set", "lo", "up")
        addresses = dict(
            _link(prefix, number, near, far) for number, (near, far) in enumerate(_LINKS)
        )
        networks = Networks(prefix, getpass.getuser(), client_key, {})
        machines = {
            name: stack.enter_context(_machine(networks, name, address, directory / name))
            for name, address in addresses.items()
        }
        yield Networks(prefix, networks.user, client_key, machines)


def _check_kernel() -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], check=False).returncode:
        pytest.skip("this machine allows no network namespaces")


def _ip(*args: str) -> None:
    subprocess.run([need("ip", "iproute2"), *args], check=True, capture_output=True)


def _inside(prefix: str, name: str, *args: str) -> None:
    _ip("-n", f"{prefix}-{name}", *args)


def _link(prefix: str, number: int, near: str, far: str) -> tuple[str, str]:
    """Link two machines by a network of its own; return the far one and its address there."""
    ends = (f"{prefix}n{number}", f"{prefix}f{number}")
    _ip("link", "add", ends[0], "netns", f"{prefix}-{near}", "type", "veth",
        "peer", "name", ends[1], "netns", f"{prefix}-{far}")  # fmt: skip
    for last, (machine, end) in enumerate(zip((near, far), ends, strict=True), start=1):
        _inside(prefix, machine, "address", "add", f"10.77.{number}.{last}/24", "dev", end)
        _inside(prefix, machine, "link", "set", end, "up")
    return far, f"10.77.{number}.2"


@contextmanager
def _machine(networks: Networks, name: str, address: str, directory: Path) -> Iterator[Machine]:
    directory.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key = make_key(directory / "host_key")
    config, log = directory / "sshd_config", directory / "log"
    config.write_text("\n".join(_settings(networks, address, directory)) + "\n")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            networks.inside(name, find_sshd(), "-D", "-e", "-f", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        _wait_until_it_listens(process, log)
        yield Machine(name, address, host_key.with_suffix(".pub"), log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _settings(networks: Networks, address: str, directory: Path) -> Sequence[str]:
    """Return OpenSSH's defaults but for keys and places, MaxStartups and MaxSessions too."""
    return (
        f"ListenAddress {address}:{PORT}",
        f"HostKey {directory / 'host_key'}",
        f"AuthorizedKeysFile {networks.client_key}.pub",
        f"PidFile {directory / 'pid'}",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin prohibit-password",
        "Subsystem sftp internal-sftp",
        "LogLevel DEBUG1",
    )


def _wait_until_it_listens(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        if "Server listening on" in log.read_text(errors="replace"):
            return
        time.sleep(0.01)
    pytest.fail(f"sshd did not start: {log.read_text(errors='replace')}")
