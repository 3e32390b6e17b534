"""A few hosts as jobs, behind one real sshd, each of them a directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.transport.connect import connect
from aegis_provision.transport.connect_options import ConnectOptions
from tests.fleet.clients import ONCE
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_provision.inventory.host import Host
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_worker import HostWorker
    from tests.fleet.openssh import Sshd

TOKEN = "token-of-the-fleet"


@dataclass
class Hosts:
    """Hosts to work on; ``events`` takes what happens."""

    root: Path
    jobs: tuple[HostJob, ...]
    connection: ConnectionSettings
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)

    @property
    def by_name(self) -> Mapping[str, Host]:
        """The hosts by name."""
        return {work.host.name: work.host for work in self.jobs}

    def worker(self, keep: int = 0) -> HostWorker:
        """Return what works on the hosts, and keeps the connections to ``keep`` of them."""
        return host_worker(self.jobs, self.connection, ConnectionPool(keep))

    def file_of(self, host: str) -> Path:
        """Return where the file of ``host`` lies."""
        return self.root / host / "aegis.config.json"


def hosts_at(root: Path, sshd: Sshd, *names: str) -> Hosts:
    """Return hosts by name behind ``sshd``; one with a dash in front is nowhere to be reached."""
    lines = [
        "all:",
        "  vars: {provider: glm, address: 127.0.0.1}",
        "  hosts:",
    ]
    for name in names:
        host, port = name.lstrip("-"), 1 if name.startswith("-") else sshd.port
        (root / host).mkdir(mode=0o700)
        path = root / host / "aegis.config.json"
        lines.append(
            f"    {host}: {{config_path: {path}, port: {port}, user: {sshd.user}, "
            f"identity_file: {sshd.client_key}}}"
        )
    inventory, specs = specified("\n".join(lines))
    options = ConnectOptions(
        15.0, None, (sshd.known_hosts,), False, None, root, "anna", retries=ONCE
    )
    return Hosts(
        root,
        tuple(
            HostJob(host, resolve_env(specs[host.name], {"GLM_API_KEY": TOKEN}))
            for host in inventory.hosts.values()
        ),
        ConnectionSettings(connect, options, forks=4, deadline=60.0),
    )
