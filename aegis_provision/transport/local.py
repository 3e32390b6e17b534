"""Sessions on the machine that the tool runs on."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

from aegis_provision.transport.become import NO_SERVER, SERVERS, sudo_problem, sudo_words
from aegis_provision.transport.failures import step
from aegis_provision.transport.local_files import LocalFiles
from aegis_provision.transport.protocol import Unreachable
from aegis_provision.transport.session import FileSession
from aegis_provision.transport.sftp_files import SftpFiles
from aegis_provision.transport.sftp_requests import SftpClient
from aegis_provision.transport.sftp_stream import SftpStream
from aegis_provision.transport.ways import LocalWays

if TYPE_CHECKING:
    from aegis_provision.inventory.model import Target
    from aegis_provision.transport.protocol import ConnectOptions, Deadline, HostSession

_ENDING = 2.0


def connect_local(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return a session on this machine. Raises :class:`Unreachable`.

    As another user it speaks SFTP with a server under sudo, as it would on any host.
    """
    if target.become_user is None:
        return FileSession(target, LocalFiles(options.home), ways=LocalWays(options))
    return _as_user(target, target.become_user, options, deadline)


def _as_user(target: Target, user: str, options: ConnectOptions, deadline: Deadline) -> HostSession:
    server = next((place for place in SERVERS if os.access(place, os.X_OK)), None)
    if server is None:
        raise Unreachable("sudo", NO_SERVER, "install OpenSSH's SFTP server")
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            sudo_words(user, server),
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,  # Ctrl-C stops us, and a write under way is still finished
        )
    except FileNotFoundError:
        ours.close()
        raise Unreachable("sudo", "there is no sudo here", "install it") from None
    finally:
        theirs.close()
    stream = SftpStream(ours, options.timeout, deadline)
    try:
        with step("sftp"):
            client = SftpClient(stream)
    except Unreachable:
        ours.close()
        said = _end(process)
        raise sudo_problem(user, options.login_name, said) from None

    def until(later: Deadline) -> None:
        stream.deadline = later

    return FileSession(
        target,
        SftpFiles(client, stream),
        ways=LocalWays(options),
        user=user,
        until=until,
        closers=[ours.close, lambda: _end(process)],
    )


def _end(process: subprocess.Popen[bytes]) -> str:
    """Wait for a server whose input is closed, and return what it complained about."""
    try:
        _, complaint = process.communicate(timeout=_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        _, complaint = process.communicate()
    return complaint.decode(errors="replace")
