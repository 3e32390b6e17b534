"""Reads many hosts at once and tells how each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.status import status_of, unreachable_status
from aegis_provision.rollout.events import HostChecked, KeysAccepted, ReadingStarted
from aegis_provision.rollout.pending_restart import restart_owed
from aegis_provision.rollout.remote_text import redacted, redactor_of
from aegis_provision.rollout.worker_pool import CancelToken, run_all
from aegis_provision.transport.protocol import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.planning.status import HostStatus
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.planner import ConnectionSettings, HostJob
    from aegis_provision.transport.protocol import AcceptedKey, HostSession


def check_fleet(
    jobs: Sequence[HostJob], connection: ConnectionSettings, emit: Emit
) -> tuple[HostStatus, ...]:
    """Look at every host and return how each stands, in the order of ``works``.

    Nothing is written. A host's failure is its state, never an exception.
    """
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)
    found: dict[str, HostStatus] = {}
    for work, (status, accepted) in run_all(
        jobs,
        lambda work: _check_host(work, connection, redactor),
        workers=connection.forks,
        stop=CancelToken(),
    ):
        if accepted:
            emit(KeysAccepted(work.host.name, accepted))
        found[work.host.name] = status
        emit(HostChecked(status))
    return tuple(found[work.host.name] for work in jobs)


def _check_host(
    work: HostJob, connection: ConnectionSettings, redactor: Redactor
) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    status, accepted = _look(work, connection)
    return redacted(status, redactor.along(status.secrets), work), accepted


def _look(
    work: HostJob, connection: ConnectionSettings
) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    deadline = Deadline.after(connection.deadline)
    accepted: tuple[AcceptedKey, ...] = ()
    try:
        with connection.connect(work.host.target, connection.options, deadline) as session:
            accepted = session.accepted
            return read_status(work, session, deadline), accepted
    except Unreachable as error:
        return unreachable_status(work.host, work.session, str(error), error.hint), accepted


def read_status(work: HostJob, session: HostSession, deadline: Deadline) -> HostStatus:
    """Return how the host of ``work`` stands. Raises :class:`Unreachable`."""
    actual = session.read(deadline)
    comparison = compare(work.host, work.session, actual)
    if comparison.refusals:
        return status_of(comparison, None)
    receipt = validate(session.receipt(actual.path, deadline), actual)
    written = isinstance(receipt, Receipt) or actual.path in work.owed
    pending = False
    if actual.file is not None and written:
        # As 'apply' decides it, so that the two agree: the server knows best, then the records.
        plan = plan_compared(comparison, receipt)
        pending = restart_owed(work, plan, actual, session, deadline)
    return status_of(comparison, receipt, restart_pending=pending)
