"""From an open socket to an authenticated SSH connection, each step bounded and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko

from aegis_provision.transport.errors import map_errors
from aegis_provision.transport.retry import Retry, ignore_retry
from aegis_provision.transport.ssh.algorithms import (
    CIPHERS,
    DIGESTS,
    chosen,
    chosen_kex,
    host_key_order,
)
from aegis_provision.transport.ssh.authentication import KeysLeftError, Progress, log_in
from aegis_provision.transport.ssh.host_keys import ShownKey, check_host_key
from aegis_provision.transport.ssh.known_hosts import read_known_hosts
from aegis_provision.transport.ssh.paramiko_errors import map_paramiko_errors
from aegis_provision.transport.ssh.paramiko_internals import NO_BANNER, Connection
from aegis_provision.transport.ssh.proxy_command import explaining

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from aegis_provision.transport.connect_options import AcceptedKey, ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.retry import OnRetry
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_KEEPALIVE = 15
_CLOCK_GRAIN = 0.25
_MOST_CONNECTIONS = 8
_KEYS_LEFT = "login: the host hung up after as many keys as it takes (MaxAuthTries); some are left"


def open_transport(
    connection: socket.socket | paramiko.Channel,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
    again: Callable[[], socket.socket | paramiko.Channel] | None = None,
    on_retry: OnRetry = ignore_retry,
) -> tuple[Connection, AcceptedKey | None]:
    """Shake hands over ``connection``, check the host's key and log in.

    Our version was said over it already (:func:`.version_exchange.say_version`). A host that hangs
    up after so many keys is connected to again with ``again``, a few times, for those that are
    left, which is told to ``on_retry``. Returns the transport, and the host's key
    if it was new and taken on trust. Raises :class:`Unreachable`; ``connection`` is closed then.
    """
    progress = Progress()
    for number in range(1, _MOST_CONNECTIONS):
        try:
            return _open(connection, hop, options, deadline, progress)
        except KeysLeftError as problem:
            if again is None:
                raise problem.refusal from None
        on_retry(Retry(number + 1, _KEYS_LEFT, 0.0))
        connection = again()
    try:
        return _open(connection, hop, options, deadline, progress)
    except KeysLeftError as problem:
        raise problem.refusal from None


def _open(
    connection: socket.socket | paramiko.Channel,
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
    progress: Progress,
) -> tuple[Connection, AcceptedKey | None]:
    transport: Connection | None = None
    try:
        with map_errors("known_hosts"):
            known_hosts = read_known_hosts(hop.known_hosts)
        order = host_key_order(hop.host_key_algorithms, known_hosts.about(hop.key_name))
        connection.settimeout(None)
        transport = Connection(connection)
        with explaining(connection), map_paramiko_errors("handshake"):
            shown = _shake_hands(transport, order, hop, options, deadline)
        accepted = check_host_key(shown, hop, known_hosts, options)
        progress.accepted = progress.accepted or accepted
        with map_errors("login"):  # no file is left here for the agent or a key
            transport.logged_in_with = log_in(transport, hop, options, deadline, progress)
        transport.set_keepalive(hop.server_alive_interval or _KEEPALIVE)
    except BaseException:
        if transport is not None:
            transport.abort()
        connection.close()
        raise
    return transport, progress.accepted


def _shake_hands(
    transport: Connection,
    host_keys: Sequence[str],
    hop: Hop,
    options: ConnectOptions,
    deadline: Deadline,
) -> ShownKey:
    """Return what the host shows of itself, asked for in the order of ``host_keys``."""
    limit = deadline.step_timeout(options.timeout)
    transport.daemon = True
    transport.banner_timeout = limit
    transport.handshake_timeout = limit
    transport.auth_timeout = limit
    transport.channel_timeout = limit
    security = transport.get_security_options()
    security.kex = _available(chosen_kex(hop.kex_algorithms), security.kex)
    security.ciphers = _available(chosen("Ciphers", hop.ciphers, CIPHERS), security.ciphers)
    security.digests = _available(chosen("MACs", hop.macs, DIGESTS), security.digests)
    transport.host_key_algorithms = tuple(host_keys)
    until = time.monotonic() + limit
    try:
        transport.start_client(timeout=limit)
        return transport.shown_key()
    except (paramiko.SSHException, EOFError, ConnectionError) as problem:
        # The library tells silence and hanging up apart in texts alone, and not always.
        if time.monotonic() >= until - _CLOCK_GRAIN:
            raise TimeoutError from None
        if not isinstance(problem, paramiko.SSHException) and not transport.remote_version:
            raise paramiko.SSHException(NO_BANNER) from None
        raise


def _available(names: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in offered)
