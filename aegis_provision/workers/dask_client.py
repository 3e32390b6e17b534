"""Workers of a Dask cluster, which may be anywhere: for more hosts than one machine serves.

Dask places the work: a host's first is a task that any worker with the resource of the host's site
may take; what follows goes to the worker that took it. The task and all that is told of it go over
the scheduler, and hold no secret. Secrets are sealed to the worker that has begun with the host
(:mod:`~.dask_worker`). Dask would do a task again whose worker died; here it may not, since a write
may have begun: :class:`~.remote_executor.RemoteExecutor` decides what is done then.
"""

from __future__ import annotations

import itertools
import pickle
import secrets
import threading
from contextlib import suppress
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from distributed import KilledWorker

from aegis_provision.files.reading import read_file
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.transport.shared_connections import FEW_LOGINS
from aegis_provision.transport.ssh.known_hosts import add_if_new
from aegis_provision.values import dataclass
from aegis_provision.workers import dask_worker
from aegis_provision.workers.dask_cluster import AGAIN, LOOK_EVERY, DaskCluster
from aegis_provision.workers.dask_messages import Ended, Said, difference, own_versions
from aegis_provision.workers.portable_route import portable
from aegis_provision.workers.remote_executor import (
    WorkerBugError,
    WorkerGoneError,
)
from aegis_provision.workers.remote_host_worker import WorkerSetUp
from aegis_provision.workers.scheduler_address import is_protected
from aegis_provision.workers.sealing import seal
from aegis_provision.workers.secret_pickle import plain, read_plain, reveal_all, take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed import Future

    from aegis_provision.planning.digests import DigestKey
    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.connection_pool import ConnectionSettings
    from aegis_provision.rollout.events import FileChange, WriteBegun
    from aegis_provision.rollout.host_work import Calls
    from aegis_provision.workers.dask_messages import Message, TaskOutcome
    from aegis_provision.workers.remote_executor import Worker
    from aegis_provision.workers.remote_host_worker import HostOrder, Route

_LATE = 10.0


@dataclass(slots=True)
class _Call:
    """The work on one host that is under way: what is said of it, and its secrets until then.

    ``answers`` are those that were given, by the address of the worker and the question's number: a
    worker that has not heard one asks again.
    """

    secrets: tuple[Secret, ...] = field(repr=False)
    said: SimpleQueue[tuple[Said, int, bytes]] = field(default_factory=SimpleQueue)
    heard: int = 0
    answers: dict[tuple[str, int], object] = field(default_factory=dict, repr=False)


