"""From an open socket to an authenticated SSH connection, each step bounded and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.ssh.authentication import log_in
from aegis_provision.transport.ssh.host_keys import check_host_key
from aegis_provision.transport.ssh.known_hosts import HostKey, read_known_hosts
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

# Modern algorithms alone, the cheapest first: no SHA-1, no CBC, no DSA, no MD5.
_KEX = (
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
)
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_DIGESTS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_KEEPALIVE = 15
_CLOCK_GRAIN = 0.25


def open_transport(
    connection: socket.socket | paramiko.Channel,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[Connection, AcceptedKey | None]:
    """Shake hands, check the host's key and log in.

    Returns the transport, and the host's key if it was new and taken on trust. Raises
    :class:`Unreachable`; ``connection`` is closed then.
    """
    transport: Connection | None = None
    try:
        with map_errors("known_hosts"):
            known_hosts = read_known_hosts(hop.known_hosts)
        connection.settimeout(None)
        transport = Connection(connection)
        with map_paramiko_errors("handshake"):
            _shake_hands(transport, known_hosts.keys(hop.key_name), options, deadline)
        key = transport.get_remote_server_key()
        found = HostKey(key.get_name(), key.asbytes())
        accepted = check_host_key(found, hop, known_hosts, options)
        log_in(transport, hop, options, deadline)
        transport.set_keepalive(_KEEPALIVE)
    except BaseException:
        if transport is not None:
            transport.abort()
        connection.close()
        raise
    return transport, accepted


def _shake_hands(
    transport: paramiko.Transport,
    trusted: Sequence[HostKey],
    options: ConnectOptions,
    deadline: Deadline,
) -> None:
    limit = deadline.step_timeout(options.timeout)
    transport.daemon = True
    transport.banner_timeout = limit
    transport.handshake_timeout = limit
    transport.auth_timeout = limit
    transport.channel_timeout = limit
    security = transport.get_security_options()
    security.kex = _available(_KEX, security.kex)
    security.ciphers = _available(_CIPHERS, security.ciphers)
    security.digests = _available(_DIGESTS, security.digests)
    security.key_types = _available(_by_trust(trusted), security.key_types)
    until = time.monotonic() + limit
    try:
        transport.start_client(timeout=limit)
        transport.get_remote_server_key()  # raises where there was no handshake after all
    except (paramiko.SSHException, EOFError):
        # The library tells silence and hanging up apart in texts alone, and not always.
        if time.monotonic() >= until - _CLOCK_GRAIN:
            raise TimeoutError from None
        raise


def _available(names: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in offered)


def _by_trust(trusted: Sequence[HostKey]) -> tuple[str, ...]:
    """Return the key types to ask for: first those that we hold keys of."""
    known_types = {key.key_type for key in trusted}
    if "ssh-rsa" in known_types:
        known_types |= {"rsa-sha2-512", "rsa-sha2-256"}
    return tuple(sorted(_HOST_KEYS, key=lambda name: name not in known_types))
