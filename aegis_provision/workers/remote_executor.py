"""Has hosts' work done by workers that are not in this process, wherever they are.

What is the same for all such workers is here: which one gets a host, the way to it, and what
becomes of a host whose worker dies. How a worker is started, reached and spoken to is what a kind
of :class:`Workers` knows (:mod:`~.process_pool`); what runs at the other end is
:class:`~.remote_host_worker.RemoteHostWorker`.

The contract of a kind of :class:`Workers` is that of :mod:`~.host_work`, and:

- Each worker gets one :class:`~.remote_host_worker.WorkerSetUp`, which is secret as a whole, and
  then a :class:`~.remote_host_worker.HostOrder` for each host; ``call`` blocks until its outcome is
  there. Calls for several hosts run at once.
- A worker that is gone raises :class:`WorkerGoneError` out of every ``call``, and is not returned
  by ``take`` again. What it was asked to do may have been done.
- An order names its ``route`` unless it goes to the worker that had the host before.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from aegis_provision.errors import Unreachable
from aegis_provision.planning.plan import Action, HostPlan
from aegis_provision.rollout.events import ConnectRetried, KeysAccepted, Step, StepStarted
from aegis_provision.rollout.host_job import skipped
from aegis_provision.rollout.host_work import Calls, HostRead, ReadHost
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.values import dataclass
from aegis_provision.workers.remote_host_worker import HostOrder, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Event, FileChange, WriteBegun
    from aegis_provision.rollout.host_work import Reading, RunHost

_TRIES = (False, False, True)
"""How often a host is tried if workers die: the last time it is alone, as another may be at fault.
"""
_MARK_LENGTH = 16
_RESTARTING = frozenset({Step.RESTART, Step.VERIFY, Step.ROLL_BACK})
_GONE = "the worker"
_ENDED = "the run was ended"
_EITHER = "it has either the old file or the new one"
_MAY_GO_ON = f"{_EITHER}, as the worker may still be at it"
_LOOK = "look at it with 'plan', then apply again"
_AGAIN = "begin again to go on with it"


class WorkerGoneError(Exception):
    """A worker ended while it worked; the text says how.

    One that is only ``cut_off`` may go on with the step that it is at. One that is ``dead`` surely
    does nothing any more: what raises this has waited for its process.
    """

    def __init__(self, told: str, *, cut_off: bool = False, dead: bool = False) -> None:
        super().__init__(told)
        self.cut_off = cut_off
        self.dead = dead


class WorkerBugError(Exception):
    """A bug in a worker: ``kind`` is the exception there, ``frames`` where it was raised.

    ``lacking`` says what the worker's machine was short of, where that was behind it.
    """

    def __init__(self, kind: str, frames: Sequence[str], lacking: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.frames = tuple(frames)
        self.lacking = lacking


class NoWorkerError(Exception):
    """No worker can reach a host; the text says why, ``hint`` what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Worker(Protocol):
    """One worker, seen from the operator's process."""

    def call(self, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done, and return the outcome; ``calls`` are made in between, here.

        Raises :class:`WorkerGoneError`, :class:`WorkerBugError` and :class:`NoWorkerError`.
        """
        ...


class Workers(Protocol):
    """The workers of a run: a context manager, safe to use from several threads.

    ``hint`` says what to do where workers die.
    """

    @property
    def hint(self) -> str:
        """Return what to do where workers die."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def take(self, host: str, home: Worker | None, *, alone: bool) -> Worker | None:
        """Return the worker that is to work on ``host`` now; ``None`` if there is none any more.

        It is ``home`` if that is one and lives. With ``alone`` no other host is on it that is not
        ``alone`` too. It is given back with :meth:`give_back`. Raises :class:`NoWorkerError`.
        """
        ...

    def give_back(self, worker: Worker) -> None:
        """Tell that the work on one host is over."""
        ...

    def cancel(self) -> None:
        """Tell all workers that the operator asked to stop."""
        ...


@dataclass(slots=True)
class _Progress:
    """How far the work on a host came, as its events tell: what is done again must do no harm."""

    begun_writing: bool = False
    begun_restarting: bool = False


class RemoteExecutor:
    """An :class:`~.host_work.Executor` over ``workers``.

    A host that is read stays with its worker: its connection and its whole plan are there. If a
    worker dies, a host that it was reading is read again, up to a bound; so is one whose write had
    not begun, and it goes on if its file is still what the plan saw. Where a write or a restart had
    begun, nothing is done again: the host is read, and its result says which file is there.
    """

    def __init__(self, connection: ConnectionSettings, workers: Workers) -> None:
        self._connection = connection
        self._workers = workers
        self._homes: dict[str, Worker] = {}
        self._closed = False
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._closed = True
        self._workers.__exit__(*problem)

    @property
    def forks(self) -> int:
        """Return how many hosts the operator wants to be worked on at once."""
        return self._connection.forks

    def cancel(self) -> None:
        """Tell hosts under way that the operator asked to stop."""
        self._workers.cancel()

    def read(self, work: ReadHost[Reading], calls: Calls) -> HostRead[Reading]:
        """Read a host; see :class:`~.host_work.Executor`."""
        try:
            return self._read(work, calls)
        except NoWorkerError as none:
            problem = Unreachable("worker", str(none), none.hint)
            return HostRead(work.reader.unreachable(work.job, problem))

    def _read(self, work: ReadHost[Reading], calls: Calls) -> HostRead[Reading]:
        job = work.job
        order = HostOrder(work, self._route(job.host.target))
        told = ""
        for number, last in enumerate(_TRIES):
            with self._worker(job.host.name, alone=last) as worker:
                if worker is None:
                    break
                try:
                    return cast("HostRead[Reading]", worker.call(order, calls))
                except WorkerGoneError as gone:
                    told = str(gone)
            self._tell(calls, job.host.name, told, number)
        lost = Unreachable("worker", *self._lost(told))
        return HostRead(work.reader.unreachable(job, lost))

    def run(self, work: RunHost, calls: Calls) -> HostResult:
        """Do a host's part in a play; see :class:`~.host_work.Executor`."""
        task, host = work.task, work.task.plan.host
        if not task.has_work:
            return skipped(task.plan)
        try:
            return self._run(work, calls)
        except NoWorkerError as none:
            message = f"{none}; nothing was written there"
            return HostResult(host, Status.UNREACHABLE, message, none.hint)

    def _run(self, work: RunHost, calls: Calls) -> HostResult:
        task, host = work.task, work.task.plan.host
        told, cut_off = "", False
        owner = work.terms.owner
        for number, last in enumerate(_TRIES):
            owner = replace(owner, mark=secrets.token_hex(_MARK_LENGTH))
            home, progress = self._homes.get(host), _Progress()
            with self._worker(host, home, alone=last) as worker:
                if worker is None:
                    break
                route = None if worker is home else self._route(task.job.host.target)
                try:
                    terms = replace(work.terms, owner=owner)
                    order = HostOrder(replace(work, terms=terms), route)
                    result = worker.call(order, _watched(calls, progress))
                    return _with_warning(result, told)
                except WorkerGoneError as gone:
                    told, cut_off = (_ENDED if self._closed else str(gone)), gone.cut_off
                    if gone.dead:
                        owner = replace(owner, dead=owner.dead | {owner.mark})
            if progress.begun_writing or progress.begun_restarting:
                state = _MAY_GO_ON if cut_off else self._state_now(work, calls)
                return _broken_off(task.plan.host, told, state, progress)
            self._tell(calls, host, told, number)
        message, hint = self._lost(told)
        return HostResult(host, Status.FAILED, f"{message}; nothing was written there", hint)

    def _lost(self, told: str) -> tuple[str, str]:
        """Return why no worker has done the work, and what to do."""
        if self._closed:
            return _ENDED, _AGAIN
        lost = f"{told}, {len(_TRIES)} times over" if told else f"{_GONE} is gone"
        return lost, self._workers.hint

    def _state_now(self, work: RunHost, calls: Calls) -> str:
        """Read a host on which a worker died, and return in words which file is there."""
        if self._closed:
            return _EITHER
        task = work.task
        try:
            found = self.read(ReadHost(task.job, work.reader), calls)
        except WorkerBugError as bug:
            if bug.lacking is None:
                raise
            return f"{_EITHER}, as it can't be read now: {bug.lacking}"
        if found.accepted:
            calls.emit(KeysAccepted(task.plan.host, found.accepted))
        plan = found.reading
        if not isinstance(plan, HostPlan):
            raise TypeError("a plan is read by what makes plans")
        if plan.action is Action.UNREACHABLE:
            return f"{_EITHER}, as it can't be read now: {plan.message}"
        if plan.digests == task.plan.digests and task.plan.writes:
            return "its file is the old one"
        if plan.action is Action.UNCHANGED:
            return "its file is the new one"
        return "its file is neither the one from before nor the new one"

    def _tell(self, calls: Calls, host: str, told: str, number: int) -> None:
        """Tell that another worker takes ``host`` over, if one does."""
        if number + 1 < len(_TRIES) and not self._closed:
            calls.emit(ConnectRetried(host, number + 2, told, 0.0))

    @contextmanager
    def _worker(
        self, host: str, home: Worker | None = None, *, alone: bool = False
    ) -> Iterator[Worker | None]:
        """Lend the worker for ``host``: ``home`` if that lives, ``None`` where none does.

        With ``alone`` it works on no other host meanwhile.
        """
        with self._alone if alone else nullcontext():
            worker = None if self._closed else self._workers.take(host, home, alone=alone)
            if worker is not None:
                self._homes[host] = worker
            try:
                yield worker
            finally:
                if worker is not None:
                    self._workers.give_back(worker)

    def _route(self, target: Target) -> Route:
        """Return the way to a host: the ssh config is asked here, its commands run here alone."""
        if target.connection == "local":
            return Route()
        from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops

        try:
            return Route(resolve_hops(target, self._connection.options))
        except Unreachable as problem:
            return Route(problem=problem)


def _watched(calls: Calls, progress: _Progress) -> Calls:
    """Return ``calls`` so that ``progress`` tells how far the work has come."""

    def emit(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step in _RESTARTING:
            progress.begun_restarting = True
        calls.emit(event)

    def before_write(host: str, change: FileChange) -> WriteBegun:
        progress.begun_writing = True
        return calls.before_write(host, change)

    return Calls(emit, before_write, calls.cancel)


def _broken_off(host: str, told: str, state: str, progress: _Progress) -> HostResult:
    """Return how a host ended on which a worker died while it wrote or restarted."""
    if progress.begun_restarting:
        state += ", and whether Aegis was restarted is not known"
    return HostResult(host, Status.FAILED, f"{told} while it was worked on; {state}", _LOOK)


def _with_warning(result: HostResult, told: str) -> HostResult:
    if not told:
        return result
    warning = f"{told} before anything was written; another one went on"
    return replace(result, warnings=(*result.warnings, warning))
