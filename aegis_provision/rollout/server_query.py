"""Asks a host which Aegis runs there and which file it reads: one command, two rounds of SFTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.config_file import read_unchecked, syntax_of
from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    files_by_path,
    path_in_use,
    paths_of,
)
from aegis_provision.aegis.lossless_json import as_javascript
from aegis_provision.aegis.remote_state import ReadProblem, RemoteState
from aegis_provision.aegis.server import NO_COMMANDS, UnknownServer, identify_server
from aegis_provision.aegis.server_report import parse_report
from aegis_provision.errors import Unreachable
from aegis_provision.inventory.host import AUTO_PATH
from aegis_provision.rollout.server_command import server_command
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.aegis.server import AegisServer
    from aegis_provision.inventory.host import Host
    from aegis_provision.transport.host_session import HostSession

_TIMEOUT = 10.0
_LARGEST_PORT = 65535


def read_host(
    host: Host, session: HostSession, deadline: Deadline, *, ask: bool = True
) -> tuple[RemoteState, FoundFiles | UnknownServer | None]:
    """Read the target of ``host``, and what the Aegis that runs there reads.

    The host is asked for the latter where the target's path depends on it, and with ``ask`` where
    the inventory says anything of that Aegis. Raises :class:`Unreachable`.
    """
    if host.target.config_path == AUTO_PATH:
        return _read_auto(host, session, deadline)
    actual = session.read(deadline)
    if not ask or not host.tells_server or actual.problem is not None:
        return actual, None
    return actual, ask_server(host, session, deadline, actual.path, actual.file)


def ask_server(
    host: Host, session: HostSession, deadline: Deadline, path: str, file: RemoteFile | None
) -> FoundFiles | UnknownServer:
    """Return what the Aegis that runs on ``host`` looks at, and what lies at the target ``path``.

    ``file`` is the target as it was read. Raises :class:`Unreachable`.
    """
    server = find_server(host, session, deadline, _port_in(path, file))
    if isinstance(server, UnknownServer):
        return server
    return find_files(server, session, deadline, path)


def _read_auto(
    host: Host, session: HostSession, deadline: Deadline
) -> tuple[RemoteState, FoundFiles | UnknownServer]:
    server = find_server(host, session, deadline)
    if isinstance(server, UnknownServer):
        return _no_path(server.reason), server
    found = find_files(server, session, deadline)
    path = path_in_use(found)
    if isinstance(path, NotChecked):
        return _no_path(path.reason), found
    return session.read(deadline, path), found


def _no_path(reason: str) -> RemoteState:
    return RemoteState(AUTO_PATH, problem=ReadProblem.NO_PATH, detail=reason)


def find_server(
    host: Host, session: HostSession, deadline: Deadline, port: int | None = None
) -> AegisServer | UnknownServer:
    """Return the Aegis that runs on ``host``, or why it is not known. Raises :class:`Unreachable`.

    ``port`` is the one in the host's own file, which counts where the inventory names no ``api``. A
    host that runs no commands is no failure.
    """
    unit, api = host.service.unit, host.service.api
    api_is_set = "api" in host.settings
    if not api_is_set and port is not None:
        api = f"{api.rpartition(':')[0]}:{port}"
    command = server_command(unit, int(api.rpartition(":")[2]), host.target.become_user)
    try:
        end = session.run(command, Deadline.after(min(_TIMEOUT, deadline.remaining())))
    except Unreachable:
        if not session.alive(deadline):
            raise
        return UnknownServer(NO_COMMANDS)
    if end.status is None:
        return UnknownServer("the host did not tell in time")
    report = parse_report(end.output)
    return identify_server(report, unit, api, api_is_set=api_is_set)


def _port_in(path: str, file: RemoteFile | None) -> int | None:
    """Return the port that the target names, ``None`` for none."""
    if file is None:
        return None
    config = read_unchecked(file.content, syntax=syntax_of(path))
    port = as_javascript(config.root.get("port"))
    is_port = isinstance(port, int) and not isinstance(port, bool) and 0 < port <= _LARGEST_PORT
    return port if is_port else None


def find_files(
    server: AegisServer, session: HostSession, deadline: Deadline, also: str | None = None
) -> FoundFiles:
    """Return what lies at the paths that ``server`` looks at, and at the path ``also``.

    Raises :class:`Unreachable`.
    """
    paths = dict.fromkeys((*paths_of(server), *((also,) if also is not None else ())))
    return FoundFiles(server, files_by_path(session.searched(tuple(paths), deadline)))
