"""What the contestants work on: many hosts on one sshd, each with a file of its own."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

from benchmarks.child import BenchmarkError
from tests.fleet.openssh import ADDRESS, running_sshd, sshd_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ENDS: Mapping[str, str] = {
    "ANTHROPIC_BASE_URL": "https://open.bigmodel.cn/api/paas/v4",
    "ANTHROPIC_AUTH_TOKEN": "benchmark-token-not-real",
    "ANTHROPIC_DEFAULT_MODEL": "glm-4.5",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "glm-4.5-air",
    "API_TIMEOUT_MS": "60000",
}
_FOREIGN: Mapping[str, object] = {
    "authToken": "benchmark-server-token",
    "port": 9100,
    "allowedWorkDirs": ["/srv/work", "/home/aegis/work"],
    "stallThresholdMs": 300000,
}
_FIRST_ADDRESS = IPv4Address("127.1.0.0")


@dataclass(frozen=True, slots=True)
class Bed:
    """The hosts, and how to get to them. ``hosts`` maps a name to the host's file."""

    directory: Path
    address: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    hosts: Mapping[str, Path]
    variables: Mapping[str, str] = field(
        default_factory=lambda: {"GLM_API_KEY": _ENDS["ANTHROPIC_AUTH_TOKEN"]}
    )

    @property
    def inventory(self) -> Path:
        """Our inventory of the hosts."""
        return self.directory / "inventory.yml"

    @property
    def paths_file(self) -> Path:
        """A list of the hosts' files, one in a line."""
        return self.directory / "paths"

    @property
    def right_file(self) -> Path:
        """The content that every host should have."""
        return self.directory / "right.json"

    def put(self, content: Literal["right", "changed"]) -> None:
        """Make every host's file hold what is right, or an older model."""
        text = _text(_ENDS if content == "right" else {**_ENDS, "ANTHROPIC_DEFAULT_MODEL": "old"})
        for path in self.hosts.values():
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)

    def check(self, program: str, *, mode: bool) -> None:
        """Raise :class:`BenchmarkError` unless every host's file is right, perhaps in mode too."""
        right = self.right_file.read_bytes()
        for name, path in self.hosts.items():
            if path.read_bytes() != right:
                raise BenchmarkError(f"{program} left {name} with another content than it should")
            if mode and path.stat().st_mode & 0o7777 != 0o600:
                raise BenchmarkError(f"{program} left {name} with another mode than it should")


def _text(values: Mapping[str, str]) -> str:
    return json.dumps({**_FOREIGN, "defaultSessionEnv": values}, indent=2) + "\n"


@contextmanager
def running_bed(directory: Path, count: int, *, own_addresses: bool = False) -> Iterator[Bed]:
    """Start an sshd and lay out ``count`` hosts under ``directory``.

    With ``own_addresses`` each host has an address of its own, in 127.0.0.0/8. Raises
    :class:`BenchmarkError` where this machine has no sshd.
    """
    if sshd_path() is None:
        raise BenchmarkError("there is no sshd on this machine: install openssh-server")
    hosts: dict[str, Path] = {}
    for number in range(1, count + 1):
        name = f"host-{number:03}"
        hosts[name] = directory / "hosts" / name / "aegis.config.json"
        hosts[name].parent.mkdir(parents=True)
    # A login shell's start-up files would slow the programs that use a shell: not these hosts'.
    empty = directory / "login"
    empty.mkdir()
    settings = (f"SetEnv HOME={empty}", "LogLevel ERROR")
    with running_sshd(
        directory / "sshd",
        max_startups=1000,
        settings=settings,
        listens_on="0.0.0.0" if own_addresses else ADDRESS,  # noqa: S104 - what it measures
    ) as sshd:
        bed = Bed(
            directory,
            sshd.address,
            sshd.port,
            sshd.user,
            sshd.client_key,
            sshd.known_hosts,
            hosts,
        )
        bed.right_file.write_text(_text(_ENDS), encoding="utf-8")
        bed.paths_file.write_text("".join(f"{path}\n" for path in hosts.values()))
        bed.inventory.write_text(_inventory(bed, own_addresses=own_addresses), encoding="utf-8")
        if own_addresses:
            key = bed.known_hosts.read_text(encoding="utf-8").split(" ", 1)[1]
            bed.known_hosts.write_text(f"[127.*]:{bed.port} {key}", encoding="utf-8")
        yield bed


def _inventory(bed: Bed, *, own_addresses: bool) -> str:
    common = {
        "provider": "glm",
        "address": bed.address,
        "port": bed.port,
        "user": bed.user,
        "identity_file": str(bed.key),
    }
    entries = {name: {"config_path": str(path)} for name, path in bed.hosts.items()}
    if own_addresses:
        for number, entry in enumerate(entries.values(), 1):
            entry["address"] = str(_FIRST_ADDRESS + number)
    return json.dumps({"all": {"vars": common, "hosts": entries}}, indent=1)
