"""Starts the SFTP server on a host, as the login or another user, over SSH."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.errors import Unreachable
from aegis_provision.transport.become import (
    LET_IT_RUN,
    become_problem,
    begun,
    owner_command,
    owner_problem,
    quoted,
    remote_command,
    servers_of,
    started,
)
from aegis_provision.transport.errors import CLOSED, HUNG_UP_ON_LOGIN, BastionLostError
from aegis_provision.transport.host_session import HostSession, Login, NotAsOwner
from aegis_provision.transport.sftp.client import SftpStream
from aegis_provision.transport.sftp.files import SftpFiles
from aegis_provision.transport.ssh.commands import SshServices, another_session
from aegis_provision.transport.ssh.idle_connections import IdleConnection
from aegis_provision.transport.ssh.paramiko_errors import explain, map_paramiko_errors, to_os_error
from aegis_provision.transport.ssh.paramiko_internals import (
    ANSWERS_WITHIN,
    begin,
    open_session,
    wait_for_exit,
    was_refused,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.connect_through_jump_hosts import LoggedIn
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_LOOK = (
    "look at 'Subsystem sftp' in its sshd_config, and whether a command is forced on the login "
    "(ForceCommand, a key's command=, a certificate's force-command); dropbear needs OpenSSH's "
    "sftp-server, in the place that it was built for: or name it with sftp_server_path"
)
_LONGEST_OUTPUT = 4096
_OUTPUT_TIMEOUT = 1.0


def start_session(
    connection: LoggedIn,
    target: Target,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> HostSession:
    """Return a session with ``target``, which is ``hop``, over a connection that is logged in.

    Raises :class:`Unreachable`; ``connection`` is closed then.
    """
    transport = connection.transport

    def start(channel: paramiko.Channel, deadline: Deadline) -> _Starting:
        return _start_sftp(channel, transport, target, hop, options, deadline)

    server = _SftpServer(transport, options, start)
    try:
        starting = server.run(deadline)
    except BaseException:
        connection.close()
        raise

    def as_owner(uid: int, gid: int, deadline: Deadline) -> SftpFiles:
        def start(channel: paramiko.Channel, deadline: Deadline) -> _Starting:
            return _start_sftp_as_owner(channel, transport, target, (uid, gid), options, deadline)

        return server.run_as(start, deadline)

    session = HostSession(
        target,
        starting.files,
        services=SshServices(transport, options, hop.user, server.make_room),
        as_owner=as_owner,
        user=target.become_user or hop.user,
        logged_in=Login(hop.user, transport.logged_in_with, connection.bastions),
        accepted=connection.accepted,
        closers=[connection.close],
        idle=IdleConnection(transport),
        open_files=_open_files(connection, hop),
    )
    try:
        session.read_ahead()
        starting.wait()
    except BaseException:
        connection.close()
        raise
    return session


@dataclass(frozen=True, slots=True)
class _Starting:
    """An SFTP server that was greeted. What is asked of its ``files`` now goes with the greeting.

    ``wait`` waits for the answer, and raises if there is none.
    """

    files: SftpFiles
    wait: Callable[[], None]


@dataclass(slots=True)
class _SftpServer:
    """The SFTP server of a session: ``start`` starts it over a channel of its own.

    ``channel`` and ``files`` are those of the one that runs, ``None`` if none does.
    """

    transport: Connection
    options: ConnectOptions
    start: Callable[[paramiko.Channel, Deadline], _Starting]
    channel: paramiko.Channel | None = None
    files: SftpFiles | None = None

    def run(self, deadline: Deadline) -> _Starting:
        """Begin to start it. Raises what ``start`` does."""
        try:
            with map_paramiko_errors("session"):
                channel = open_session(self.transport, deadline.step_timeout(self.options.timeout))
        except Unreachable as problem:
            if (problem.reason, problem.hint) == CLOSED:
                raise Unreachable("session", *HUNG_UP_ON_LOGIN) from None
            raise
        starting = self.start(channel, deadline)
        self.channel, self.files = channel, starting.files
        return starting

    def run_as(
        self, start: Callable[[paramiko.Channel, Deadline], _Starting], deadline: Deadline
    ) -> SftpFiles:
        """End it, and let ``start`` start another one in its place.

        Raises what ``start`` does. After :class:`NotAsOwner` the files from before can be used.
        """
        self.end(deadline.step_timeout(self.options.timeout))
        channel = another_session(self.transport, self.options, deadline, "session")
        try:
            starting = start(channel, deadline)
            starting.wait()
        except NotAsOwner:
            if self.files is not None:
                self.files.ended(self._start_again)
            raise
        self.start, self.channel, self.files = start, channel, starting.files
        return starting.files

    def end(self, seconds: float) -> None:
        """End it within ``seconds``."""
        if self.channel is not None:
            _end_sftp(self.channel, seconds)
            self.channel = None

    def make_room(self, seconds: float) -> bool:
        """End it for a command; the next operation on a file starts it again.

        Returns whether there is room now: also after an earlier command, whose session the host
        may take a moment to end.
        """
        if self.files is None:
            return False
        if self.channel is not None:
            self.end(seconds)
            self.files.ended(self._start_again)
        return True

    def _start_again(self, deadline: Deadline) -> SftpFiles:
        """Start it for the files that the session has. Raises :class:`Unreachable`."""
        channel = another_session(self.transport, self.options, deadline, "session")
        try:
            starting = self.start(channel, deadline)
            starting.wait()
        except NotAsOwner as problem:
            raise Unreachable("sftp", str(problem), "try again") from None
        self.channel = channel
        return starting.files


def _open_files(connection: LoggedIn, hop: Hop) -> int:
    """Return how many of this process's files the connection takes: a ProxyCommand's are pipes."""
    if connection.way is not None:
        return 0
    return 1 if hop.proxy_command is None else 3


@dataclass(frozen=True, slots=True)
class _ChannelStream:
    """A channel that raises what a socket does, never paramiko's own exceptions."""

    channel: paramiko.Channel
    transport: Connection

    def send(self, data: bytes) -> int:
        try:
            sent = self.channel.send(data)
        except TimeoutError:
            raise
        except (paramiko.SSHException, OSError, EOFError) as problem:
            raise self._ended(problem) from None
        if not sent:
            self._check_bastion()
        return sent

    def recv(self, size: int) -> bytes:
        try:
            data = self.channel.recv(size)
        except TimeoutError:
            silent = self.transport.silent_bastion(ANSWERS_WITHIN)
            if silent is not None:
                raise BastionLostError(silent) from None
            raise
        except (paramiko.SSHException, OSError, EOFError) as problem:
            raise self._ended(problem) from None
        if not data:
            self._check_bastion()
        return data

    def settimeout(self, seconds: float | None) -> None:
        self.channel.settimeout(seconds)

    def _ended(self, problem: paramiko.SSHException | OSError | EOFError) -> Exception:
        """Return what to raise for the end of a connection; a packet to a closed one is EOF."""
        self._check_bastion()
        return problem if isinstance(problem, EOFError) else to_os_error(problem)

    def _check_bastion(self) -> None:
        lost = self.transport.lost_bastion()
        if lost is not None:
            raise BastionLostError(lost)


