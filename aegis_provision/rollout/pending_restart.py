"""Whether Aegis still runs on a file from before the one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.api import start_is_older
from aegis_provision.rollout.gates import get_health
from aegis_provision.transport.http_messages import HttpFailure

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.planner import HostJob
    from aegis_provision.transport.protocol import Deadline, HostSession

_HEALTH = 5.0


def restart_owed(
    work: HostJob, plan: HostPlan, actual: RemoteState, session: HostSession, deadline: Deadline
) -> bool:
    """Tell whether Aegis has not been restarted since its file came.

    The server knows best: it says since when it is up. Where it does not, the records do.
    """
    health = get_health(work.api(plan), session.ask, min(_HEALTH, deadline.remaining()))
    if not isinstance(health, HttpFailure) and actual.file is not None:
        older = start_is_older(health, actual.file.mtime)
        if older is not None:
            return older
    return plan.path in work.owed
