"""Opens a session to a host, in whichever way the inventory says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_provision.inventory.model import Target
    from aegis_provision.transport.protocol import ConnectOptions, Deadline, HostSession


def connect(target: Target, options: ConnectOptions, deadline: Deadline) -> HostSession:
    """Return an open session to ``target``. Raises :class:`~.protocol.Unreachable`."""
    if target.connection == "local":
        from aegis_provision.transport.local import connect_local

        return connect_local(target, options, deadline)
    from aegis_provision.transport.ssh import connect_ssh

    return connect_ssh(target, options, deadline)
