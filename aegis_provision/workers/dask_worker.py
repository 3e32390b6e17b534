"""What runs in the process of a Dask worker: hosts' work as tasks, and what it is answered.

A task comes without its secrets. Once it has begun, the worker asks for them, and gets them sealed
to a key pair that it made for this run; nothing but this process's memory holds them. Connections
and whole plans stay here between a run's tasks, and go when the operator's process says that the
run is over, or is not heard any more: what is done after that would not be recorded.
"""

from __future__ import annotations

import itertools
import os
import pickle
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from distributed import get_worker

from aegis_provision.errors import Unreachable, shortage_of
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.rollout.host_work import Calls
from aegis_provision.rollout.thread_pool import CancelToken
from aegis_provision.transport.connect_options import NoHomeError, home_directory
from aegis_provision.workers.dask_messages import Ended, Said, own_versions, topic_of
from aegis_provision.workers.portable_route import OperatorsFiles, route_here
from aegis_provision.workers.remote_host_worker import KeyToSave, RemoteHostWorker, frames_of
from aegis_provision.workers.sealing import KeyPair
from aegis_provision.workers.secret_pickle import hide_all, plain, put_together, read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.rollout.events import Event, FileChange, WriteBegun
    from aegis_provision.transport.connect_options import ConnectOptions, SaveKey
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.retry import OnRetry
    from aegis_provision.transport.ssh.known_hosts import KeyVerdict
    from aegis_provision.transport.ssh.public_keys import HostKey
    from aegis_provision.workers.dask_messages import Message, TaskOutcome, Versions
    from aegis_provision.workers.remote_host_worker import HostOrder, WorkerSetUp

SILENCE = 60.0
"""After so many seconds without a word the operator's process is taken for gone."""

ASK_AGAIN = 20.0
"""After so many seconds without an answer a question is asked again."""

_LOOK_EVERY = 5.0


class DaskWorker(Protocol):
    """What a run needs of the worker that it is on, as Dask has it."""

    local_directory: str

    @property
    def address(self) -> str:
        """Return where the scheduler and other workers reach it."""
        ...

    def log_event(self, topic: str, msg: Message) -> None:
        """Tell all who listen to ``topic``."""
        ...


class _NobodyError(Exception):
    """The operator's process is gone, or the run is over."""


def do_host(versions: Versions, run: str, number: int, data: bytes) -> TaskOutcome:
    """Do one host's work: ``data`` is a :class:`HostOrder` without its secrets. A Dask task."""
    if versions != own_versions():
        return Ended.OTHER_VERSIONS, 0, plain(own_versions())
    with _RUNS_LOCK:
        found = _RUNS.get(run)
        if found is None:
            found = _RUNS[run] = RunOnWorker(run, get_worker())
    return found.do(number, data)


def versions_here() -> Versions:
    """Return the versions of this worker."""
    return own_versions()


def deliver(run: str, question: int, body: bytes) -> None:
    """Take the answer to a question of this worker's."""
    found = _RUNS.get(run)
    if found is not None:
        found.answer(question, body)


def hear(run: str) -> None:
    """Take note that the operator's process is there."""
    found = _RUNS.get(run)
    if found is not None:
        found.heard = time.monotonic()


def cancel(run: str) -> None:
    """Tell the hosts under way that the operator asked to stop."""
    found = _RUNS.get(run)
    if found is not None:
        found.cancel.cancel()


def end(run: str) -> None:
    """End ``run`` here: its connections are closed, its secrets let go."""
    found = _RUNS.get(run)
    if found is not None:
        # Dask calls this in its event loop, which must not wait.
        threading.Thread(target=found.end, daemon=True).start()


