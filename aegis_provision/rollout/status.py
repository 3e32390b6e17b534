"""Reads many hosts at once and tells how each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.planning.host_plan import compare, plan_compared
from aegis_provision.planning.receipts import Receipt, judge
from aegis_provision.planning.status import status_of, unreachable_status
from aegis_provision.rollout.events import HostChecked, KeysAccepted, ReadingStarted
from aegis_provision.rollout.outside_text import redacted, redactor_of
from aegis_provision.rollout.owed import restart_owed
from aegis_provision.rollout.pool import Stop, run_all
from aegis_provision.transport.protocol import Deadline, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.planning.status import HostStatus
    from aegis_provision.providers.redaction import Redactor
    from aegis_provision.rollout.events import Emit
    from aegis_provision.rollout.reading import HostWork, Reach
    from aegis_provision.transport.protocol import AcceptedKey, HostSession


def check_fleet(works: Sequence[HostWork], reach: Reach, emit: Emit) -> tuple[HostStatus, ...]:
    """Look at every host and return how each stands, in the order of ``works``.

    Nothing is written. A host's failure is its state, never an exception.
    """
    emit(ReadingStarted(len(works)))
    redactor = redactor_of(works, reach.secrets)
    found: dict[str, HostStatus] = {}
    for work, (status, accepted) in run_all(
        works, lambda work: _check_host(work, reach, redactor), workers=reach.forks, stop=Stop()
    ):
        if accepted:
            emit(KeysAccepted(work.host.name, accepted))
        found[work.host.name] = status
        emit(HostChecked(status))
    return tuple(found[work.host.name] for work in works)


def _check_host(
    work: HostWork, reach: Reach, redactor: Redactor
) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    status, accepted = _look(work, reach)
    return redacted(status, redactor.along(status.secrets), work), accepted


def _look(work: HostWork, reach: Reach) -> tuple[HostStatus, tuple[AcceptedKey, ...]]:
    deadline = Deadline.after(reach.deadline)
    accepted: tuple[AcceptedKey, ...] = ()
    try:
        with reach.connect(work.host.target, reach.options, deadline) as session:
            accepted = session.accepted
            return look_at_status(work, session, deadline), accepted
    except Unreachable as error:
        return unreachable_status(work.host, work.session, str(error), error.hint), accepted


def look_at_status(work: HostWork, session: HostSession, deadline: Deadline) -> HostStatus:
    """Return how the host of ``work`` stands. Raises :class:`Unreachable`."""
    actual = session.read(deadline)
    comparison = compare(work.host, work.session, actual)
    if comparison.refusals:
        return status_of(comparison, None)
    receipt = judge(session.receipt(actual.path, deadline), actual)
    written = isinstance(receipt, Receipt) or actual.path in work.owed
    pending = False
    if actual.file is not None and written:
        # As 'apply' decides it, so that the two agree: the server knows best, then the records.
        plan = plan_compared(comparison, receipt)
        pending = restart_owed(work, plan, actual, session, deadline)
    return status_of(comparison, receipt, restart_pending=pending)
