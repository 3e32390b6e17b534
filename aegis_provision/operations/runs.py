"""Past runs out of the operator's state directory, or in our words why they can't be had."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aegis_provision.errors import InputError, NoSuchRunError, RefusedError, StateDirError
from aegis_provision.history.past_run import DamagedRun, RunState
from aegis_provision.history.pending_restarts import find_pending_restarts
from aegis_provision.history.run_header import RunKind, host_identity
from aegis_provision.history.runs import find_run, read_run, run_names, runs_that_touched
from aegis_provision.history.state_dir import load_key, state_dir
from aegis_provision.rollout.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import HostIdentity
    from aegis_provision.inventory.host import Target


@dataclass(frozen=True, slots=True)
class PendingRestarts:
    """Restarts that the operator's records know to be owed: paths of files, by place."""

    paths: Mapping[HostIdentity, frozenset[str]]

    def at(self, target: Target) -> frozenset[str]:
        """Return the absolute paths of files at ``target`` for which a restart is owed."""
        return self.paths.get(host_identity(target, ""), frozenset())


def pending_restarts(environ: Mapping[str, str]) -> PendingRestarts:
    """Return what all records together say. Raises :class:`Error`."""
    found: dict[HostIdentity, set[str]] = {}
    with _in_our_words():
        places = state_dir(environ)
        for identity in find_pending_restarts(runs_that_touched(places, run_names(places))):
            found.setdefault(replace(identity, path=""), set()).add(identity.path)
    return PendingRestarts({place: frozenset(paths) for place, paths in found.items()})


def past_run(environ: Mapping[str, str], wanted: str) -> PastRun:
    """Return the run that ``wanted`` names. Raises :class:`Error`."""
    with _in_our_words():
        places = state_dir(environ)
        past = read_run(places, find_run(run_names(places), wanted))
    if isinstance(past, DamagedRun):
        raise InputError(f"the record of {past.run} is damaged: {past.reason}")
    return past


def finished_run(environ: Mapping[str, str], wanted: str) -> PastRun:
    """Return the run that ``wanted`` names, which nobody is carrying out any more.

    Raises :class:`Error`.
    """
    past = past_run(environ, wanted)
    if past.state is RunState.RUNNING:
        raise RefusedError(
            f"the run {past.header.run} is not over yet",
            "wait for its end, or stop it with Ctrl-C",
        )
    return past


def run_to_undo(environ: Mapping[str, str], wanted: str | None) -> PastRun:
    """Return the run that ``wanted`` names, without a name the last apply that is not undone yet.

    Raises :class:`Error`, also where that run wrote nothing: it then names the run
    that would be meant without a name.
    """
    if wanted is None:
        last = _last_to_undo(environ)
        if last is None:
            raise InputError(
                "no run has written anything that could be undone",
                "list them with 'aegis-provision history'",
            )
        return last
    past = finished_run(environ, wanted)
    if not any(host.can_be_undone for host in past.hosts.values()):
        run, last = past.header.run, _last_to_undo(environ)
        hint = f"look at it with 'aegis-provision history {run}'"
        if last is not None:
            undo = f"'aegis-provision rollback {last.header.run}'"
            hint = f"the last run that can be undone is {last.header.run}: {undo}"
        words = f"the run {run} wrote nothing that could be undone"
        raise InputError(words, hint)
    return past


def _last_to_undo(environ: Mapping[str, str]) -> PastRun | None:
    """Return the last apply that wrote what is not undone yet, ``None`` where there is none."""
    undone: set[tuple[str | None, str]] = set()
    with _in_our_words():
        places = state_dir(environ)
        for past in runs_that_touched(places, run_names(places)):
            if past.header.kind is RunKind.ROLLBACK:
                undone.update(
                    (past.header.undoes, host.host)
                    for host in past.hosts.values()
                    if host.status is Status.ROLLED_BACK
                )
            elif past.state is not RunState.RUNNING and any(
                host.can_be_undone and (past.header.run, host.host) not in undone
                for host in past.hosts.values()
            ):
                return past
    return None


def record_key(environ: Mapping[str, str]) -> bytes:
    """Return the key that digests in records are made with. Raises :class:`Error`."""
    with _in_our_words():
        return load_key(state_dir(environ))


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (StateDirError, NoSuchRunError) as problem:
        raise InputError(problem.message, problem.hint) from None
