"""An executor whose workers are processes on this machine: for more hosts than one core serves.

Each worker gets what it needs over a socket of its own, and nothing in any other way: it is a new
interpreter with an environment that holds nothing of the operator's, and its own session, so that
Ctrl-C reaches the operator's process alone. A worker that dies is replaced, and its hosts are read
again: see :class:`ProcessExecutor`.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, cast

from aegis_provision.errors import Unreachable
from aegis_provision.planning.plan import Action, HostPlan
from aegis_provision.rollout.events import ConnectRetried, KeysAccepted, Step, StepStarted
from aegis_provision.rollout.host_job import RecordError, skipped
from aegis_provision.rollout.host_work import Calls, HostRead, ReadHost
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.worker_messages import (
    HostOrder,
    KeyToSave,
    Kind,
    MessageStream,
    Route,
    WorkerSetUp,
    plain,
    read_plain,
    with_secrets,
)
from aegis_provision.transport.shared_connections import FEW_LOGINS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.planning.digests import DigestKey
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import Event, FileChange, WriteBegun
    from aegis_provision.rollout.host_work import Reading, RunHost
    from aegis_provision.transport.ssh.known_hosts import KeyVerdict

_TRIES = (False, False, True)
"""How often a host is tried if workers die: the last time it is alone, as another may be at fault.
"""
_MOST_DEATHS = 3
"""How many workers may die for each that there is, until none is replaced any more."""

_TIME_TO_END = 3.0
_NEEDED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "PYTHONHOME")
"""The variables that an interpreter may need to start; a worker has no other of the operator's."""

_RESTARTING = frozenset({Step.RESTART, Step.VERIFY, Step.ROLL_BACK})
_GONE = "the worker process"
_EITHER = "it has either the old file or the new one"
_LOOK = "look at it with 'plan'"
_MEMORY = (
    "see what ended it (the kernel's log tells when memory ran out); fewer --workers need less"
)


class WorkerGoneError(Exception):
    """A worker process ended while it worked; the text says how."""


class WorkerBugError(Exception):
    """A bug in a worker: ``kind`` is the exception there, ``frames`` where it was raised."""

    def __init__(self, kind: str, frames: Sequence[str]) -> None:
        super().__init__(kind)
        self.kind = kind
        self.frames = tuple(frames)


@dataclass(slots=True)
class _Progress:
    """How far the work on a host came, as its events tell: what is done again must do no harm."""

    begun_writing: bool = False
    begun_restarting: bool = False


