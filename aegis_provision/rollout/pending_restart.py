"""Whether a restart is pending: Aegis still runs on a file from before the one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.api import start_is_older
from aegis_provision.rollout.aegis_client import get_health
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession

_HEALTH_TIMEOUT = 5.0


def is_restart_pending(
    job: HostJob, plan: HostPlan, actual: RemoteState, session: HostSession, deadline: Deadline
) -> bool:
    """Tell whether Aegis was not restarted since its file came.

    The server knows best: it says since when it is up. If it does not, the records tell.
    """
    timeout = min(_HEALTH_TIMEOUT, deadline.remaining())
    health = get_health(job.api(plan), session.request, timeout)
    if not isinstance(health, HttpFailure) and actual.file is not None:
        older = start_is_older(health, actual.file.mtime)
        if older is not None:
            return older
    return plan.path in job.pending_restarts
