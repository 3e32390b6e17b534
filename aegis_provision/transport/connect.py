"""Opens a session with a host: over SSH, or on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import deadline_expired

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession


def connect(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return an open session to ``target``. Raises :class:`Unreachable`."""
    if target.connection == "local":
        from aegis_provision.transport.local import connect_local

        return connect_local(target, options, deadline)
    return _connect_ssh(target, options, deadline)


def _connect_ssh(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    from aegis_provision.transport.errors import NO_TIME
    from aegis_provision.transport.ssh.proxy_command import connect_hop
    from aegis_provision.transport.ssh.resolve_jump_hosts import at_hop, resolve_hops

    hops = resolve_hops(target, options)
    try:
        with at_hop(hops, 0):
            connection = connect_hop(hops[0], options, deadline)
        # Loading paramiko takes longest of all; the host gets ready for us meanwhile.
        from aegis_provision.transport.ssh.sftp_session import connect_over

        return connect_over(connection, target, hops, options, deadline)
    except Unreachable as problem:
        if problem.reason == NO_TIME[0] and deadline.expired():
            raise deadline_expired(problem.step, problem.stage) from None
        raise
