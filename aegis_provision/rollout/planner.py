"""Reads many hosts at once and turns each into its plan."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

from aegis_provision.errors import Unreachable
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.host_plan import (
    check_permissions,
    compare,
    needs_login,
    plan_compared,
    read_only,
    unreachable,
)
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import validate
from aegis_provision.providers.secret import Secret
from aegis_provision.rollout.events import HostPlanned, KeysAccepted, ReadingStarted
from aegis_provision.rollout.remote_text import redacted, redactor_of
from aegis_provision.rollout.worker_pool import CancelToken, run_all
from aegis_provision.transport.protocol import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.providers.session import Session
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.gates import AegisApi
    from aegis_provision.transport.protocol import AcceptedKey, Connect, ConnectOptions, HostSession

POOL_SIZE = 200
"""How many connections a plan keeps open for the write that follows; more hosts reconnect."""

_RIGHT_FOR_SESSIONS = frozenset({Action.UPDATE, Action.UNCHANGED})
_FRESH = 5.0


@dataclass(frozen=True, slots=True)
class HostJob:
    """One host and what it should have.

    ``api_token`` opens Aegis' API there, ``None`` for "the token in the host's own file".
    ``restarts`` says whether a play of the run would make a restart good that is owed, so that
    the host is asked whether one is; ``owed`` holds the absolute paths of files there for which
    the operator's records know of one.
    """

    host: Host
    session: Session
    api_token: Secret | None = field(default=None, repr=False)
    restarts: bool = False
    owed: frozenset[str] = frozenset()

    def api(self, plan: HostPlan) -> AegisApi:
        """Return Aegis' API on the host, once ``plan`` has seen its file."""
        from aegis_provision.rollout.gates import AegisApi

        token = self.api_token or plan.auth_token
        return AegisApi(self.host.service.api, token, locked=plan.auth_token is not None)

    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret that is known of the host before it is read."""
        values = (*self.session.values.values(), self.api_token)
        return tuple(value for value in values if isinstance(value, Secret))


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How hosts are worked on: ``forks`` at once, each for ``deadline`` seconds at most.

    ``secrets`` are tokens of the operator's that no host of the run need have, and that nobody may
    be shown all the same.
    """

    connect: Connect
    options: ConnectOptions
    forks: int
    deadline: float
    secrets: tuple[Secret, ...] = field(default=(), repr=False)


class ConnectionPool:
    """Connections that outlive the reading, so that one handshake per host and run is enough.

    At most ``limit`` are kept; safe to use from several threads. Closes what is left on exit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions: dict[str, tuple[HostSession, float]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._sessions:
            self._sessions.popitem()[1][0].close()

    def offer(self, host: str, session: HostSession) -> bool:
        """Keep ``session`` if there is room; tell whether it was kept."""
        with self._lock:
            if len(self._sessions) >= self._limit:
                return False
            self._sessions[host] = session, time.monotonic()
            return True

    def take(self, host: str, deadline: Deadline) -> HostSession | None:
        """Hand out the connection to ``host`` if one was kept and still answers.

        One that lay idle for long is asked first: the host may have closed it meanwhile. The
        caller closes it.
        """
        with self._lock:
            session, since = self._sessions.pop(host, (None, 0.0))
        if session is None:
            return None
        if time.monotonic() - since < _FRESH or session.alive(deadline):
            return session
        session.close()
        return None


@dataclass(frozen=True, slots=True)
class _Read:
    plan: HostPlan
    accepted: tuple[AcceptedKey, ...]


class HostPlanner(Protocol):
    """Reads one host over an open session and returns its plan. Raises :class:`Unreachable`."""

    def __call__(self, work: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
        """Look at the host before ``deadline``."""
        ...


def plan_fleet(
    jobs: Sequence[HostJob],
    connection: ConnectionSettings,
    kept: ConnectionPool,
    emit: Emit,
    look: HostPlanner | None = None,
) -> tuple[HostPlan, ...]:
    """Read every host and return the plans in the order of ``works``.

    ``look`` makes a host's plan, by default that of what the inventory wants there, pins and all.

    A host's failure is its plan's action, never an exception. Connections of hosts that would
    change go to ``kept`` where there is room; the others are closed.
    """
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)
    plans: dict[str, HostPlan] = {}
    for work, read in run_all(
        jobs,
        lambda work: _read_host(work, connection, kept, look, redactor),
        workers=connection.forks,
        stop=CancelToken(),
    ):
        if read.accepted:
            emit(KeysAccepted(work.host.name, read.accepted))
        plans[work.host.name] = read.plan
        emit(HostPlanned(read.plan))
    return tuple(plans[work.host.name] for work in jobs)


def _read_host(
    work: HostJob,
    connection: ConnectionSettings,
    kept: ConnectionPool,
    look: HostPlanner | None,
    redactor: Redactor,
) -> _Read:
    found = _read(work, connection, kept, look or plan_host)
    plan = redacted(found.plan, redactor.along(found.plan.secrets), work)
    if look is None:
        plan = replace(plan, pin=pin_of(work.host))
    return replace(found, plan=plan)


def _read(
    work: HostJob, connection: ConnectionSettings, kept: ConnectionPool, look: HostPlanner
) -> _Read:
    deadline = Deadline.after(connection.deadline)
    try:
        session = connection.connect(work.host.target, connection.options, deadline)
    except Unreachable as error:
        return _Read(unreachable(work.host, work.session, str(error), error.hint), ())
    keep = False
    try:
        plan = look(work, session, deadline)
        worked_on = plan.write is not None or plan.restart_owed
        keep = worked_on and kept.offer(work.host.name, session)
    except Unreachable as error:
        plan = unreachable(work.host, work.session, str(error), error.hint)
    finally:
        if not keep:
            session.close()
    return _Read(plan, session.accepted)


def plan_host(work: HostJob, session: HostSession, deadline: Deadline) -> HostPlan:
    """Return what would turn the host into what the inventory wants."""
    actual = session.read(deadline)
    comparison = compare(work.host, work.session, actual)
    receipt, login = None, None
    if comparison.needs_receipt:
        found, login = session.receipt_and_login(actual.path, deadline)
        receipt = validate(found, actual)
    plan = plan_compared(comparison, receipt)
    if needs_login(plan):
        login = login if comparison.needs_receipt else session.login(deadline)
        plan = check_permissions(plan, replace(actual, login=login))
    if plan.action in _RIGHT_FOR_SESSIONS and work.restarts and not plan.changes_sessions:
        from aegis_provision.rollout.pending_restart import restart_owed

        owed = restart_owed(work, plan, actual, session, deadline)
        plan = replace(plan, restart_owed=owed)
    return read_only(plan) if work.session.withheld else plan
