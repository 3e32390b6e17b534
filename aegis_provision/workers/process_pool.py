"""Workers that are processes on this machine: for more hosts than one core serves.

Each worker gets what it needs over a socket of its own, and nothing in any other way: it is a new
interpreter with an environment that holds nothing of the operator's, and its own session, so that
Ctrl-C reaches the operator's process alone. A worker that dies is replaced, and its hosts are read
again (:class:`~.remote_executor.RemoteExecutor`).
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, cast

from aegis_provision.errors import RefusedError
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.transport.shared_connections import FEW_LOGINS
from aegis_provision.values import dataclass
from aegis_provision.workers.process_messages import Kind, MessageStream
from aegis_provision.workers.remote_executor import WorkerBugError, WorkerGoneError
from aegis_provision.workers.remote_host_worker import WorkerSetUp
from aegis_provision.workers.secret_pickle import plain, read_plain, with_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.digests import DigestKey
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.host_work import Calls
    from aegis_provision.transport.ssh.known_hosts import KeyVerdict
    from aegis_provision.workers.remote_executor import Worker
    from aegis_provision.workers.remote_host_worker import HostOrder, KeyToSave

_MOST_DEATHS = 3
"""How many workers may die for each that there is, until none is replaced any more."""

_TIME_TO_BEGIN = 10.0
_TIME_TO_END = 3.0
_NEEDED = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "PYTHONHOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"),
    *("LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES"),
)
"""What a worker has of the operator's environment: what an interpreter may need to start, which
authorities OpenSSL trusts, how the resolver finds names (resolver(3))."""

_CALLS = frozenset({Kind.EVENT, Kind.BEFORE_WRITE})
_GONE = "the worker process"


@dataclass(frozen=True, slots=True)
class _Call:
    """The work on one host: what it calls here, and how it ended."""

    calls: Calls
    ended: SimpleQueue[tuple[Kind, bytes] | Exception] = field(default_factory=SimpleQueue)


class WorkerProcess:
    """One worker process, seen from the operator's."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Start it. Raises ``OSError``."""
        ours, theirs = socket.socketpair()
        with ExitStack() as unless_started, theirs:
            unless_started.enter_context(ours)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aegis_provision.workers.process_worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environ),
                start_new_session=True,
            )
            unless_started.pop_all()
        self.hosts = self.given = 0
        self.spare = False
        self.gone = self._unheard = False
        self._socket = ours
        self._stream = MessageStream(os.dup(ours.fileno()))
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._lock = threading.Lock()
        self._answered = threading.Event()

    def start(self, set_up: bytes) -> None:
        """Send ``set_up``, and take what the worker says from now on, if there is a thread left."""
        with suppress(OSError):
            self._stream.send(Kind.SET_UP, 0, set_up)
        try:
            threading.Thread(target=self._receive, name="worker", daemon=True).start()
        except RuntimeError:
            self.process.kill()
            self.gone = self._unheard = True
            self._answered.set()

    def wait_until_ready(self) -> bool:
        """Wait until the worker has the thread that it can't do without; tell whether it lives.

        Threads that the operator's process begins before could be the last that the user may have.
        """
        self._answered.wait(_TIME_TO_BEGIN)
        return not self.gone

    def call(self, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done; see :class:`~.remote_executor.Worker`."""
        number, call = next(self._numbers), _Call(calls)
        with self._lock:
            if self.gone:
                raise self.gone_error()
            self._calls[number] = call
        try:
            self._stream.send(Kind.WORK, number, with_secrets(order))
        except OSError:
            call.ended.put((Kind.GONE, b""))
        try:
            end = call.ended.get()
        finally:
            with self._lock:
                del self._calls[number]
        if isinstance(end, Exception):
            raise end
        kind, body = end
        if kind is Kind.DONE:
            return read_plain(body)
        if kind is Kind.BUG:
            raise WorkerBugError(*read_plain(body))
        raise self.gone_error()

    def cancel(self) -> None:
        """Tell the hosts that are worked on that the operator asked to stop."""
        with suppress(OSError):
            self._stream.send(Kind.CANCEL, 0)

    def hang_up(self) -> None:
        """Let the worker end: it sees that the operator's process is gone."""
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

    def gone_error(self) -> WorkerGoneError:
        """Return how the process ended, once it surely has."""
        if self._unheard:
            return WorkerGoneError("no thread can be begun to listen to it", dead=True)
        try:
            status = self.process.wait(_TIME_TO_END)
        except subprocess.TimeoutExpired:
            return WorkerGoneError(f"{_GONE} hung up")
        told = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return WorkerGoneError(f"{_GONE} {told}", dead=True)

    def _receive(self) -> None:
        try:
            while True:
                kind, number, body = self._stream.receive()
                if kind is Kind.READY:
                    self._answered.set()
                    continue
                if kind is Kind.SAVE_KEY:
                    self._save_key(body)
                    continue
                with self._lock:
                    call = self._calls.get(number)
                if call is not None:
                    self._pass_on(kind, body, call)
        except (EOFError, OSError):
            pass
        finally:  # after a bug here too: what the worker says is not read any more
            with self._lock:
                self.gone = True
                self._answered.set()
                for call in self._calls.values():
                    call.ended.put((Kind.GONE, b""))

    def _pass_on(self, kind: Kind, body: bytes, call: _Call) -> None:
        """Make what a worker calls here and now; its end is for the thread that waits for it."""
        if kind not in _CALLS:
            call.ended.put((kind, body))
            return
        try:
            if kind is Kind.EVENT:
                call.calls.emit(read_plain(body))
            else:
                self._before_write(body, call.calls)
        except Exception as bug:  # noqa: BLE001 - it is raised where the work was asked for
            call.ended.put(bug)

    def _before_write(self, body: bytes, calls: Calls) -> None:
        question, (host, change) = read_plain(body)
        answer: object
        try:
            answer = calls.before_write(host, change)
        except RecordError as problem:
            answer = problem
        with suppress(OSError):
            self._stream.send(Kind.ANSWER, question, plain(answer))

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


class WorkerProcesses:
    """The :class:`~.remote_executor.Workers` of a run: ``count`` processes.

    A host that has no worker yet goes to the one with the fewest. One that dies is replaced.
    """

    hint = (
        "see what ended it (the kernel's log tells when memory ran out); fewer --workers need less"
    )

    def __init__(
        self,
        connection: ConnectionSettings,
        count: int,
        *,
        keep: int,
        known: tuple[Secret, ...],
        digest: DigestKey,
    ) -> None:
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
        self._workers: list[WorkerProcess] = []
        self._problem = ""
        self._deaths = 0
        self._closed = False
        self._cancelled = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the workers, as many as this machine lets us. Raises :class:`RefusedError`."""
        for _ in range(self._count):
            self._launch()
        for worker in self._workers:
            worker.start(self._set_up)
        started, self._workers = self._workers, []
        for worker in started:
            if worker.wait_until_ready():
                self._workers.append(worker)
            else:
                self._problem = str(worker.gone_error())
                worker.wait(0)
        if not self._workers:
            raise RefusedError(
                f"no worker process can be started: {self._problem}",
                "fewer --workers need less, and a larger 'ulimit -u' lets more begin; "
                "without them this process does the work itself",
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            workers = tuple(self._workers)
        for worker in workers:
            if worker.hosts:  # their results are not awaited any more
                worker.process.kill()
            worker.hang_up()
        for worker in workers:
            worker.wait(_TIME_TO_END)

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

    def take(self, host: str, home: Worker | None, *, alone: bool) -> WorkerProcess | None:  # noqa: ARG002 - they are alike to all hosts
        """Return the worker for a host; see :class:`~.remote_executor.Workers`."""
        with self._lock:
            self._replace_dead()
            common = [worker for worker in self._workers if not worker.spare]
            if self._closed or not common:
                return None
            if alone:
                spare = self._spare()
                if spare is None:
                    return None
                worker = spare
            elif isinstance(home, WorkerProcess) and not home.gone:
                worker = home
            else:
                worker = min(common, key=lambda worker: (worker.hosts, worker.given))
            worker.hosts += 1
            worker.given += 1
            return worker

    def give_back(self, worker: Worker) -> None:
        """Tell that the work on one host is over."""
        if isinstance(worker, WorkerProcess):
            with self._lock:
                worker.hosts -= 1

    def _replace_dead(self) -> None:
        for worker in [worker for worker in self._workers if worker.gone]:
            self._workers.remove(worker)
            worker.wait(0)
            self._deaths += 1
            if not worker.spare and self._deaths <= _MOST_DEATHS * self._count:
                self._start()

    def _spare(self) -> WorkerProcess | None:
        """Return the worker for hosts that are worked on alone, started if need be."""
        for worker in self._workers:
            if worker.spare:
                return worker
        return self._start(spare=True)

    def _start(self, *, spare: bool = False) -> WorkerProcess | None:
        worker = self._launch()
        if worker is not None:
            worker.spare = spare
            worker.start(self._set_up)
            worker.wait_until_ready()
            if self._cancelled:
                worker.cancel()
        return worker

    def _launch(self) -> WorkerProcess | None:
        """Return a new process, if this machine lets us: it may be short of memory, or of them."""
        try:
            worker = WorkerProcess(self._environ)
        except OSError as problem:
            self._problem = problem.strerror or str(problem)
            return None
        self._workers.append(worker)
        return worker


def worker_environ(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of a worker: what an interpreter needs to find this package."""
    needed = {name: environ[name] for name in _NEEDED if name in environ}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {**needed, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
