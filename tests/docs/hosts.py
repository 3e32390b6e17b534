"""The hosts of our documents: files as a reader's hosts have them, and an Aegis behind each.

A host is reached by its name, sees its own files only, restarts its Aegis with ``systemctl restart
aegis`` and forwards to its own ``127.0.0.1:9100``, where that Aegis listens; to nowhere else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncssh

from aegis_provision.demo.servers import ADDRESS, Login, ServedHost, Servers
from tests.fleet.aegis_server import Place
from tests.fleet.hosts import reserved_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence

_FILE = '{\n  "authToken": "the-hosts-own",\n  "port": 9100\n}\n'
_API = ("127.0.0.1", 9100)
_RESTART = "systemctl --no-ask-password restart -- aegis"
_SERVER = Path(__file__).parents[1] / "fleet" / "aegis_server.py"
# What a host tells whose Aegis runs as upstream's own unit has it.
_REPORT = "".join(
    f"aegis-provision:{line}\n"
    for line in (
        "begin 1",
        "sockets 9100",
        "namespace mnt:[1]",
        "listener 0100007F:238C 0 1",
        "holder 7 1",
        "process 7",
        "directory /opt/aegis",
        "root /",
        "namespace mnt:[1]",
        "program node",
        "arguments 2",
        "environment read",
        "variable HOME=/opt/aegis",
        "end 1",
    )
)
_OLD = 7200.0
_UP_WITHIN = 20.0


@contextmanager
def running_hosts(directory: Path, names: Sequence[str], *, without_file: str) -> Iterator[Path]:
    """Start hosts; yield the home directory of an operator who reaches them by name.

    All but ``without_file`` have a file of Aegis already.
    """
    home = directory / "home"
    ssh = home / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    client = asyncssh.generate_private_key("ssh-ed25519")
    client.write_private_key(ssh / "id_ed25519")
    (ssh / "id_ed25519").chmod(0o600)
    with ExitStack() as undo:
        places: dict[str, Place] = {}
        served = []
        for name in names:
            root = directory / "hosts" / name
            file = _write_file(root, there=name != without_file)
            port = undo.enter_context(reserved_port())
            places[name] = _place(directory / "aegis" / name, file, port)
            undo.callback(places[name].close)
            served.append(ServedHost(name, root, asyncssh.generate_private_key("ssh-ed25519")))
        for place in places.values():
            restart(place)
            place.settle({**place.settings, "aged": 0})
        servers = undo.enter_context(_Restartable(served, client, places))
        config, known = [], []
        for host in served:
            port = servers.ports[host.name]
            config.append(f"Host {host.name}.example.com\n  HostName {ADDRESS}\n  Port {port}\n")
            known.append(f"[{ADDRESS}]:{port} {host.key.export_public_key().decode()}")
        (ssh / "config").write_text("".join(config))
        (ssh / "known_hosts").write_text("".join(known))
        yield home


def _write_file(root: Path, *, there: bool) -> Path:
    file = root / "opt" / "aegis" / "aegis.config.json"
    file.parent.mkdir(parents=True)
    if there:
        file.write_text(_FILE)
        file.chmod(0o600)
        written = time.time() - 2 * _OLD
        os.utime(file, (written, written))
    return file


def _place(directory: Path, file: Path, port: int) -> Place:
    for part in ("work", "home", "misbehaviour"):
        (directory / part).mkdir(parents=True)
    place = Place(directory)
    place.settle(
        {
            "port": port,
            "stop_timeout": 5.0,
            "config": str(file),
            "aged": _OLD,
            "owner": os.getpid(),
        }
    )
    return place


def restart(place: Place) -> int:
    """Restart the Aegis at ``place`` and return the exit code of that."""
    command = [sys.executable, "-I", "-S", str(_SERVER), "restart", str(place.directory)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, check=False, timeout=_UP_WITHIN
    ).returncode


class _Restartable(Servers):
    """Serves hosts that restart their Aegis and forward to its API."""

    def __init__(
        self, hosts: Sequence[ServedHost], client_key: asyncssh.SSHKey, places: Mapping[str, Place]
    ) -> None:
        super().__init__(hosts, client_key)
        self._places = places

    def options(self, host: ServedHost) -> dict[str, Any]:
        """Return asyncssh's options for ``host``."""
        options = super().options(host)
        place = self._places[host.name]
        connections = options["server_factory"].args[0]
        return {
            **options,
            "server_factory": partial(_Forwarding, connections, place),
            "process_factory": partial(_run, place),
        }


class _Forwarding(Login):
    def __init__(self, connections: set[asyncssh.SSHServerConnection], place: Place) -> None:
        super().__init__(connections)
        self._port: int = place.settings["port"]

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        """Lead the way to this host's Aegis, and nowhere else."""
        if (dest_host, dest_port) != _API or self.connection is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "no")
        # asyncssh says itself to return this, and its own types do not know it.
        forwarder = self.connection.forward_connection(ADDRESS, self._port)
        return cast("Awaitable[asyncssh.SSHTCPSession[bytes]]", forwarder)


def _run(place: Place, process: asyncssh.SSHServerProcess[str]) -> None:
    # What shells quote differently comes as octal escapes.
    command = re.sub(r"\\0([0-7]{3})", lambda found: chr(int(found[1], 8)), process.command or "")
    process.stdout.write("aegis-provision:begun\n")
    if "script=$(cat)" in command:
        process.stdout.write(_REPORT)
        process.exit(0)
        return
    if "; date +%s" in command:
        process.stdout.write(f"{int(time.time())}\n")
        process.exit(0)
        return
    process.exit(restart(place) if _RESTART in command else 127)
