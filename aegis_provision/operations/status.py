"""``status``: what was last written on the hosts, what is there, and what is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.operations.history import pending_restarts
from aegis_provision.operations.plan import prepare_job
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import resolve_secret
from aegis_provision.rollout.inspection import check_fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.inventory.host import Host
    from aegis_provision.operations.connection import ConnectionOptions
    from aegis_provision.operations.load import Environment
    from aegis_provision.operations.plan import Job, Scheduled
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.events import Emit


def prepare_status(
    scheduled: Scheduled, environment: Environment, options: ConnectionOptions
) -> Job:
    """Return what :func:`status` looks at, or raise what :func:`~.plan.prepare_job` does.

    All that helps to tell whether a restart is owed counts, as far as it is there: the operator's
    records, and the token of Aegis' API unless secrets are left alone.
    """
    pending = pending_restarts(environment.environ)
    job = prepare_job(scheduled, environment, options)
    secrets = scheduled.selection.secrets
    host_jobs = tuple(
        replace(
            item,
            api_token=_api_token(item.host, environment.variables) if secrets else None,
            pending_restarts=pending.at(item.host.target),
        )
        for item in job.host_jobs
    )
    return replace(job, host_jobs=host_jobs)


def _api_token(host: Host, variables: Mapping[str, str]) -> Secret | None:
    reference = host.service.api_token
    token = resolve_secret(str(reference.value), variables) if reference is not None else None
    return token if isinstance(token, Secret) else None


def status(job: Job, emit: Emit) -> tuple[HostStatus, ...]:
    """Read the hosts of ``job`` and return how each stands; nothing is written.

    A host's failure is its status, never an exception.
    """
    with job.executor(keeps_connections=False) as executor:
        return check_fleet(job.host_jobs, executor, emit)
