"""Connects through jump hosts (bastions): logs in at each hop over the one before.

Which hops there are is in :mod:`~aegis_provision.transport.ssh.resolve_jump_hosts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.handshake import open_transport
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import CONNECT_FAILED, open_connection
from aegis_provision.transport.ssh.proxy_command import connect_hop
from aegis_provision.transport.ssh.resolve_jump_hosts import at_hop

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.paramiko_internals import Connection
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop


def connect_through(
    connection: socket.socket, hops: Sequence[Hop], options: ConnectOptions, deadline: Deadline
) -> tuple[list[Connection], tuple[AcceptedKey, ...]]:
    """Log in at every one of ``hops``; ``connection`` leads to the first.

    Returns the connections, the last of which is the host's, and the host keys that were accepted
    as new. Raises :class:`Unreachable`; everything is closed then.
    """
    transports: list[Connection] = []
    accepted: list[AcceptedKey] = []
    try:
        for index, hop in enumerate(hops):
            with at_hop(hops, index):
                transport, key = (
                    _log_in_through(transports[-1], hops[index - 1], hop, options, deadline)
                    if index
                    else open_transport(
                        connection,
                        hop,
                        options,
                        deadline,
                        lambda: connect_hop(hops[0], options, deadline),
                    )
                )
            transports.append(transport)
            if key is not None:
                accepted.append(key)
    except BaseException:
        close_all(transports)
        raise
    return transports, tuple(accepted)


def close_all(transports: Sequence[Connection]) -> None:
    """Close the connections, the host's first."""
    for transport in reversed(transports):
        transport.close()


def _log_in_through(
    jump_host: paramiko.Transport,
    previous: Hop,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[Connection, AcceptedKey | None]:
    """Log in at ``hop`` over a connection that ``jump_host`` makes, which is ``previous``."""

    def connect() -> paramiko.Channel:
        return _connect(jump_host, previous, hop, deadline.step_timeout(options.timeout))

    return open_transport(connect(), hop, options, deadline, connect)


def _connect(
    jump_host: paramiko.Transport, previous: Hop, hop: Hop, seconds: float
) -> paramiko.Channel:
    """Return a connection to ``hop`` that ``jump_host`` makes. Raises :class:`Unreachable`."""
    with map_paramiko_errors("bastion"):
        try:
            return open_connection(jump_host, hop.host, hop.port, seconds)
        except paramiko.ChannelException as refusal:
            name, address = previous.key_name, f"{hop.host} port {hop.port}"
            if refusal.code == CONNECT_FAILED:
                raise Unreachable(
                    "bastion",
                    f"{name} can't connect to {address}",
                    "check the address as the bastion sees it, and that sshd runs there",
                ) from None
            raise Unreachable(
                "bastion",
                f"{name} does not let us through to {address}",
                "look at AllowTcpForwarding and PermitOpen in the bastion's sshd_config",
            ) from None
