"""Asks a host which Aegis runs there and which file it reads: one command, two rounds of SFTP."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from aegis_provision.aegis.api_address import port_number
from aegis_provision.aegis.config_file import read_unchecked, syntax_of
from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    SearchedFile,
    files_by_path,
    path_in_use,
    paths_of,
    reads_own,
)
from aegis_provision.aegis.find_server_output import parse_report
from aegis_provision.aegis.identify_server import NO_COMMANDS, UnknownServer, identify_server
from aegis_provision.aegis.remote_state import ReadProblem, RemoteState
from aegis_provision.errors import Unreachable
from aegis_provision.inventory.host import AUTO_PATH
from aegis_provision.rollout.find_server_command import server_command, server_script
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.aegis.identify_server import AegisServer
    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.inventory.host import Host
    from aegis_provision.transport.host_session import HostSession

_TIMEOUT = 10.0


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
    server = find_server(host, session, deadline, path, _port_in(path, file))
    if isinstance(server, UnknownServer):
        return server
    return find_files(server, session, deadline, path, file)


def _read_auto(
    host: Host, session: HostSession, deadline: Deadline
) -> tuple[RemoteState, FoundFiles | UnknownServer]:
    server = find_server(host, session, deadline)
    if isinstance(server, UnknownServer):
        return _no_path(server.reason), server
    paths = paths_of(server)
    there = [path for path in paths if path not in server.looks or server.looks[path].exists]
    if len(there) == 1 and there[0] in server.looks and server.home is not None:
        # Whether Aegis takes the only file that is there, the plan finds out.
        [path] = there
        actual = session.read(deadline, path)
        target = SearchedFile(path, server.looks[path].real_path or path, actual.file)
        return actual, FoundFiles(server, {**_known_files(server, None), path: target})
    found = find_files(server, session, deadline)
    chosen = path_in_use(found)
    if isinstance(chosen, NotChecked):
        return _no_path(chosen.reason), found
    return session.read(deadline, chosen), found


def _no_path(reason: str) -> RemoteState:
    return RemoteState(AUTO_PATH, problem=ReadProblem.NO_PATH, detail=reason)


def find_server(
    host: Host,
    session: HostSession,
    deadline: Deadline,
    path: str | None = None,
    port: int | None = None,
) -> AegisServer | UnknownServer:
    """Return the Aegis that runs on ``host``, or why it is not known. Raises :class:`Unreachable`.

    ``path`` is the target, if that is known. ``port`` is the one in the host's own file, which
    counts where the inventory names no ``api``. A host that runs no commands is no failure.
    """
    unit, api = host.service.unit, host.service.api
    if not host.names_api and port is not None:
        api = f"{api.rpartition(':')[0]}:{port}"
    target, number = host.target, int(api.rpartition(":")[2])
    command = server_command(unit, number, target.become_user, path, target.become_method)
    try:
        limit = Deadline.after(min(_TIMEOUT, deadline.remaining()))
        end = session.run(command, limit, server_script())
    except Unreachable:
        if not session.alive(deadline):
            raise
        return UnknownServer(NO_COMMANDS)
    if end.status is None:
        return UnknownServer("the host did not tell in time")
    report = parse_report(end.output)
    return identify_server(report, unit, api, api_is_set=host.names_api)


def _port_in(path: str, file: RemoteFile | None) -> int | None:
    """Return the port that the target names, ``None`` for none."""
    if file is None:
        return None
    config = read_unchecked(file.content, syntax=syntax_of(path))
    return port_number(config.root.get("port"))


def find_files(
    server: AegisServer,
    session: HostSession,
    deadline: Deadline,
    path: str | None = None,
    file: RemoteFile | None = None,
) -> FoundFiles:
    """Return what lies at the paths that ``server`` looks at, and at the target ``path``.

    ``file`` is the target as it was read. What the command told is not asked again. Raises
    :class:`Unreachable`.
    """
    target = None
    if path is not None and server.target is not None:
        target = SearchedFile(path, server.target, file)
    known = _known_files(server, target)
    needed = (*paths_of(server), *((path,) if path is not None else ()))
    if path is not None and file is not None and reads_own(server, path, file):
        # Files after the target do not matter: Aegis takes the first one.
        needed = tuple(takewhile(lambda item: item not in known or not known[item].file, needed))
    left = tuple(dict.fromkeys(item for item in needed if item not in known))
    read = session.searched(left, deadline) if left else ()
    return FoundFiles(server, {**known, **files_by_path(read)})


def _known_files(server: AegisServer, target: SearchedFile | None) -> dict[str, SearchedFile]:
    """Return what is known from the command: which files are missing, and where the target is."""
    known = {} if target is None else {target.path: target}
    for path, look in server.looks.items():
        if not look.exists:
            known[path] = SearchedFile(path, look.real_path)
        elif target is not None and look.real_path == target.real_path:
            known[path] = replace(target, path=path)
    return known
