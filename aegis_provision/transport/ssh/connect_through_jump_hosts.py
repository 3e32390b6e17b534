"""Logs in at a host or a jump host (bastion): over a TCP connection, or through another bastion.

Which hops there are is in :mod:`~aegis_provision.transport.ssh.resolve_jump_hosts`; who shares the
connection to a bastion, in :mod:`~aegis_provision.transport.shared_connections`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Passing, Unreachable
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.transport.errors import (
    NO_ANSWER,
    NOTHING_LISTENS,
    THROUGH,
    UNKNOWN_NAME,
    BastionLostError,
    describe_os_error,
)
from aegis_provision.transport.retry import ignore_retry
from aegis_provision.transport.ssh.handshake import open_transport
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import (
    CONNECT_FAILED,
    ChannelRefusedError,
    open_connection,
)
from aegis_provision.transport.ssh.proxy_command import connect_hop
from aegis_provision.transport.ssh.version_exchange import say_version
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    import paramiko

    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.retry import OnRetry
    from aegis_provision.transport.shared_connections import Lease
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_ANSWERS_WITHIN = 5.0
_ELSEWHERE = "check the address as the bastion sees it, and that sshd runs there"
# sshd's words where its first step fails already: socket(2), or connect(2) at once.
_OPEN_FAILED = "open failed"
_REASONS: Mapping[ConnectFailure | None, tuple[str, Passing | None]] = {
    ConnectFailure.NOT_LISTENING: (NOTHING_LISTENS[0], Passing.SOON),
    ConnectFailure.TIMED_OUT: (NO_ANSWER[0], Passing.SLOWLY),
    ConnectFailure.UNKNOWN_NAME: (UNKNOWN_NAME[0], None),
}


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A connection that is logged in at a host or a bastion.

    ``accepted`` are the host keys that were accepted as new for it; ``way`` is the use of the
    bastion that it goes through, ``None`` for none.
    """

    transport: Connection
    accepted: tuple[AcceptedKey, ...]
    way: Lease[LoggedIn] | None = None

    @property
    def bastions(self) -> tuple[str, ...]:
        """Return what the bastions on the way are called, the first one first."""
        if self.way is None:
            return ()
        before = self.way.connection
        return (*before.bastions, before.transport.server)

    def is_active(self) -> bool:
        """Tell whether the connection still works."""
        return self.transport.is_active()

    def close(self) -> None:
        """Close the connection, and give its way back."""
        self.transport.close()
        if self.way is not None:
            self.way.give_back()


def log_in_over(
    connection: socket.socket,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
    on_retry: OnRetry = ignore_retry,
) -> LoggedIn:
    """Log in at ``hop``, to which ``connection`` leads; further connections are told.

    Raises :class:`Unreachable`; ``connection`` is closed then.
    """

    def connect() -> socket.socket:
        return connect_hop(hop, options, deadline)

    transport, key = open_transport(connection, hop, options, deadline, connect, on_retry)
    transport.server = hop.key_name
    return LoggedIn(transport, () if key is None else (key,))


def log_in_through(
    way: Lease[LoggedIn],
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
    on_retry: OnRetry = ignore_retry,
) -> LoggedIn:
    """Log in at ``hop`` through a bastion, whose use is given back with the connection.

    Raises :class:`Unreachable`; ``way`` is then still the caller's.
    """
    bastion = way.connection

    def connect() -> paramiko.Channel:
        return _connect(bastion.transport, hop, deadline.step_timeout(options.timeout))

    try:
        transport, key = open_transport(connect(), hop, options, deadline, connect, on_retry)
    except Unreachable as problem:
        if _is_lost(bastion.transport, problem, min(options.timeout, _ANSWERS_WITHIN)):
            raise _lost(bastion.transport) from None
        raise
    transport.server = hop.key_name
    accepted = (*(bastion.accepted if way.is_first else ()), *(() if key is None else (key,)))
    return LoggedIn(transport, accepted, way)


def _connect(bastion: Connection, hop: Hop, seconds: float) -> paramiko.Channel:
    """Return a connection to ``hop`` that ``bastion`` makes, over which our version was said.

    Raises :class:`Unreachable`.
    """
    with map_paramiko_errors(THROUGH):
        try:
            channel = open_connection(bastion, hop.host, hop.port, seconds)
        except ChannelRefusedError as refusal:
            raise _refused(bastion.server, hop, refusal) from None
        channel.settimeout(seconds)
        say_version(channel)
        return channel


def _refused(bastion: str, hop: Hop, refusal: ChannelRefusedError) -> Unreachable:
    address = f"{hop.host} port {hop.port}"
    if refusal.code != CONNECT_FAILED:
        return Unreachable(
            THROUGH,
            f"{bastion} does not let us through to {address}",
            "look at AllowTcpForwarding, PermitOpen and DisableForwarding in the bastion's "
            "sshd_config, and at 'restrict' and 'permitopen' before the key in authorized_keys",
        )
    if refusal.words == _OPEN_FAILED:
        return Unreachable(
            THROUGH,
            f"{bastion} can't connect to {address}: it has no route there, or too many files open",
            f"{_ELSEWHERE}; sshd's own limit of files (ulimit -n) counts each host behind it",
            passing=Passing.SOON,
        )
    from aegis_provision.transport.ssh.port_forward import why_refused

    reason, passing = _REASONS.get(why_refused(refusal).cause, ("", None))
    words = f"{bastion} can't connect to {address}{reason and f': {reason}'}"
    return Unreachable(THROUGH, words, _ELSEWHERE, passing=passing)


def _is_lost(bastion: Connection, problem: Unreachable, seconds: float) -> bool:
    """Tell whether ``problem`` came of the loss of ``bastion``, which is closed then.

    One that may be silent is asked, and has ``seconds`` to answer.
    """
    match problem.passing:
        case None:
            pass
        case Passing.SLOWLY:
            # It may wait for the host itself, or not be there any more.
            if bastion.is_active() and not bastion.answers(seconds):
                bastion.close()
        case _:
            return bastion.ends()
    return not bastion.is_active()


def _lost(bastion: Connection) -> Unreachable:
    problem = BastionLostError(bastion.lost_bastion() or bastion.server)
    return Unreachable(THROUGH, *describe_os_error(problem), passing=Passing.SOON)
