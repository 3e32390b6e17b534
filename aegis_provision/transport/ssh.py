"""Sessions over SSH: through bastions to the host, then SFTP, as the login or as another user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko

from aegis_provision.transport.become import remote_command, sudo_problem
from aegis_provision.transport.endpoints import endpoints
from aegis_provision.transport.failures import step
from aegis_provision.transport.handshake import dial, patience, secure
from aegis_provision.transport.protocol import Unreachable
from aegis_provision.transport.session import FileSession
from aegis_provision.transport.sftp_files import SftpClient, SftpFiles
from aegis_provision.transport.sftp_stream import SftpStream

if TYPE_CHECKING:
    import socket

    from aegis_provision.inventory.model import Target
    from aegis_provision.transport.endpoints import Endpoint
    from aegis_provision.transport.protocol import (
        AcceptedKey,
        ConnectOptions,
        Deadline,
        HostSession,
    )

_LONGEST_COMPLAINT = 4096


def connect_ssh(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return a session to ``target`` over SSH. Raises :class:`Unreachable`."""
    way = endpoints(target, options)
    transports: list[paramiko.Transport] = []
    accepted: list[AcceptedKey] = []
    try:
        for index, endpoint in enumerate(way):
            try:
                transport, key = _hop(transports, endpoint, options, deadline)
            except Unreachable as problem:
                if index < len(way) - 1:
                    raise _at_bastion(problem, endpoint) from None
                raise
            transports.append(transport)
            if key is not None:
                accepted.append(key)
        stream, client = _sftp(transports[-1], target, way[-1], options, deadline)
    except BaseException:
        for transport in reversed(transports):
            transport.close()
        raise

    def until(later: Deadline) -> None:
        stream.deadline = later

    return FileSession(
        target,
        SftpFiles(client, stream),
        user=target.become_user or way[-1].user,
        accepted=tuple(accepted),
        until=until,
        closers=[transport.close for transport in reversed(transports)],
    )


def _hop(
    before: list[paramiko.Transport],
    endpoint: Endpoint,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[paramiko.Transport, AcceptedKey | None]:
    connection: socket.socket | paramiko.Channel
    if before:
        with step("bastion"):
            connection = before[-1].open_channel(
                "direct-tcpip",
                (endpoint.host, endpoint.port),
                ("127.0.0.1", 0),
                timeout=patience(options, deadline),
            )
    else:
        connection = dial(endpoint.host, endpoint.port, options, deadline)
    try:
        return secure(connection, endpoint, options, deadline)
    except BaseException:
        connection.close()
        raise


def _at_bastion(problem: Unreachable, endpoint: Endpoint) -> Unreachable:
    return Unreachable(f"bastion {endpoint.key_name}: {problem.step}", problem.reason, problem.hint)


def _sftp(
    transport: paramiko.Transport,
    target: Target,
    endpoint: Endpoint,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[SftpStream, paramiko.SFTPClient]:
    with step("session"):
        channel = transport.open_session(timeout=patience(options, deadline))
        channel.settimeout(patience(options, deadline))
    if target.become_user is None:
        with step("sftp"):
            try:
                channel.invoke_subsystem("sftp")
            except (paramiko.SSHException, EOFError):
                if not transport.is_active():
                    raise
                raise Unreachable(
                    "sftp",
                    "the host offers no SFTP",
                    "add 'Subsystem sftp internal-sftp' to its sshd_config",
                ) from None
    else:
        with step("sudo"):
            channel.exec_command(remote_command(target.become_user))
    stream = SftpStream(channel, options.timeout, deadline)
    try:
        with step("sftp"):
            return stream, SftpClient(stream)  # type: ignore[arg-type] # all it uses
    except Unreachable as problem:
        raise _no_sftp(problem, channel, target, endpoint, stream) from None


def _no_sftp(
    problem: Unreachable,
    channel: paramiko.Channel,
    target: Target,
    endpoint: Endpoint,
    stream: SftpStream,
) -> Unreachable:
    """Return why SFTP did not begin, out of what the far side said instead."""
    if "in time" in problem.reason or "deadline" in problem.reason:
        return problem
    said = _complaint(channel) + stream.noise[:_LONGEST_COMPLAINT].decode(errors="replace")
    if target.become_user is not None:
        return sudo_problem(target.become_user, endpoint.user, said)
    if stream.noise:
        return Unreachable(
            "sftp",
            "the login shell answered instead of SFTP",
            "is the account allowed to use SFTP, and its shell a real one?",
        )
    return Unreachable(
        "sftp", "the SFTP server ended at once", "look at 'Subsystem sftp' in its sshd_config"
    )


def _complaint(channel: paramiko.Channel) -> str:
    channel.settimeout(1.0)
    try:
        return channel.recv_stderr(_LONGEST_COMPLAINT).decode(errors="replace")
    except (OSError, EOFError):
        return ""