class RunOnWorker:
    """A run on this worker, which is ``dask`` to Dask; it asks again after ``patience`` seconds."""

    def __init__(self, name: str, dask: DaskWorker, patience: float = ASK_AGAIN) -> None:
        self.cancel: CancelToken = CancelToken()
        self.heard = time.monotonic()
        self._name = name
        self._dask = dask
        self._patience = patience
        self._pair = KeyPair()
        self._questions = itertools.count(1)
        self._answers: dict[int, SimpleQueue[bytes | None]] = {}
        self._ended = threading.Event()
        self._worker: _Worker | None = None
        self._lock = threading.Lock()
        self._stack = ExitStack()
        try:
            self._home = home_directory(os.environ)
        except NoHomeError:
            self._home = Path("/")
        directory = tempfile.TemporaryDirectory(
            prefix="aegis-provision-",
            dir=dask.local_directory,  # Dask removes that if the worker is killed
        )
        self._files = OperatorsFiles(Path(self._stack.enter_context(directory)), self._fetch)
        threading.Thread(target=self._watch, name="operator", daemon=True).start()

    def do(self, number: int, data: bytes) -> TaskOutcome:
        """Do one host's work; see :func:`do_host`."""
        told: list[None] = []

        def emit(event: Event) -> None:
            told.append(None)
            self._say(Said.EVENT, number, 0, plain(event))

        def before_write(host: str, change: FileChange) -> WriteBegun:
            try:
                begun: WriteBegun = self._ask(
                    Said.BEFORE_WRITE, number, (self._dask.address, (host, change))
                )
            except _NobodyError:
                raise RecordError("the operator's process is gone") from None
            return begun

        try:
            about = (self._dask.address, (self._pair.public, self._worker is None))
            sealed = self._ask(Said.BEGIN, number, about)
            if sealed is None:
                return Ended.LEFT, 0, b""
            (body, hidden), revealed, cancelled = pickle.loads(self._pair.open(sealed))  # noqa: S301 - sealed to this run's key
            if cancelled:
                self.cancel.cancel()
            set_up = put_together(body, hide_all(hidden)) if body else None
            order = self._order_here(put_together(data, hide_all(revealed)))
            outcome = self._made(set_up).do(order, Calls(emit, before_write, self.cancel))
            return Ended.DONE, len(told), plain(outcome)
        except _NobodyError:
            return Ended.LEFT, 0, b""
        except Exception as bug:  # noqa: BLE001 - told where it can be seen, without any value
            lacking = shortage_of(bug) and f"on a Dask worker: {shortage_of(bug)}"
            return Ended.BUG, len(told), plain((type(bug).__name__, frames_of(bug), lacking))

    def answer(self, question: int, body: bytes | None) -> None:
        """Take the answer to ``question``; ``None`` if there will be none."""
        queue = self._answers.get(question)
        if queue is not None:
            queue.put(body)

    def end(self) -> None:
        """Close all connections; what is still under way is answered no more."""
        with _RUNS_LOCK:
            _RUNS.pop(self._name, None)
        self._ended.set()
        self.cancel.cancel()
        for question in tuple(self._answers):
            self.answer(question, None)
        with self._lock:
            self._stack.close()
            self._worker = None

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY):
            if time.monotonic() - self.heard > SILENCE:
                self.end()

    def _made(self, set_up: WorkerSetUp | None) -> RemoteHostWorker:
        with self._lock:
            if self._worker is None:
                if set_up is None or self._ended.is_set():
                    raise _NobodyError
                options = replace(
                    set_up.options,
                    home=self._home,
                    environ=dict(os.environ),
                    agent_socket=os.environ.get("SSH_AUTH_SOCK") or None,
                )
                worker = _Worker(replace(set_up, options=options), self._save_key, self._files)
                self._worker = self._stack.enter_context(worker)
            return self._worker

    def _order_here(self, order: HostOrder) -> HostOrder:
        if order.route is None:
            return order
        agent = os.environ.get("SSH_AUTH_SOCK") or None
        return replace(order, route=route_here(order.route, self._home, agent, self._files))

    def _say(self, said: Said, number: int, question: int, body: bytes) -> None:
        self._dask.log_event(topic_of(self._name), (int(said), number, question, body))

    def _ask(self, said: Said, number: int, about: object) -> Any:
        """Ask the operator's process, and return what it answers, or raise it."""
        question = next(self._questions)
        queue = self._answers[question] = SimpleQueue()
        try:
            body = self._answer_to(queue, partial(self._say, said, number, question, plain(about)))
        finally:
            del self._answers[question]
        if body is None:
            raise _NobodyError
        answer = read_plain(body)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer_to(self, queue: SimpleQueue[bytes | None], ask: Callable[[], None]) -> bytes | None:
        """Ask until there is an answer: what goes either way may be lost with a connection."""
        while not self._ended.is_set():
            ask()
            with suppress(Empty):
                return queue.get(timeout=self._patience)
        return None

    def _fetch(self, path: str) -> bytes | None:
        content: bytes | None = self._ask(Said.FILE, 0, (self._dask.address, path))
        return content

    def _save_key(self, paths: Sequence[Path], names: Sequence[str], key: HostKey) -> KeyVerdict:
        originals = tuple(map(self._files.original_of, paths))
        wanted = KeyToSave(originals, tuple(names), key)
        verdict: KeyVerdict = self._ask(Said.SAVE_KEY, 0, (self._dask.address, wanted))
        return verdict


class _Worker(RemoteHostWorker):
    """A :class:`RemoteHostWorker` that tells of the operator's files, not of copies."""

    def __init__(self, set_up: WorkerSetUp, save_key: SaveKey, files: OperatorsFiles) -> None:
        super().__init__(set_up, save_key)
        self._files = files

    def _connect(
        self, target: Target, options: ConnectOptions, deadline: Deadline, on_retry: OnRetry
    ) -> HostSession:
        try:
            return super()._connect(target, options, deadline, on_retry)
        except Unreachable as problem:
            step, reason, hint = map(self._files.told, (problem.step, problem.reason, problem.hint))
            raise Unreachable(
                step, reason, hint, stage=problem.stage, passing=problem.passing
            ) from None


_RUNS: dict[str, RunOnWorker] = {}
_RUNS_LOCK = threading.Lock()
