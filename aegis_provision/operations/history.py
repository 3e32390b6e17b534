"""``history``: past runs out of the operator's state directory, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.errors import InputError, RefusedError, StateDirError
from aegis_provision.history.past_run import DamagedRun, RunStatus, find_pending_restarts
from aegis_provision.history.run_header import RunKind, host_identity
from aegis_provision.history.runs import (
    find_run,
    read_run,
    read_summary,
    run_names,
    runs_that_touched,
)
from aegis_provision.history.state_dir import state_dir
from aegis_provision.rollout.results import Status
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import HostIdentity
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.inventory.host import Target


@dataclass(frozen=True, slots=True)
class PendingRestarts:
    """Restarts that the operator's records know to be owed: paths of files, by host."""

    paths: Mapping[HostIdentity, frozenset[str]]

    def at(self, target: Target) -> frozenset[str]:
        """Return the absolute paths of files at ``target`` for which a restart is owed."""
        return self.paths.get(host_identity(target, ""), frozenset())


def pending_restarts(environ: Mapping[str, str]) -> PendingRestarts:
    """Return what all records together say, nothing where there is no place for records.

    Raises :class:`StateDirError` for records that can't be read.
    """
    found: dict[HostIdentity, set[str]] = {}
    try:
        directory = state_dir(environ)
    except StateDirError:
        return PendingRestarts({})
    for identity in find_pending_restarts(runs_that_touched(directory, run_names(directory))):
        found.setdefault(replace(identity, path=""), set()).add(identity.path)
    return PendingRestarts({host: frozenset(paths) for host, paths in found.items()})


def list_runs(
    environ: Mapping[str, str], most: int | None = None
) -> tuple[tuple[RunSummary | DamagedRun, ...], int]:
    """Return the newest runs, ``most`` of them or all, and how many there are.

    Raises :class:`StateDirError`.
    """
    directory = state_dir(environ)
    names = run_names(directory)
    return tuple(read_summary(directory, name) for name in names[:most]), len(names)


def past_run(environ: Mapping[str, str], name: str) -> PastRun:
    """Return the run that ``name`` means: a run's name, the beginning of it, or ``last``.

    Raises :class:`NoSuchRunError`, :class:`StateDirError`, and :class:`InputError` for a record
    that is damaged.
    """
    directory = state_dir(environ)
    past = read_run(directory, find_run(run_names(directory), name))
    if isinstance(past, DamagedRun):
        raise InputError(
            f"the record of {past.run} is damaged: {past.reason}",
            f"look at {directory.record(past.run)}",
        )
    return past


def finished_run(environ: Mapping[str, str], name: str) -> PastRun:
    """Return what :func:`past_run` does, of a run that is over.

    Raises what :func:`past_run` does, and :class:`RefusedError` for a run that is still going on.
    """
    past = past_run(environ, name)
    if past.status is RunStatus.RUNNING:
        raise RefusedError(
            f"the run {past.header.run} is not over yet",
            "wait for its end, or stop it with Ctrl-C",
        )
    return past


def run_to_roll_back(environ: Mapping[str, str], name: str | None) -> PastRun:
    """Return the run that ``name`` means, by default the last apply that is not rolled back yet.

    Raises what :func:`finished_run` does, and :class:`InputError` where that run wrote nothing: it
    then names the run that would be meant without a name.
    """
    if name is None:
        last = _last_to_roll_back(environ)
        if last is None:
            raise InputError(
                "no run has written anything that could be undone",
                "list them with 'aegis-provision history'",
            )
        return last
    past = finished_run(environ, name)
    if not any(host.file.can_be_rolled_back for host in past.hosts.values()):
        run, last = past.header.run, _last_to_roll_back(environ)
        hint = f"look at it with 'aegis-provision history {run}'"
        if last is not None:
            command = f"'aegis-provision rollback {last.header.run}'"
            hint = f"the last run that can be undone is {last.header.run}: {command}"
        raise InputError(f"the run {run} wrote nothing that could be undone", hint)
    return past


def _last_to_roll_back(environ: Mapping[str, str]) -> PastRun | None:
    """Return the last apply that wrote what is not rolled back yet, ``None`` for none."""
    rolled_back: set[tuple[str | None, str]] = set()
    directory = state_dir(environ)
    for past in runs_that_touched(directory, run_names(directory)):
        if past.header.kind is RunKind.ROLLBACK:
            rolled_back.update(
                (past.header.undoes, host.host)
                for host in past.hosts.values()
                if host.status is Status.ROLLED_BACK
            )
        elif past.status is not RunStatus.RUNNING and any(
            host.file.can_be_rolled_back and (past.header.run, host.host) not in rolled_back
            for host in past.hosts.values()
        ):
            return past
    return None
