"""Sessions over SSH: through bastions to the host, then SFTP, as the login or as another user."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.file_session import FileSession, NotAsOwner
from aegis_provision.transport.remote_services import SshServices
from aegis_provision.transport.sftp.client import SftpClient
from aegis_provision.transport.sftp.files import SftpFiles
from aegis_provision.transport.sftp.stream import SftpStream
from aegis_provision.transport.ssh.become import (
    NO_COMMANDS,
    owner_command,
    owner_problem,
    quoted,
    remote_command,
    started,
    sudo_problem,
)
from aegis_provision.transport.ssh.channels import CONNECT_FAILED, open_connection, open_session
from aegis_provision.transport.ssh.dial import step_timeout
from aegis_provision.transport.ssh.handshake import open_transport
from aegis_provision.transport.ssh.jump_hosts import at_hop
from aegis_provision.transport.ssh.paramiko_errors import explain, map_paramiko_errors

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.protocol import (
        AcceptedKey,
        ConnectOptions,
        Deadline,
        HostSession,
    )
    from aegis_provision.transport.ssh.channels import Connection
    from aegis_provision.transport.ssh.jump_hosts import Hop

_LONGEST_COMPLAINT = 4096
_LAST_WORDS = 1.0
_TRIES = 3


def connect_over(
    connection: socket.socket,
    target: Target,
    way: Sequence[Hop],
    options: ConnectOptions,
    deadline: Deadline,
) -> HostSession:
    """Return a session to ``target`` over SSH; ``connection`` leads to the first of ``way``.

    Raises :class:`Unreachable`; ``connection`` is closed then.
    """
    transports: list[Connection] = []
    accepted: list[AcceptedKey] = []
    try:
        for index in range(len(way)):
            with at_hop(way, index):
                through = _through(transports[-1], way, index, options, deadline) if index else None
                hop = connection if through is None else through
                transport, key = _hop(hop, way[index], options, deadline)
            transports.append(transport)
            if key is not None:
                accepted.append(key)
        channel, stream, client = _sftp(transports[-1], target, way[-1], options, deadline)
    except BaseException:
        for transport in reversed(transports):
            transport.close()
        raise

    streams = [stream]

    def until(later: Deadline) -> None:
        for each in streams:
            each.deadline = later

    def as_owner(uid: int, gid: int, deadline: Deadline) -> SftpFiles:
        _hang_up(channel, step_timeout(options, deadline))
        files = _as_owner(transports[-1], uid, gid, options, deadline)
        streams.append(files.stream)
        return files

    return FileSession(
        target,
        SftpFiles(client, stream),
        ways=SshServices(transports[-1], options),
        as_owner=as_owner,
        user=target.become_user or way[-1].user,
        accepted=tuple(accepted),
        until=until,
        closers=[transport.close for transport in reversed(transports)],
    )


def _hop(
    connection: socket.socket | paramiko.Channel,
    endpoint: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[Connection, AcceptedKey | None]:
    try:
        return open_transport(connection, endpoint, options, deadline)
    except BaseException:
        connection.close()
        raise


def _through(
    bastion: paramiko.Transport,
    way: Sequence[Hop],
    index: int,
    options: ConnectOptions,
    deadline: Deadline,
) -> paramiko.Channel:
    """Return a connection to the endpoint of ``index`` that the bastion before it makes."""
    name, endpoint = way[index - 1].key_name, way[index]
    with map_paramiko_errors("bastion"):
        try:
            seconds = step_timeout(options, deadline)
            return open_connection(bastion, endpoint.host, endpoint.port, seconds)
        except paramiko.ChannelException as refusal:
            there = f"{endpoint.host} port {endpoint.port}"
            if refusal.code == CONNECT_FAILED:
                raise Unreachable(
                    "bastion",
                    f"{name} can't connect to {there}",
                    "check the address as the bastion sees it, and that sshd runs there",
                ) from None
            raise Unreachable(
                "bastion",
                f"{name} does not let us through to {there}",
                "look at AllowTcpForwarding and PermitOpen in the bastion's sshd_config",
            ) from None


def _sftp(
    transport: paramiko.Transport,
    target: Target,
    endpoint: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[paramiko.Channel, SftpStream, SftpClient]:
    with map_paramiko_errors("session"):
        channel = open_session(transport, step_timeout(options, deadline))
    if target.become_user is None:
        with map_paramiko_errors("sftp"):
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
        with map_paramiko_errors("sudo"):
            channel.exec_command(remote_command(target.become_user))
    stream = SftpStream(channel, options.timeout, deadline)
    with map_paramiko_errors("sftp"):
        try:
            return channel, stream, SftpClient(stream)
        except (paramiko.SSHException, EOFError, OSError) as problem:
            if isinstance(problem, TimeoutError) or not transport.is_active():
                raise
            raise _no_sftp(channel, target, endpoint, stream) from None


def _as_owner(
    transport: paramiko.Transport, uid: int, gid: int, options: ConnectOptions, deadline: Deadline
) -> SftpFiles:
    """Return the files as the user ``uid`` has them, by an SFTP server that runs as this user.

    Raises :class:`NotAsOwner` and :class:`Unreachable`.
    """
    mark = secrets.token_hex(8)
    channel = _another_session(transport, options, deadline)
    try:
        channel.exec_command(owner_command(uid, gid, mark))
        stream = SftpStream(channel, options.timeout, deadline)
        client = SftpClient(stream)
    except (paramiko.SSHException, EOFError, OSError) as problem:
        if isinstance(problem, TimeoutError) or not transport.is_active():
            raise Unreachable("sftp", *explain(problem)) from None
        channel.settimeout(_LAST_WORDS)
        said = _rest(channel.recv_stderr).decode(errors="replace")
        raise NotAsOwner(owner_problem(uid, said) if said else NO_COMMANDS) from None
    if started(uid, mark) not in stream.noise:
        channel.close()
        raise NotAsOwner(NO_COMMANDS)
    return SftpFiles(client, stream)


def _another_session(
    transport: paramiko.Transport, options: ConnectOptions, deadline: Deadline
) -> paramiko.Channel:
    """Return a second channel, where the first one was closed; see MaxSessions, sshd_config(5).

    A host that allows one session at a time may take a moment to see that it is over.
    """
    for _ in range(_TRIES):
        with map_paramiko_errors("session"), suppress(paramiko.ChannelException):
            return open_session(transport, step_timeout(options, deadline))
    with map_paramiko_errors("session"):
        return open_session(transport, step_timeout(options, deadline))


def _hang_up(channel: paramiko.Channel, seconds: float) -> None:
    """Let the SFTP server of ``channel`` end, and close it."""
    channel.settimeout(seconds)
    with suppress(OSError, EOFError, paramiko.SSHException):
        channel.shutdown_write()
        while channel.recv(_LONGEST_COMPLAINT):
            continue
        channel.status_event.wait(seconds)  # only then does the host take the session for ended
    channel.close()


def _no_sftp(
    channel: paramiko.Channel, target: Target, endpoint: Hop, stream: SftpStream
) -> Unreachable:
    """Return why SFTP did not begin, out of what the far side said instead."""
    channel.settimeout(_LAST_WORDS)
    noise = (stream.noise or _rest(channel.recv))[:_LONGEST_COMPLAINT].decode(errors="replace")
    if target.become_user is not None:
        complaint = _rest(channel.recv_stderr).decode(errors="replace")
        return sudo_problem(target.become_user, endpoint.user, complaint + noise)
    if noise:
        return Unreachable(
            "sftp",
            f"the login shell answered instead of SFTP{quoted(noise)}",
            "is the account allowed to use SFTP, and its shell a real one?",
        )
    return Unreachable(
        "sftp", "the SFTP server ended at once", "look at 'Subsystem sftp' in its sshd_config"
    )


def _rest(receive: Callable[[int], bytes]) -> bytes:
    """Return what has come on one side of a channel that is at its end."""
    try:
        return receive(_LONGEST_COMPLAINT)
    except (OSError, EOFError):
        return b""