class DaskHostWorker:
    """The worker of one host: whichever Dask chooses first, and from then on that one.

    ``address`` is ``None`` until one was chosen, ``route`` the way to the host from there.
    """

    def __init__(self, workers: DaskWorkers, host: str, site: str | None) -> None:
        self.host = host
        self.site = site
        self.address: str | None = None
        self.route: Route | None = None
        self._workers = workers

    def call(self, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done; see :class:`~.remote_executor.Worker`."""
        return self._workers.call(self, order, calls)


class DaskWorkers:
    """The :class:`~.remote_executor.Workers` of a run on the cluster of a Dask ``scheduler``.

    ``sites`` says for hosts by name where they are, for those that can be reached from there alone.
    Dask has no worker to spare for a host that is worked on alone: others may be on its worker.
    """

    hint = AGAIN

    def __init__(
        self,
        scheduler: str,
        connection: ConnectionSettings,
        sites: Mapping[str, str],
        *,
        keep: int,
        digest: DigestKey,
    ) -> None:
        self._connection = connection
        self._sites = sites
        self._keep = keep
        self._digest = digest
        self._cluster = DaskCluster(scheduler, secrets.token_hex(8), self._take)
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._asked: SimpleQueue[Message | None] = SimpleQueue()
        self._cancelled = False

    def __enter__(self) -> Self:
        """Connect to the cluster. Raises :class:`RefusedError` if it can't be used."""
        self._cluster.__enter__()
        self._set_up = self._set_up_for(len(self._cluster.workers))
        threading.Thread(target=self._answer_all, name="dask-answers", daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._asked.put(None)
        self._cluster.__exit__(*problem)

    def cancel(self) -> None:
        """Tell the hosts that are worked on that the operator asked to stop."""
        self._cancelled = True
        self._cluster.speak(dask_worker.cancel)

    def take(self, host: str, home: Worker | None, *, alone: bool) -> DaskHostWorker:  # noqa: ARG002 - Dask has none to spare
        """Return the worker for a host; see :class:`~.remote_executor.Workers`.

        Raises :class:`NoWorkerError` where no worker can reach the host.
        """
        if not isinstance(home, DaskHostWorker) or home.address not in self._cluster.workers:
            home = DaskHostWorker(self, host, self._sites.get(host))
        self._cluster.wait_for_worker(home.site)
        return home

    def give_back(self, worker: Worker) -> None:
        """Do nothing: Dask knows what its workers do."""

    def call(self, worker: DaskHostWorker, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done by ``worker``; see :class:`~.remote_executor.Worker`."""
        if order.route is not None:
            worker.route = portable(order.route, self._connection.options.home)
        # It goes along each time: a worker that was started anew may have the address of another.
        data, hidden = take_apart(replace(order, route=worker.route))
        call, number = _Call(hidden), next(self._numbers)
        self._calls[number] = call
        future = None
        try:
            future = self._cluster.submit(worker.site, worker.address, number, data)
            future.add_done_callback(lambda _: call.said.put((Said.OVER, 0, b"")))
            return self._outcome(worker, call, future, calls)
        finally:
            del self._calls[number]
            if future is not None:
                future.release()

    def _outcome(
        self, worker: DaskHostWorker, call: _Call, future: Future[TaskOutcome], calls: Calls
    ) -> Any:
        while True:
            try:
                said, question, body = call.said.get(timeout=LOOK_EVERY)
            except Empty:
                self._check(worker)
                continue
            match said:
                case Said.EVENT:
                    call.heard += 1
                    calls.emit(read_plain(body))
                case Said.BEGIN:
                    address, about = read_plain(body)
                    asked_again = (address, question) in call.answers
                    if not is_protected(address) or (call.answers and not asked_again):
                        self._deliver(address, question, None)
                        raise self._gone(worker)
                    worker.address = address
                    self._answer(call, address, question, partial(self._sealed, call, *about))
                case Said.BEFORE_WRITE:
                    address, about = read_plain(body)
                    self._answer(call, address, question, partial(_recorded, calls, *about))
                case _:  # OVER
                    try:
                        ended, told, outcome = self._result(worker, future)
                    except TimeoutError:  # it is being done again, or the way is slow
                        call.said.put((Said.OVER, 0, b""))
                        self._check(worker)
                        continue
                    self._emit_rest(call, told, calls)
                    return self._read_outcome(worker, Ended(ended), outcome)

    def _answer(
        self, call: _Call, address: str, question: int, answer: Callable[[], object]
    ) -> None:
        """Give the worker at ``address`` the ``answer`` to its question: the same each time."""
        asked = address, question
        if asked not in call.answers:
            call.answers[asked] = answer()
        self._deliver(address, question, call.answers[asked])

    def _deliver(self, address: str, question: int, answer: object) -> None:
        self._cluster.speak(dask_worker.deliver, question, plain(answer), worker=address)

    def _sealed(self, call: _Call, public: bytes, wants_set_up: bool) -> bytes:
        set_up = self._set_up if wants_set_up else (b"", ())
        return seal(public, pickle.dumps((set_up, reveal_all(call.secrets), self._cancelled)))

    def _emit_rest(self, call: _Call, told: int, calls: Calls) -> None:
        """Emit what was told before the end, of which Dask may have told first."""
        while call.heard < told:
            try:
                said, _, body = call.said.get(timeout=_LATE)
            except Empty:
                return
            if said is Said.EVENT:
                call.heard += 1
                calls.emit(read_plain(body))

    def _result(self, worker: DaskHostWorker, future: Future[TaskOutcome]) -> TaskOutcome:
        try:
            return self._cluster.outcome_of(future)
        except TimeoutError:
            raise
        except KilledWorker:
            raise self._gone(worker) from None
        except Exception as problem:  # noqa: BLE001 - Dask's own: a task that it let go, or could not begin
            if future.status in {"cancelled", "lost"}:
                told = self._cluster.lost or "the Dask scheduler let go of the work"
                raise WorkerGoneError(told, cut_off=True) from None
            kind = type(problem).__name__
            raise WorkerGoneError(f"the Dask worker could not begin: {kind}") from None

    def _read_outcome(self, worker: DaskHostWorker, ended: Ended, body: bytes) -> Any:
        match ended:
            case Ended.DONE:
                return read_plain(body)
            case Ended.BUG:
                raise WorkerBugError(*read_plain(body))
            case Ended.OTHER_VERSIONS:
                other = difference(own_versions(), read_plain(body))
                raise WorkerGoneError(f"a Dask worker has other versions: {other}")
            case _:  # LEFT
                raise self._gone(worker)

    def _check(self, worker: DaskHostWorker) -> None:
        """Raise :class:`WorkerGoneError` if ``worker`` is gone, or if there is none."""
        if lost := self._cluster.lost:
            raise WorkerGoneError(lost, cut_off=True)
        if worker.address is None:
            self._cluster.wait_for_worker(worker.site)
        elif worker.address not in self._cluster.workers:
            raise self._gone(worker)

    def _gone(self, worker: DaskHostWorker) -> WorkerGoneError:
        return WorkerGoneError(f"the Dask worker {worker.address or ''} is gone".replace("  ", " "))

    def _take(self, message: Message) -> None:
        """Take what a worker says, in the client's event loop."""
        said, number, question, body = message
        call = self._calls.get(number)
        if call is not None:
            call.said.put((Said(said), question, body))
        elif Said(said) is not Said.EVENT:
            self._asked.put(message)

    def _answer_all(self) -> None:
        """Answer what does not belong to the work on one host that is under way."""
        while (message := self._asked.get()) is not None:
            said, _, question, body = message
            asker, asked = read_plain(body)
            answer: object = None
            match Said(said):
                case Said.SAVE_KEY:
                    try:
                        answer = add_if_new(asked.paths, asked.names, asked.key)
                    except (OSError, ValueError) as problem:
                        answer = problem
                case Said.FILE:
                    with suppress(OSError):
                        answer = read_file(Path(asked), null=True)
                case Said.BEFORE_WRITE:
                    answer = RecordError("the operator's process had taken this worker for gone")
            self._deliver(asker, question, answer)

    def _set_up_for(self, count: int) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        """Return the set-up of each of ``count`` workers, as it is sealed to them."""
        connection = self._connection
        options = replace(
            connection.options,
            ssh_config=None,
            system_ssh_config=None,
            known_hosts=(),
            agent_socket=None,
            environ={},
            login_secrets={},
            home=Path("/"),
        )
        set_up = WorkerSetUp(
            options,
            connection.forks,
            -(-connection.forks // count),
            max(1, FEW_LOGINS // count),
            connection.deadline,
            -(-self._keep // count),
            (),
            self._digest,
        )
        data, hidden = take_apart(set_up)
        return data, reveal_all(hidden)


def _recorded(calls: Calls, host: str, change: FileChange) -> WriteBegun | RecordError:
    try:
        return calls.before_write(host, change)
    except RecordError as problem:
        return problem
