"""Asks a host which Aegis runs there and which file it reads: one command, two rounds of SFTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.file_in_use import FoundFiles, files_by_path, paths_of
from aegis_provision.aegis.server import NO_COMMANDS, UnknownServer, identify_server
from aegis_provision.aegis.server_report import parse_report
from aegis_provision.errors import Unreachable
from aegis_provision.rollout.server_command import server_command
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from aegis_provision.aegis.server import AegisServer
    from aegis_provision.inventory.host import Host
    from aegis_provision.transport.host_session import HostSession

_TIMEOUT = 10.0


def find_server(
    host: Host, session: HostSession, deadline: Deadline
) -> AegisServer | UnknownServer:
    """Return the Aegis that runs on ``host``, or why it is not known. Raises :class:`Unreachable`.

    A host that runs no commands is no failure.
    """
    service = host.service
    port = int(service.api.rpartition(":")[2])
    command = server_command(service.unit, port, host.target.become_user)
    try:
        end = session.run(command, Deadline.after(min(_TIMEOUT, deadline.remaining())))
    except Unreachable:
        if not session.alive(deadline):
            raise
        return UnknownServer(NO_COMMANDS)
    if end.status is None:
        return UnknownServer("the host did not tell in time")
    report = parse_report(end.output)
    return identify_server(report, service.unit, service.api, api_is_set="api" in host.settings)


def find_files(
    server: AegisServer, session: HostSession, deadline: Deadline, also: str | None = None
) -> FoundFiles:
    """Return what lies at the paths that ``server`` looks at, and at the path ``also``.

    Raises :class:`Unreachable`.
    """
    paths = dict.fromkeys((*paths_of(server), *((also,) if also is not None else ())))
    return FoundFiles(server, files_by_path(session.searched(tuple(paths), deadline)))
