"""Sessions with this machine, for hosts with ``connection: local``."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.become import (
    NO_SERVER,
    SERVERS,
    owner_command,
    owner_problem,
    started,
    sudo_argv,
    sudo_problem,
)
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.file_session import ROOT, FileSession, NotAsOwner
from aegis_provision.transport.local_files import LocalFiles
from aegis_provision.transport.sftp.client import SftpClient
from aegis_provision.transport.sftp.files import SftpFiles
from aegis_provision.transport.sftp.stream import SftpStream

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.commands import CompletedCommand
    from aegis_provision.transport.filesystem import Filesystem
    from aegis_provision.transport.http_messages import HttpFailure, HttpRequest, HttpResponse
    from aegis_provision.transport.protocol import ConnectOptions, HostSession

_ENDING = 2.0


def connect_local(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return a session on this machine. Raises :class:`Unreachable`.

    As another user it speaks SFTP with a server under sudo, as it would on any host.
    """
    servers: list[_Server] = []

    def set_deadline(later: Deadline) -> None:
        for server in servers:
            server.stream.deadline = later

    def end() -> None:
        for server in servers:
            server.end()

    def as_owner(uid: int, gid: int, deadline: Deadline) -> Filesystem:
        mark = secrets.token_hex(8)
        argv = ["/bin/sh", "-c", owner_command(uid, gid, mark)]
        try:
            server = _serve(argv, options, deadline)
        except _NotServed as problem:
            raise NotAsOwner(owner_problem(uid, problem.said)) from None
        servers.append(server)
        if started(uid, mark) not in server.stream.noise:
            raise NotAsOwner(owner_problem(uid, ""))
        return server.files

    files: Filesystem = LocalFiles(options.home)
    user = ROOT if os.geteuid() == 0 else None
    if target.become_user is not None:
        user = target.become_user
        servers.append(_as_user(user, options, deadline))
        files = servers[0].files
    return FileSession(
        target,
        files,
        services=LocalServices(options),
        as_owner=as_owner,
        user=user,
        set_deadline=set_deadline,
        closers=[end],
    )


@dataclass(frozen=True, slots=True)
class LocalServices:
    """Commands and HTTP requests on this machine."""

    options: ConnectOptions

    @property
    def login(self) -> str:
        """Return the name of the user who runs the tool."""
        return self.options.login_name

    def run(self, command: str, deadline: Deadline) -> CompletedCommand:
        """Run ``command`` as the user who runs the tool."""
        from aegis_provision.transport.commands import run_here

        return run_here(command, self.options.home, deadline)

    def request(self, request: HttpRequest, timeout: float) -> HttpResponse | HttpFailure:
        """Send ``request`` within ``timeout`` seconds."""
        from aegis_provision.transport.http import connect_here, send
        from aegis_provision.transport.http_messages import HttpFailure

        deadline = Deadline.after(timeout)
        connection = connect_here(*request.place, timeout)
        if isinstance(connection, HttpFailure):
            return connection
        return send(connection, request, deadline.remaining())


@dataclass(frozen=True, slots=True)
class _Server:
    """An SFTP server that runs here, at the other end of ``connection``."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    stream: SftpStream
    files: SftpFiles

    def end(self) -> None:
        """Close the connection, and wait for the server."""
        self.connection.close()
        _end(self.process)


class _NotServed(Exception):
    """No SFTP server answered. ``said`` is what came on its standard error."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self.said = said


def _as_user(user: str, options: ConnectOptions, deadline: Deadline) -> _Server:
    server = next((place for place in SERVERS if os.access(place, os.X_OK)), None)
    if server is None:
        raise Unreachable("sudo", NO_SERVER, "install OpenSSH's SFTP server")
    try:
        return _serve(sudo_argv(user, server), options, deadline)
    except FileNotFoundError:
        raise Unreachable("sudo", "there is no sudo here", "install it") from None
    except _NotServed as problem:
        raise sudo_problem(user, options.login_name, problem.said) from None


def _serve(argv: list[str], options: ConnectOptions, deadline: Deadline) -> _Server:
    """Return the SFTP server that the command ``argv`` runs.

    Raises :class:`_NotServed`, and ``FileNotFoundError`` where there is no such command.
    """
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            argv,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,  # Ctrl-C stops us, and a write under way is still finished
        )
    except FileNotFoundError:
        ours.close()
        raise
    finally:
        theirs.close()
    stream = SftpStream(ours, options.timeout, deadline)
    try:
        with map_errors("sftp"):
            client = SftpClient(stream)
    except Unreachable:
        ours.close()
        raise _NotServed(_end(process)) from None
    return _Server(process, ours, stream, SftpFiles(client, stream))


def _end(process: subprocess.Popen[bytes]) -> str:
    """Wait for a server whose input is closed, and return its standard error."""
    try:
        _, complaint = process.communicate(timeout=_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        _, complaint = process.communicate()
    return complaint.decode(errors="replace")