def _start_sftp(
    channel: paramiko.Channel,
    transport: Connection,
    target: Target,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> _Starting:
    mark = secrets.token_hex(8)
    stream = SftpStream(_ChannelStream(channel, transport), options.timeout, deadline)
    files = SftpFiles(stream)
    with map_paramiko_errors("sftp"):
        if target.become_user is None and target.sftp_server_path is None:
            begin(channel, "subsystem", "sftp")
        else:
            begin(channel, "exec", remote_command(target, mark))

    def wait() -> None:
        with map_paramiko_errors("sftp"):
            try:
                files.start()
            except (EOFError, OSError) as problem:
                if isinstance(problem, TimeoutError) or not transport.is_active():
                    raise
                raise _no_sftp(channel, target, hop, stream, mark) from None
        if target.become_user is not None and begun(mark) not in stream.noise:
            # What serves SFTP instead runs as the login.
            raise Unreachable(target.become_method, NO_COMMANDS, LET_IT_RUN)

    return _Starting(files, wait)


def _start_sftp_as_owner(
    channel: paramiko.Channel,
    transport: Connection,
    target: Target,
    owner: tuple[int, int],
    options: ConnectOptions,
    deadline: Deadline,
) -> _Starting:
    """Return the files as ``owner`` has them, by an SFTP server that runs as this user.

    ``owner`` is a uid, and the gid for a user whom the host does not know. To wait for it raises
    :class:`NotAsOwner` and :class:`Unreachable`.
    """
    (uid, gid), mark = owner, secrets.token_hex(8)
    command = owner_command(uid, gid, mark, servers_of(target), target.become_method)
    stream = SftpStream(_ChannelStream(channel, transport), options.timeout, deadline)
    files = SftpFiles(stream)

    def wait() -> None:
        try:
            begin(channel, "exec", command)
            files.start()
        except (paramiko.SSHException, EOFError, OSError) as problem:
            if isinstance(problem, TimeoutError) or not transport.is_active():
                raise Unreachable("sftp", *explain(problem)) from None
            channel.settimeout(_OUTPUT_TIMEOUT)
            stderr = _receive_rest(channel.recv_stderr).decode(errors="replace")
            raise NotAsOwner(owner_problem(uid, stderr) if stderr else NO_COMMANDS) from None
        if started(uid, mark) not in stream.noise:
            channel.close()
            raise NotAsOwner(NO_COMMANDS)

    return _Starting(files, wait)


def _end_sftp(channel: paramiko.Channel, seconds: float) -> None:
    """Let the SFTP server of ``channel`` end, and close it."""
    channel.settimeout(seconds)
    with suppress(OSError, EOFError, paramiko.SSHException):
        channel.shutdown_write()
        while channel.recv(_LONGEST_OUTPUT):
            continue
        wait_for_exit(channel, seconds)  # only then does the host take the session for ended
    channel.close()


def _no_sftp(
    channel: paramiko.Channel, target: Target, hop: Hop, stream: SftpStream, mark: str
) -> Unreachable:
    """Return why SFTP did not begin, out of what the far side said instead."""
    if was_refused(channel):
        if target.become_user is not None:
            return Unreachable(target.become_method, NO_COMMANDS, LET_IT_RUN)
        if target.sftp_server_path is not None:
            return Unreachable("sftp", NO_COMMANDS, LET_IT_RUN)
        return Unreachable(
            "sftp",
            "the host offers no SFTP",
            "add 'Subsystem sftp internal-sftp' to its sshd_config",
        )
    channel.settimeout(_OUTPUT_TIMEOUT)
    noise = (stream.noise or _receive_rest(channel.recv))[:_LONGEST_OUTPUT].decode(errors="replace")
    stderr = _receive_rest(channel.recv_stderr).decode(errors="replace")
    if target.become_user is not None or target.sftp_server_path is not None:
        has_begun = begun(mark) in stream.noise
        return become_problem(target, hop.user, stderr + noise, has_begun=has_begun)
    if noise:
        return Unreachable(
            "sftp",
            f"the login shell answered instead of SFTP{quoted(noise)}",
            "is the account allowed to use SFTP, and its shell a real one?",
        )
    return Unreachable("sftp", f"the SFTP server ended at once{quoted(stderr)}", _LOOK)


def _receive_rest(receive: Callable[[int], bytes]) -> bytes:
    """Return what has come on one side of a channel that is at its end."""
    try:
        return receive(_LONGEST_OUTPUT)
    except (OSError, EOFError):
        return b""
