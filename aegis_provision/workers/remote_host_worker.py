"""The far end of a :class:`~.remote_executor.RemoteExecutor`: it does hosts' work where it is.

It is made of one value, :class:`WorkerSetUp`, and does one value at a time, :class:`HostOrder`.
"""

from __future__ import annotations

import threading
import traceback
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Self

from aegis_provision.rollout.capacity import capacity_of
from aegis_provision.rollout.connection_pool import ConnectionPool, ConnectionSettings
from aegis_provision.rollout.host_work import ReadHost
from aegis_provision.rollout.host_worker import HostWorker
from aegis_provision.transport.connect import connect
from aegis_provision.transport.open_files import files_left, raise_limit
from aegis_provision.transport.shared_connections import SharedConnections
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.digests import DigestKey
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.host_work import Calls, RunHost
    from aegis_provision.transport.connect_options import ConnectOptions, SaveKey
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.retry import OnRetry
    from aegis_provision.transport.ssh.public_keys import HostKey
    from aegis_provision.transport.ssh.resolve_jump_hosts import Hop

_MOST_FRAMES = 6


@dataclass(frozen=True, slots=True)
class WorkerSetUp:
    """What a worker needs for all hosts alike; it is secret as a whole.

    ``forks`` hosts are worked on at once in all, ``share`` of them here as a rule, and ``logins``
    log in at one address at first. ``known`` are all secrets of the run, which no text may hold,
    or none for a worker that is to know no secrets but those of its own hosts; at
    most ``keep`` connections stay open between plan and write.
    """

    options: ConnectOptions
    forks: int
    share: int
    logins: int
    deadline: float
    keep: int
    known: tuple[Secret, ...] = field(repr=False)
    digest: DigestKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a host: what the inventory and the ssh config say of it, asked only once.

    ``hops`` is ``None`` for a host that is this machine, ``problem`` why there is no way.
    """

    hops: tuple[Hop, ...] | None = None
    problem: Exception | None = None


@dataclass(frozen=True, slots=True)
class HostOrder:
    """One host's work and the way there; ``route`` is ``None`` where the worker knows it."""

    work: ReadHost[Any] | RunHost
    route: Route | None


@dataclass(frozen=True, slots=True)
class KeyToSave:
    """A host key that is new, and to be taken on trust: see :data:`~.connect_options.SaveKey`."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    key: HostKey


class RemoteHostWorker:
    """Does the work of orders; a context manager, safe to use from several threads.

    ``save_key`` saves host keys that are taken on trust in the operator's process.
    """

    def __init__(self, set_up: WorkerSetUp, save_key: SaveKey) -> None:
        raise_limit()
        left = files_left()
        self._routes: dict[str, Route] = {}
        # More than its share of the hosts is here where others died: what does not fit waits.
        self._room = threading.Semaphore(capacity_of(set_up.forks, left).forks)
        self._shared: SharedConnections[Any] = SharedConnections(few_logins=set_up.logins)
        settings = ConnectionSettings(
            self._connect,
            replace(set_up.options, save_key=save_key),
            set_up.forks,
            set_up.deadline,
            shared=self._shared,
        )
        self._worker = HostWorker(
            settings,
            ConnectionPool(set_up.keep, capacity_of(set_up.share, left).kept),
            set_up.known,
            set_up.digest,
        )

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._worker.__exit__(*problem)

    def do(self, order: HostOrder, calls: Calls) -> object:
        """Do ``order``, and return its outcome; ``calls`` are made in between."""
        work = order.work
        job = work.job if isinstance(work, ReadHost) else work.task.job
        if order.route is not None:
            self._routes[job.host.name] = order.route
        with self._room:
            if isinstance(work, ReadHost):
                return self._worker.read(work, calls)
            return self._worker.run(work, calls)

    def _connect(
        self, target: Target, options: ConnectOptions, deadline: Deadline, on_retry: OnRetry
    ) -> HostSession:
        route = self._routes[target.host]
        if route.problem is not None:
            raise route.problem.with_traceback(None)
        return connect(target, options, deadline, on_retry, shared=self._shared, hops=route.hops)


def frames_of(bug: Exception) -> tuple[str, ...]:
    """Return where ``bug`` was raised: places in the program, and no value."""
    frames = traceback.extract_tb(bug.__traceback__)[-_MOST_FRAMES:]
    return tuple(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
