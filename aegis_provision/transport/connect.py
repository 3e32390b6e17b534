"""Opens a session to a host, in whichever way the inventory says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.protocol import out_of_time

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.protocol import ConnectOptions, Deadline, HostSession


def connect(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return an open session to ``target``. Raises :class:`Unreachable`."""
    if target.connection == "local":
        from aegis_provision.transport.local import connect_local

        return connect_local(target, options, deadline)
    return _connect_ssh(target, options, deadline)


def _connect_ssh(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    from aegis_provision.transport.errors import NO_TIME
    from aegis_provision.transport.ssh.dial import dial
    from aegis_provision.transport.ssh.jump_hosts import at_hop, resolve_hops

    way = resolve_hops(target, options)
    try:
        with at_hop(way, 0):
            connection = dial(way[0].host, way[0].port, options, deadline)
        # Loading the SSH library takes longest of all. The host, once it was called, gets ready
        # meanwhile.
        from aegis_provision.transport.ssh.session import connect_over

        return connect_over(connection, target, way, options, deadline)
    except Unreachable as problem:
        if problem.reason == NO_TIME[0] and deadline.passed():
            raise out_of_time(problem.step) from None
        raise
