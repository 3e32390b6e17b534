"""What the contestants work on: many hosts on one sshd, each with an address and a file of its own.

The addresses are those of loopback (127.0.0.0/8): a program that keeps one connection for each
address has as many as there are hosts.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks.child import BenchmarkError, cpu_of_server, wait_for_children
from tests.fleet.long_way import long_way
from tests.fleet.openssh import running_sshd, sshd_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleet.long_way import LongWay

_ENDS: Mapping[str, str] = {
    "ANTHROPIC_BASE_URL": "https://open.bigmodel.cn/api/paas/v4",
    "ANTHROPIC_AUTH_TOKEN": "benchmark-token-not-real",
    "ANTHROPIC_DEFAULT_MODEL": "glm-4.5",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "glm-4.5-air",
    "API_TIMEOUT_MS": "60000",
}
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - each host has an address of its own
_FOREIGN: Mapping[str, object] = {
    "authToken": "benchmark-server-token",
    "port": 9100,
    "allowedWorkDirs": ["/srv/work", "/home/aegis/work"],
    "stallThresholdMs": 300000,
}


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its name, its address, its file."""

    name: str
    address: str
    path: Path


@dataclass(frozen=True, slots=True)
class Bed:
    """The hosts, and how to get to them. ``way`` is the long way to them, if there is one."""

    directory: Path
    port: int
    user: str
    key: Path
    host_key: str
    hosts: tuple[Host, ...]
    server: int
    way: LongWay | None = None
    variables: Mapping[str, str] = field(
        default_factory=lambda: {"GLM_API_KEY": _ENDS["ANTHROPIC_AUTH_TOKEN"]}
    )

    @property
    def inventory(self) -> Path:
        """Our inventory of the hosts."""
        return self.directory / "inventory.yml"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, a line for each."""
        return self.directory / "known_hosts"

    @property
    def list_file(self) -> Path:
        """A list of the hosts' addresses and files, a host in a line."""
        return self.directory / "hosts.list"

    @property
    def right_file(self) -> Path:
        """The content that every host should have."""
        return self.directory / "right.json"

    def known_hosts_line(self, host: Host) -> str:
        """Return a host's line in known_hosts."""
        return f"[{host.address}]:{self.port} {self.host_key}\n"

    def put(self, content: Literal["right", "changed"]) -> None:
        """Make every host's file hold what is right, or an older model; forget past runs."""
        text = _text(_ENDS if content == "right" else {**_ENDS, "ANTHROPIC_DEFAULT_MODEL": "old"})
        for host in self.hosts:
            host.path.write_text(text, encoding="utf-8")
            host.path.chmod(0o600)

    def check(self, program: str, *, mode: bool) -> None:
        """Raise :class:`BenchmarkError` unless every host's file is right, perhaps in mode too."""
        right = self.right_file.read_bytes()
        for host in self.hosts:
            if host.path.read_bytes() != right:
                words = "with another content than it should"
                raise BenchmarkError(f"{program} left {host.name} {words}")
            if mode and host.path.stat().st_mode & 0o7777 != 0o600:
                raise BenchmarkError(f"{program} left {host.name} with another mode than it should")

    def far_cpu(self) -> float:
        """Return the CPU seconds that the far side has used, once all connections are closed."""
        wait_for_children(self.server)
        return cpu_of_server(self.server)


def _text(values: Mapping[str, str]) -> str:
    return json.dumps({**_FOREIGN, "defaultSessionEnv": values}, indent=2) + "\n"


@contextmanager
def running_bed(directory: Path, count: int, round_trip: float = 0.0) -> Iterator[Bed]:
    """Start an sshd and lay out ``count`` hosts under ``directory``, ``round_trip`` seconds away.

    Raises :class:`BenchmarkError` where this machine has no sshd.
    """
    if sshd_path() is None:
        raise BenchmarkError("there is no sshd on this machine: install openssh-server")
    hosts = tuple(_host(directory, number) for number in range(1, count + 1))
    for host in hosts:
        host.path.parent.mkdir(parents=True)
    # A login shell's start-up files would slow the programs that use a shell: not these hosts'.
    empty = directory / "login"
    empty.mkdir()
    settings = (f"SetEnv HOME={empty}", "LogLevel ERROR", "PerSourceMaxStartups none")
    with (
        running_sshd(
            directory / "sshd", max_startups=10_000, settings=settings, listens_on=_EVERYWHERE
        ) as sshd,
        _perhaps_far(sshd.port, round_trip) as way,
    ):
        bed = Bed(
            directory,
            sshd.port if way is None else way.port,
            sshd.user,
            sshd.client_key,
            " ".join(sshd.host_key.read_text(encoding="utf-8").split()[:2]),
            hosts,
            sshd.process.pid,
            way,
        )
        bed.right_file.write_text(_text(_ENDS), encoding="utf-8")
        bed.list_file.write_text("".join(f"{host.address} {host.path}\n" for host in hosts))
        bed.known_hosts.write_text("".join(map(bed.known_hosts_line, hosts)))
        bed.inventory.write_text(_inventory(bed), encoding="utf-8")
        yield bed


@contextmanager
def _perhaps_far(port: int, round_trip: float) -> Iterator[LongWay | None]:
    if not round_trip:
        yield None
        return
    with long_way(port, round_trip, listens_on=_EVERYWHERE) as way:
        yield way


def _host(directory: Path, number: int) -> Host:
    name = f"host-{number:04}"
    address = f"127.1.{number // 250}.{number % 250 + 1}"
    return Host(name, address, directory / "hosts" / name / "aegis.config.json")


def _inventory(bed: Bed) -> str:
    common = {
        "provider": "glm",
        "port": bed.port,
        "user": bed.user,
        "identity_file": str(bed.key),
    }
    entries = {
        host.name: {"address": host.address, "config_path": str(host.path)} for host in bed.hosts
    }
    return json.dumps({"all": {"vars": common, "hosts": entries}}, indent=1)
