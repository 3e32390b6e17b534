"""Which executor does the work on hosts: this process, worker processes, or a Dask cluster."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.errors import MissingExtraError
from aegis_provision.planning.digests import DigestKey
from aegis_provision.rollout.connection_pool import ConnectionPool
from aegis_provision.rollout.host_worker import HostWorker
from aegis_provision.rollout.redact_remote_text import run_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.host_job import HostJob
    from aegis_provision.rollout.host_work import Executor

SALT_BYTES = 16


def open_executor(
    jobs: Sequence[HostJob],
    connection: ConnectionSettings,
    *,
    keep: int = 0,
    salt: bytes | None = None,
) -> Executor:
    """Return what does the work of ``jobs``: a context manager.

    Connections to at most ``keep`` hosts that would change stay open for the write. ``salt`` is
    that of the digests in masked plans. Raises :class:`MissingExtraError`.
    """
    known = run_secrets(jobs, connection.secrets)
    digest = DigestKey.of(salt or secrets.token_bytes(SALT_BYTES))
    if connection.scheduler is not None:
        return _dask_executor(connection.scheduler, jobs, connection, keep, digest)
    count = min(connection.workers, len(jobs))
    if count <= 1:
        return HostWorker(connection, ConnectionPool(keep, connection.kept_files), known, digest)
    from aegis_provision.workers.process_pool import WorkerProcesses
    from aegis_provision.workers.remote_executor import RemoteExecutor

    workers = WorkerProcesses(connection, count, keep=keep, known=known, digest=digest)
    return RemoteExecutor(connection, workers)


def _dask_executor(
    scheduler: str,
    jobs: Sequence[HostJob],
    connection: ConnectionSettings,
    keep: int,
    digest: DigestKey,
) -> Executor:
    # distributed is an extra.
    try:
        from aegis_provision.workers.dask_client import DaskWorkers
    except ModuleNotFoundError as problem:
        missing = (problem.name or "").partition(".")[0]
        if missing not in {"dask", "distributed", "nacl"}:
            raise
        raise MissingExtraError(
            f"--executor dask needs {missing}, which is not installed",
            "pip install 'aegis-provision[dask]'",
        ) from None
    from aegis_provision.workers.portable_route import OWN_AGENT
    from aegis_provision.workers.remote_executor import RemoteExecutor

    sites = {
        job.host.name: job.host.target.site for job in jobs if job.host.target.site is not None
    }
    workers = DaskWorkers(scheduler, connection, sites, keep=keep, digest=digest)
    options = replace(connection.options, agent_socket=OWN_AGENT)
    return RemoteExecutor(replace(connection, options=options), workers)
