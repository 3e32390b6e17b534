"""From an open socket to an authenticated SSH connection, each step bounded and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.transport.channels import Connection
from aegis_provision.transport.dial import patience
from aegis_provision.transport.failures import step
from aegis_provision.transport.known_hosts import (
    HostKey,
    KnownHosts,
    add_known_host,
    read_known_hosts,
)
from aegis_provision.transport.library_failures import library_step
from aegis_provision.transport.login import log_in
from aegis_provision.transport.protocol import AcceptedKey, Unreachable

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from aegis_provision.transport.endpoints import Endpoint
    from aegis_provision.transport.protocol import ConnectOptions, Deadline

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


def secure(
    connection: socket.socket | paramiko.Channel,
    endpoint: Endpoint,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[Connection, AcceptedKey | None]:
    """Shake hands, check the host's key and log in. Raises :class:`Unreachable`.

    Returns the transport, and the host's key if it was new and taken on trust.
    """
    with step("known_hosts"):
        known = read_known_hosts(options.known_hosts)
    connection.settimeout(None)
    transport = Connection(connection)
    try:
        with library_step("handshake"):
            _shake_hands(transport, known.trusted(endpoint.key_names), options, deadline)
        key = transport.get_remote_server_key()
        found = HostKey(key.get_name(), key.asbytes())
        accepted = check_host_key(found, endpoint, known, options)
        log_in(transport, endpoint, options, deadline)
        transport.set_keepalive(_KEEPALIVE)
    except BaseException:
        transport.close()
        # A handshake that fails leaves its timer running, and the process would wait for it.
        transport.packetizer.complete_handshake()
        raise
    return transport, accepted


def _shake_hands(
    transport: paramiko.Transport,
    trusted: Sequence[HostKey],
    options: ConnectOptions,
    deadline: Deadline,
) -> None:
    limit = patience(options, deadline)
    transport.daemon = True
    transport.banner_timeout = limit
    transport.handshake_timeout = limit
    transport.auth_timeout = limit
    transport.channel_timeout = limit
    wanted = transport.get_security_options()
    wanted.kex = _available(_KEX, wanted.kex)
    wanted.ciphers = _available(_CIPHERS, wanted.ciphers)
    wanted.digests = _available(_DIGESTS, wanted.digests)
    wanted.key_types = _available(_by_trust(trusted), wanted.key_types)
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
    held = {key.key_type for key in trusted}
    if "ssh-rsa" in held:
        held |= {"rsa-sha2-512", "rsa-sha2-256"}
    return tuple(sorted(_HOST_KEYS, key=lambda name: name not in held))


def check_host_key(
    found: HostKey, endpoint: Endpoint, known: KnownHosts, options: ConnectOptions
) -> AcceptedKey | None:
    """Return the key if it was new and taken on trust, ``None`` if it was known.

    Raises :class:`Unreachable` for a key that is revoked, changed, or unknown and not to be taken.
    """
    name = endpoint.key_name
    if known.is_revoked(endpoint.key_names, found):
        raise Unreachable(
            "host key",
            f"the key of {name} is revoked ({found.fingerprint})",
            "somebody may be in between; ask who runs the host",
        )
    if found in known.trusted(endpoint.key_names):
        return None
    trusted = known.trusted((name,))
    if trusted:
        old = ", ".join(dict.fromkeys(key.fingerprint for key in trusted))
        raise Unreachable(
            "host key",
            f"the key of {name} has changed: known is {old}, and it shows {found.fingerprint}",
            f"somebody may be in between; if the host was reinstalled: ssh-keygen -R '{name}'",
        )
    if not options.accept_new or not options.known_hosts:
        raise Unreachable(
            "host key",
            f"the key of {name} is not known ({found.key_type} {found.fingerprint})",
            "compare it with the host's own, then add it with ssh-keyscan, "
            "or take it with --host-key accept-new",
        )
    with step("known_hosts"):
        add_known_host(options.known_hosts[0], name, found)
    return AcceptedKey(name, found.key_type, found.fingerprint)
