"""From an open socket to an authenticated SSH connection, each step bounded and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.errors import Unreachable
from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.protocol import AcceptedKey
from aegis_provision.transport.ssh.authentication import log_in
from aegis_provision.transport.ssh.channels import Connection
from aegis_provision.transport.ssh.dial import step_timeout
from aegis_provision.transport.ssh.known_hosts import (
    KnownHosts,
    Verdict,
    add_if_new,
    read_known_hosts,
)
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.public_keys import HostKey
from aegis_provision.transport.ssh.revoked_keys import RevokedKeysError, read_revoked_keys

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from aegis_provision.transport.protocol import ConnectOptions, Deadline
    from aegis_provision.transport.ssh.jump_hosts import Hop

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
_STEP = "host key"
_REVOKED_HINT = "somebody may be in between; ask who runs the host"
_KEEPALIVE = 15
_CLOCK_GRAIN = 0.25


def open_transport(
    connection: socket.socket | paramiko.Channel,
    endpoint: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> tuple[Connection, AcceptedKey | None]:
    """Shake hands, check the host's key and log in. Raises :class:`Unreachable`.

    Returns the transport, and the host's key if it was new and taken on trust.
    """
    with map_errors("known_hosts"):
        known = read_known_hosts(options.known_hosts)
    connection.settimeout(None)
    transport = Connection(connection)
    try:
        with map_paramiko_errors("handshake"):
            _shake_hands(transport, known.keys(endpoint.key_name), options, deadline)
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
    limit = step_timeout(options, deadline)
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
    found: HostKey, endpoint: Hop, known: KnownHosts, options: ConnectOptions
) -> AcceptedKey | None:
    """Return the key if it was new and taken on trust, ``None`` if it was known.

    Raises :class:`Unreachable` for a key that is revoked, changed, or unknown and not to be taken.
    """
    name = endpoint.key_name
    if endpoint.revoked_keys is not None:
        _check_revoked(found, name, endpoint.revoked_keys)
    verdict = known.verdict(endpoint.key_names, found)
    if verdict.standing == "new" and options.accept_new and options.known_hosts:
        verdict = _taken(found, endpoint, options)
        if verdict.standing == "new":
            return AcceptedKey(name, found.key_type, found.fingerprint)
    if verdict.standing == "known":
        return None
    raise _refused(found, name, verdict)


def _check_revoked(found: HostKey, name: str, path: str) -> None:
    try:
        revoked = read_revoked_keys(path)
    except RevokedKeysError as problem:
        raise Unreachable(
            _STEP,
            f"whether the key of {name} is revoked can't be told: RevokedHostKeys {problem}",
            "correct the file or the ssh config (without the file ssh refuses every key too)",
        ) from None
    if found in revoked:
        raise Unreachable(
            _STEP,
            f"the key of {name} is revoked by {path} ({found.fingerprint})",
            _REVOKED_HINT,
        )


def _taken(found: HostKey, endpoint: Hop, options: ConnectOptions) -> Verdict:
    with map_errors("known_hosts"):
        try:
            return add_if_new(options.known_hosts, endpoint.key_names, found)
        except ValueError:
            raise Unreachable(
                "known_hosts",
                f"a key can't be saved under {endpoint.key_name!r}, which is no plain name",
                "correct HostKeyAlias or HostName in the ssh config",
            ) from None


def _refused(found: HostKey, name: str, verdict: Verdict) -> Unreachable:
    if verdict.standing == "revoked":
        return Unreachable(
            _STEP, f"the key of {name} is revoked ({found.fingerprint})", _REVOKED_HINT
        )
    if verdict.standing == "changed":
        old = ", ".join(dict.fromkeys(key.fingerprint for key in verdict.others))
        return Unreachable(
            _STEP,
            f"the key of {name} has changed: known is {old}, and it shows {found.fingerprint}",
            f"somebody may be in between; if the host was reinstalled: ssh-keygen -R '{name}'",
        )
    return Unreachable(
        _STEP,
        f"the key of {name} is not known ({found.key_type} {found.fingerprint})",
        "compare it with the host's own, then add it with ssh-keyscan, "
        "or take it with --host-key accept-new",
    )
