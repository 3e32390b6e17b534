"""The demo's fleet: a directory with everything in it, and servers that run while it exists."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from aegis_provision.demo.scenario import (
    CONFIG_PATH,
    LOGIN,
    PLAYBOOK_TEXT,
    VARIABLES,
    DemoHost,
    demo_hosts,
    inventory_text,
)
from aegis_provision.demo.servers import ADDRESS, ServedHost, Servers
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INVENTORY = "inventory.yml"
PLAYBOOK = "playbook.yml"
SSH_CONFIG = "ssh_config"
KNOWN_HOSTS = "known_hosts"
ENV_FILE = "tokens.env"
HOSTS = "hosts"
_IDENTITY = "id_ed25519"


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """A fleet that is up: everything it consists of lies in ``directory``."""

    directory: Path
    hosts: tuple[DemoHost, ...]

    def config_file(self, host: str) -> Path:
        """Return where the file of ``host`` lies on this machine."""
        return _inside(self.directory / HOSTS / host, CONFIG_PATH)


@contextmanager
def running_fleet(count: int) -> Iterator[DemoFleet]:
    """Start ``count`` hosts on loopback; on exit they are stopped and their directory is gone.

    Keys, known hosts and ssh config are the fleet's own; nothing outside the directory is read
    or written. Raises :class:`OSError` where the directory or a port is not to be had, and
    :class:`ValueError` for a count that the demo does not do.
    """
    hosts = demo_hosts(count)
    with ExitStack() as undo:
        directory = Path(tempfile.mkdtemp(prefix="aegis-provision-demo-")).resolve()
        undo.callback(shutil.rmtree, directory)
        served = [_furnish(directory, host) for host in hosts]
        login_key = asyncssh.generate_private_key("ssh-ed25519", comment="aegis-provision demo")
        servers = undo.enter_context(Servers(served, login_key))
        (directory / INVENTORY).write_text(inventory_text(count), encoding="utf-8")
        (directory / PLAYBOOK).write_text(PLAYBOOK_TEXT, encoding="utf-8")
        _write_private(directory / _IDENTITY, login_key.export_private_key().decode("ascii"))
        _write_private(directory / ENV_FILE, _env_lines(VARIABLES))
        _write_private(directory / KNOWN_HOSTS, _known_hosts(served, servers.ports))
        _write_private(directory / SSH_CONFIG, _ssh_config(directory, servers.ports))
        yield DemoFleet(directory, hosts)


def _furnish(directory: Path, host: DemoHost) -> ServedHost:
    root = directory / HOSTS / host.name
    config = _inside(root, CONFIG_PATH)
    config.parent.mkdir(parents=True)
    if host.content is not None:
        config.write_text(host.content, encoding="utf-8")
        config.chmod(host.mode)
    return ServedHost(host.name, root, asyncssh.generate_private_key("ssh-ed25519"))


def _inside(root: Path, absolute: str) -> Path:
    return root / absolute.lstrip("/")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _env_lines(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _known_hosts(served: Sequence[ServedHost], ports: Mapping[str, int]) -> str:
    return "".join(f"[{ADDRESS}]:{ports[host.name]} {_public(host.key)}\n" for host in served)


def _public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode("ascii").strip()


def _ssh_config(directory: Path, ports: Mapping[str, int]) -> str:
    hosts = "".join(
        f"Host {name}\n  HostName {ADDRESS}\n  Port {port}\n" for name, port in ports.items()
    )
    return (
        f"{hosts}"
        "Host *\n"
        f"  User {LOGIN}\n"
        f'  IdentityFile "{directory / _IDENTITY}"\n'
        "  IdentitiesOnly yes\n"
        "  IdentityAgent none\n"
        f'  UserKnownHostsFile "{directory / KNOWN_HOSTS}"\n'
    )
