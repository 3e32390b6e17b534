"""Reads many hosts at once for their status: drift, edits, pending changes and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.receipts import Receipt, validate
from aegis_provision.planning.status import status_of, unreachable_status
from aegis_provision.rollout.events import HostChecked, KeysAccepted, ReadingStarted
from aegis_provision.rollout.pending_restart import is_restart_pending
from aegis_provision.rollout.remote_text import redacted, redactor_of
from aegis_provision.rollout.worker_pool import CancelToken, run_all
from aegis_provision.transport.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.planning.status import HostStatus
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.options import AcceptedKey


def check_fleet(
    jobs: Sequence[HostJob], connection: ConnectionSettings, emit: Emit
) -> tuple[HostStatus, ...]:
    """Read every host and return each one's status, in the order of ``jobs``.

    Nothing is written. A host's failure is its state, never an exception.
    """
    emit(ReadingStarted(len(jobs)))
    redactor = redactor_of(jobs, connection.secrets)
    found: dict[str, HostStatus] = {}
    for job, (status, accepted) in run_all(
        jobs,
        lambda job: _check_host(job, connection, redactor),
        workers=connection.forks,
        cancel=CancelToken(),
    ):
        if accepted:
            emit(KeysAccepted(job.host.name, accepted))
        found[job.host.name] = status
        emit(HostChecked(status))
    return tuple(found[job.host.name] for job in jobs)


def _check_host(
    job: HostJob, connection: ConnectionSettings, redactor: Redactor
) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    status, accepted = _read(job, connection)
    return redacted(status, redactor.along(status.secrets), job), accepted


def _read(
    job: HostJob, connection: ConnectionSettings
) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    deadline = Deadline.after(connection.deadline)
    accepted: tuple[AcceptedKey, ...] = ()
    try:
        with connection.connect(job.host.target, connection.options, deadline) as session:
            accepted = session.accepted
            return read_status(job, session, deadline), accepted
    except Unreachable as error:
        return unreachable_status(job.host, job.session, str(error), error.hint), accepted


def read_status(job: HostJob, session: HostSession, deadline: Deadline) -> HostStatus:
    """Return the status of the host of ``job``. Raises :class:`Unreachable`."""
    actual = session.read(deadline)
    comparison = compare(job.host, job.session, actual)
    if comparison.refusals:
        return status_of(comparison, None)
    receipt = validate(session.receipt(actual.path, deadline), actual)
    written = isinstance(receipt, Receipt) or actual.path in job.pending_restarts
    pending = False
    if actual.file is not None and written:
        # As 'apply' decides it, so that the two agree.
        plan = plan_compared(comparison, receipt)
        pending = is_restart_pending(job, plan, actual, session, deadline)
    return status_of(comparison, receipt, restart_pending=pending)