class _Worker:
    """One worker process, seen from the operator's."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aegis_provision.rollout.worker_process"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environ),
                start_new_session=True,
            )
        self.hosts = self.given = 0
        self.spare = False
        self.gone = False
        self._socket = ours
        self._stream = MessageStream(os.dup(ours.fileno()))
        self._numbers = itertools.count(1)
        self._calls: dict[int, SimpleQueue[tuple[Kind, bytes]]] = {}
        self._lock = threading.Lock()

    def start(self, set_up: bytes) -> None:
        """Send ``set_up``, and take what the worker says from now on."""
        with suppress(OSError):
            self._stream.send(Kind.SET_UP, 0, set_up)
        threading.Thread(target=self._receive, name="worker", daemon=True).start()

    def call(self, order: bytes, calls: Calls) -> Any:
        """Have the work of ``order`` done, and return its outcome; ``calls`` are made in between.

        Raises :class:`WorkerGoneError` and :class:`WorkerBugError`.
        """
        number = next(self._numbers)
        said: SimpleQueue[tuple[Kind, bytes]] = SimpleQueue()
        with self._lock:
            if self.gone:
                raise WorkerGoneError(self.end)
            self._calls[number] = said
        try:
            self._stream.send(Kind.WORK, number, order)
        except OSError:
            said.put((Kind.GONE, b""))
        try:
            return self._outcome(said, calls)
        finally:
            with self._lock:
                del self._calls[number]

    def _outcome(self, said: SimpleQueue[tuple[Kind, bytes]], calls: Calls) -> Any:
        while True:
            kind, body = said.get()
            match kind:
                case Kind.EVENT:
                    calls.emit(read_plain(body))
                case Kind.BEFORE_WRITE:
                    question, (host, change) = read_plain(body)
                    answer: object
                    try:
                        answer = calls.before_write(host, change)
                    except RecordError as problem:
                        answer = problem
                    with suppress(OSError):
                        self._stream.send(Kind.ANSWER, question, plain(answer))
                case Kind.DONE:
                    return read_plain(body)
                case Kind.BUG:
                    raise WorkerBugError(*read_plain(body))
                case _:  # GONE
                    raise WorkerGoneError(self.end)

    def cancel(self) -> None:
        """Tell the hosts that are worked on that the operator asked to stop."""
        with suppress(OSError):
            self._stream.send(Kind.CANCEL, 0)

    def hang_up(self) -> None:
        """Let the worker end: it sees that nobody is there any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> None:
        """Wait until the process is over; after ``seconds`` it is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._socket.close()

    @property
    def end(self) -> str:
        """Return how the process ended."""
        try:
            status = self.process.wait(_TIME_TO_END)
        except subprocess.TimeoutExpired:
            return f"{_GONE} hung up"
        if status < 0:
            return f"{_GONE} was killed by signal {-status}"
        return f"{_GONE} ended with status {status}"

    def _receive(self) -> None:
        try:
            while True:
                kind, number, body = self._stream.receive()
                if kind is Kind.SAVE_KEY:
                    self._save_key(body)
                    continue
                with self._lock:
                    said = self._calls.get(number)
                if said is not None:
                    said.put((kind, body))
        except (EOFError, OSError):
            with self._lock:
                self.gone = True
                for said in self._calls.values():
                    said.put((Kind.GONE, b""))

    def _save_key(self, body: bytes) -> None:
        """Save a key for the worker: this process alone writes to known_hosts."""
        from aegis_provision.transport.ssh.known_hosts import add_if_new

        question, wanted = cast("tuple[int, KeyToSave]", read_plain(body))
        answer: KeyVerdict | Exception
        try:
            answer = add_if_new(wanted.paths, wanted.names, wanted.key)
        except (OSError, ValueError) as problem:
            answer = problem
        self._stream.send(Kind.ANSWER, question, plain(answer))


class ProcessExecutor:
    """An :class:`~.host_work.Executor` with ``count`` worker processes.

    A host that is read goes to the worker with the fewest hosts, and stays there: its connection
    and its whole plan are in that process. If a worker dies, another takes its place. A host that
    it was reading is read again, up to a bound; so is one whose write had not begun, and it goes on
    if its file is still what the plan saw. Where a write or a restart had begun, nothing is done
    again: the host is read, and its result says which file is there.
    """

    def __init__(
        self,
        connection: ConnectionSettings,
        count: int,
        *,
        keep: int,
        known: tuple[Secret, ...],
        digest: DigestKey,
    ) -> None:
        self._connection = connection
        self._digest = digest
        environ = dict(connection.options.environ)
        options = replace(connection.options, login_secrets={}, environ=environ)
        self._set_up = with_secrets(
            WorkerSetUp(
                options,
                connection.forks,
                -(-connection.forks // count),
                max(1, FEW_LOGINS // count),
                connection.deadline,
                -(-keep // count),
                known,
                digest,
            )
        )
        self._environ = worker_environ(environ)
        self._count = count
        self._workers: list[_Worker] = []
        self._homes: dict[str, _Worker] = {}
        self._deaths = 0
        self._closed = False
        self._cancelled = False
        self._lock = threading.Lock()
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        self._workers = [_Worker(self._environ) for _ in range(self._count)]
        for worker in self._workers:
            worker.start(self._set_up)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            workers = tuple(self._workers)
        for worker in workers:
            if worker.hosts:  # nobody waits for them any more
                worker.process.kill()
            worker.hang_up()
        for worker in workers:
            worker.wait(_TIME_TO_END)

    @property
    def forks(self) -> int:
        """Return how many hosts the operator wants to be worked on at once."""
        return self._connection.forks

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the workers that live."""
        with self._lock:
            return tuple(worker.process.pid for worker in self._workers if not worker.gone)

    def cancel(self) -> None:
        """Tell hosts under way that the operator asked to stop."""
        with self._lock:
            self._cancelled = True
            workers = tuple(self._workers)
        for worker in workers:
            worker.cancel()

    def read(self, work: ReadHost[Reading], calls: Calls) -> HostRead[Reading]:
        """Read a host; see :class:`~.host_work.Executor`."""
        job = work.job
        order = with_secrets(HostOrder(work, self._route(job.host.target)))
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
        return HostRead(work.reader.unreachable(job, Unreachable("worker", _lost(told), _MEMORY)))

    def run(self, work: RunHost, calls: Calls) -> HostResult:
        """Do a host's part in a play; see :class:`~.host_work.Executor`."""
        task, host = work.task, work.task.plan.host
        if not task.has_work:
            return skipped(task.plan)
        told = ""
        for number, last in enumerate(_TRIES):
            home, progress = self._homes.get(host), _Progress()
            with self._worker(host, home, alone=last) as worker:
                if worker is None:
                    break
                route = None if worker is home else self._route(task.job.host.target)
                try:
                    order = with_secrets(HostOrder(work, route))
                    result = worker.call(order, _watched(calls, progress))
                    return _with_warning(result, told)
                except WorkerGoneError as gone:
                    told = str(gone)
            if progress.begun_writing or progress.begun_restarting:
                return self._broken_off(work, calls, told, progress)
            self._tell(calls, host, told, number)
        message = f"{_lost(told)}; nothing was written there"
        return HostResult(host, Status.FAILED, message, _MEMORY)

    def _broken_off(
        self, work: RunHost, calls: Calls, told: str, progress: _Progress
    ) -> HostResult:
        """Return how a host ended on which a worker died while it wrote or restarted."""
        task = work.task
        found = self.read(ReadHost(task.job, work.reader), calls)
        if found.accepted:
            calls.emit(KeysAccepted(task.plan.host, found.accepted))
        plan = found.reading
        if not isinstance(plan, HostPlan):
            raise TypeError("a plan is read by what makes plans")
        if plan.action is Action.UNREACHABLE:
            state = f"{_EITHER}, as it can't be read now: {plan.message}"
        elif plan.digests == task.plan.digests and task.plan.writes:
            state = "its file is the old one"
        elif plan.action is Action.UNCHANGED:
            state = "its file is the new one"
        else:
            state = "its file is neither the one from before nor the new one"
        if progress.begun_restarting:
            state += ", and whether Aegis was restarted is not known"
        message = f"{told} while it was worked on; {state}"
        return HostResult(task.plan.host, Status.FAILED, message, f"{_LOOK}, then apply again")

    def _tell(self, calls: Calls, host: str, told: str, number: int) -> None:
        """Tell that another worker takes ``host`` over, if one does."""
        if number + 1 < len(_TRIES) and not self._closed:
            calls.emit(ConnectRetried(host, number + 2, told, 0.0))

    @contextmanager
    def _worker(
        self, host: str, home: _Worker | None = None, *, alone: bool = False
    ) -> Iterator[_Worker | None]:
        """Lend the worker for ``host``: ``home`` if that lives, ``None`` where none does.

        With ``alone`` it works on no other host meanwhile.
        """
        with self._alone if alone else nullcontext():
            worker = self._take(host, home, alone=alone)
            try:
                yield worker
            finally:
                if worker is not None:
                    with self._lock:
                        worker.hosts -= 1

    def _take(self, host: str, home: _Worker | None, *, alone: bool) -> _Worker | None:
        with self._lock:
            self._replace_dead()
            common = [worker for worker in self._workers if not worker.spare]
            if self._closed or not common:
                return None
            if alone:
                worker = self._spare()
            elif home is not None and not home.gone:
                worker = home
            else:
                worker = min(common, key=lambda worker: (worker.hosts, worker.given))
            worker.hosts += 1
            worker.given += 1
            self._homes[host] = worker
            return worker

    def _replace_dead(self) -> None:
        for worker in [worker for worker in self._workers if worker.gone]:
            self._workers.remove(worker)
            worker.wait(0)
            self._deaths += 1
            if not worker.spare and self._deaths <= _MOST_DEATHS * self._count:
                self._workers.append(self._started())

    def _spare(self) -> _Worker:
        """Return the worker for hosts that are worked on alone, started if need be."""
        for worker in self._workers:
            if worker.spare:
                return worker
        worker = self._started()
        worker.spare = True
        self._workers.append(worker)
        return worker

    def _started(self) -> _Worker:
        worker = _Worker(self._environ)
        worker.start(self._set_up)
        if self._cancelled:
            worker.cancel()
        return worker

    def _route(self, target: Target) -> Route:
        """Return the way to a host: the ssh config is asked here, its commands run here alone."""
        if target.connection == "local":
            return Route()
        from aegis_provision.transport.ssh.resolve_jump_hosts import resolve_hops

        try:
            return Route(resolve_hops(target, self._connection.options))
        except Unreachable as problem:
            return Route(problem=problem)


def worker_environ(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of a worker: what an interpreter needs to find this package."""
    needed = {name: environ[name] for name in _NEEDED if name in environ}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {**needed, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


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


def _lost(told: str) -> str:
    return f"{told}, {len(_TRIES)} times over" if told else f"{_GONE} is gone"


def _with_warning(result: HostResult, told: str) -> HostResult:
    if not told:
        return result
    warning = f"{told} before anything was written; another one went on"
    return replace(result, warnings=(*result.warnings, warning))
