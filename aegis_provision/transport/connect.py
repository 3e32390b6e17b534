"""Opens a session with a host: over SSH, or on this machine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.deadline import deadline_expired
from aegis_provision.transport.retry import ignore_retry, retrying
from aegis_provision.transport.shared_connections import SharedConnections
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.retry import OnRetry, Retry
    from aegis_provision.transport.shared_connections import Lease
    from aegis_provision.transport.ssh.connect_through_jump_hosts import LoggedIn
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop


def connect(
    target: Target,
    options: ConnectOptions,
    deadline: Deadline,
    on_retry: OnRetry = ignore_retry,
    *,
    shared: SharedConnections[LoggedIn] | None = None,
    hops: tuple[Hop, ...] | None = None,
) -> HostSession:
    """Return an open session to ``target``.

    What may pass is tried again until ``deadline``, and told to ``on_retry``. Hosts with the same
    ``shared`` go over one connection to their bastion. ``hops`` are the way to the host where the
    ssh config was asked for it already. Raises :class:`Unreachable`.
    """
    if target.connection == "local":
        from aegis_provision.transport.errors import CONNECT, map_errors
        from aegis_provision.transport.local import connect_local

        def attempt() -> HostSession:
            with map_errors(CONNECT):
                return connect_local(target, options, deadline)

        return retrying(attempt, deadline, on_retry, retries=options.retries)
    return _connect_ssh(target, options, deadline, on_retry, shared or SharedConnections(), hops)


def _connect_ssh(
    target: Target,
    options: ConnectOptions,
    deadline: Deadline,
    on_retry: OnRetry,
    shared: SharedConnections[LoggedIn],
    hops: tuple[Hop, ...] | None,
) -> HostSession:
    from aegis_provision.transport.errors import NO_TIME, map_errors
    from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops

    if hops is None:

        def resolve() -> tuple[Hop, ...]:
            with map_errors("ssh config"):
                return resolve_hops(target, options)

        hops = retrying(resolve, deadline, on_retry, retries=options.retries)
    try:
        connection = _Way(hops, options, deadline, on_retry, shared).log_in(len(hops) - 1)
        from aegis_provision.transport.ssh.sftp_session import start_session

        return start_session(connection, target, hops[-1], options, deadline)
    except Unreachable as problem:
        if problem.reason == NO_TIME[0] and deadline.expired():
            raise deadline_expired(problem.step, problem.stage) from None
        raise


def _shared_by(hops: tuple[Hop, ...]) -> Hashable:
    """Return what hosts have in common that share the connection to the last of ``hops``.

    It is all that decides who logs in where: a passphrase too, which opens the key of one host's
    way and may be missing on another's.
    """
    return tuple((hop, hop.passphrase and hop.passphrase.origin) for hop in hops)


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to one host, hop by hop."""

    hops: tuple[Hop, ...]
    options: ConnectOptions
    deadline: Deadline
    on_retry: OnRetry
    shared: SharedConnections[LoggedIn]

    def log_in(self, index: int) -> LoggedIn:
        """Log in at the hop with ``index``, through those before. Raises :class:`Unreachable`."""
        from aegis_provision.transport.ssh.resolve_jump_hosts import at_hop

        is_host = index == len(self.hops) - 1

        def attempt() -> LoggedIn:
            way = self._bastion(index - 1) if index else None
            found = self._attempt(index, way)
            if not is_host:
                found.transport.read_in_background()  # many hosts use it at once
            return found

        with at_hop(self.hops, index):
            return retrying(
                attempt,
                self.deadline,
                partial(self._tell, index),
                retries=self.options.retries,
                patient=not is_host,
            )

    def _tell(self, index: int, retry: Retry) -> None:
        is_host = index == len(self.hops) - 1
        bastion = "" if is_host else f"bastion {self._name(index)}: "
        self.on_retry(replace(retry, reason=f"{bastion}{retry.reason}"))

    def _attempt(self, index: int, way: Lease[LoggedIn] | None) -> LoggedIn:
        hop = self.hops[index]
        address = (self.hops[:index], hop.host, hop.port)
        tell = partial(self._tell, index)
        if way is None:
            from aegis_provision.transport.ssh.proxy_command import connect_hop

            with self.shared.turn(address, self.deadline):
                connection = connect_hop(hop, self.options, self.deadline)
                # Loading paramiko takes longest of all; the host gets ready for us meanwhile.
                from aegis_provision.transport.ssh.connect_through_jump_hosts import log_in_over

                return log_in_over(connection, hop, self.options, self.deadline, tell)
        from aegis_provision.transport.ssh.connect_through_jump_hosts import log_in_through

        try:
            with self.shared.turn(address, self.deadline):
                return log_in_through(way, hop, self.options, self.deadline, tell)
        except BaseException:
            way.give_back()
            raise

    def _bastion(self, index: int) -> Lease[LoggedIn]:
        """Return the use of the bastion with ``index``, which is logged in at if need be."""
        return self.shared.lease(
            _shared_by(self.hops[: index + 1]),
            f"bastion {self._name(index)}",
            lambda: self.log_in(index),
            self.deadline,
        )

    def _name(self, index: int) -> str:
        return self.hops[index].key_name
