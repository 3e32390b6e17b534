"""What it takes to connect to a server of a test: targets and options, nothing of the user's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aegis_provision.inventory.model import Target
from aegis_provision.transport.protocol import ConnectOptions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.openssh import Sshd


def target(address: str, port: int | None = None, **changes: Any) -> Target:
    """Return a target called ``host`` at ``address``; ``changes`` are further fields."""
    plain = Target(
        host="host",
        address=address,
        port=port,
        user=None,
        connection="ssh",
        identity_file=None,
        jump=None,
        become_user=None,
        config_path="/nowhere/aegis.config.json",
        read_via="explicit",
    )
    return replace(plain, **changes)


def target_at(sshd: Sshd, **changes: Any) -> Target:
    """Return a target that leads to ``sshd`` with the key that it takes."""
    fields = {"user": sshd.user, "identity_file": str(sshd.client_key), **changes}
    return target(sshd.address, sshd.port, **fields)


def options(home: Path, *known_hosts: Path, **changes: Any) -> ConnectOptions:
    """Return options that trust ``known_hosts``, with ``home`` in place of the user's."""
    plain = ConnectOptions(
        timeout=15.0,
        ssh_config=None,
        known_hosts=known_hosts,
        accept_new=False,
        agent_socket=None,
        home=home,
        login_name="nobody-in-particular",
    )
    return replace(plain, **changes)
