"""Workers of a Dask cluster, which may be anywhere: for more hosts than one machine serves.

Dask places the work: a host's first is a task that any worker with the resource of the host's site
may take; what follows goes to the worker that took it. The task and all that is told of it go over
the scheduler, and hold no secret. Secrets are sealed to the worker that has begun with the host
(:mod:`~.dask_worker`). Dask would do a task again whose worker died; here it may not, since a write
may have begun: :class:`~.remote_executor.RemoteExecutor` decides what is done then.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import secrets
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from distributed import Client, KilledWorker, Security

from aegis_provision.errors import RefusedError
from aegis_provision.files.reading import read_file
from aegis_provision.humanize import counted
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.transport.shared_connections import FEW_LOGINS
from aegis_provision.transport.ssh.known_hosts import add_if_new
from aegis_provision.values import dataclass
from aegis_provision.workers import dask_worker
from aegis_provision.workers.dask_messages import (
    Ended,
    Said,
    difference,
    own_versions,
    resource_of,
    topic_of,
)
from aegis_provision.workers.portable_route import portable
from aegis_provision.workers.remote_executor import (
    NoWorkerError,
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
    from aegis_provision.rollout.host_work import Calls
    from aegis_provision.workers.dask_messages import Message, TaskOutcome
    from aegis_provision.workers.remote_executor import Worker
    from aegis_provision.workers.remote_host_worker import HostOrder

_CONNECT_WITHIN = 15.0
_LOOK_EVERY = 1.0
_HEAR_EVERY = 10.0
_NEW_WORKER_WITHIN = 15.0
"""How long a worker in the place of one that died may take to come."""

_LATE = 10.0
_TIME_TO_END = 5.0
_SHARE = 2.0**-20
"""How much of its site's resource a host takes: next to nothing, as threads are the bound."""

_AGAIN = "see why in the worker's log; 'dask worker' starts another one"


@dataclass(slots=True)
class _Call:
    """The work on one host that is under way: what is said of it, and its secrets until then."""

    secrets: tuple[Secret, ...] = field(repr=False)
    said: SimpleQueue[tuple[Said, int, bytes]] = field(default_factory=SimpleQueue)
    heard: int = 0


class DaskHostWorker:
    """The worker of one host: whichever Dask chooses first, and from then on that one.

    ``address`` is ``None`` until one was chosen.
    """

    def __init__(self, workers: DaskWorkers, host: str, site: str | None) -> None:
        self.host = host
        self.site = site
        self.address: str | None = None
        self._workers = workers

    def call(self, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done; see :class:`~.remote_executor.Worker`."""
        return self._workers.call(self, order, calls)


class DaskWorkers:
    """The :class:`~.remote_executor.Workers` of a run on the cluster of a Dask ``scheduler``.

    ``sites`` says for hosts by name where they are, for those that can be reached from there alone.
    Dask has no worker to spare for a host that is worked on alone: others may be on its worker.
    """

    hint = _AGAIN

    def __init__(
        self,
        scheduler: str,
        connection: ConnectionSettings,
        sites: Mapping[str, str],
        *,
        keep: int,
        digest: DigestKey,
    ) -> None:
        self._scheduler = scheduler
        self._connection = connection
        self._sites = sites
        self._keep = keep
        self._digest = digest
        self._run = secrets.token_hex(8)
        self._versions = own_versions()
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._asked: SimpleQueue[Message | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._looked = threading.Condition(self._lock)
        self._live: Mapping[str, frozenset[str]] = {}
        self._seen_sites: set[str] = set()
        self._cancelled = False
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Connect to the cluster. Raises :class:`RefusedError` if it can't be used."""
        # What becomes of workers is told here; Dask would write it in between.
        for name in ("", ".client", ".core", ".comm", ".batched", ".utils"):
            logging.getLogger(f"distributed{name}").setLevel(logging.CRITICAL + 1)
        self._client = _connected(self._scheduler)
        try:
            self._look()
            self._check_cluster()
        except BaseException:
            self._client.close(_TIME_TO_END)
            raise
        self._set_up = self._set_up_for(len(self._live))
        self._client.subscribe_topic(topic_of(self._run), self._take)
        for work in (self._answer_all, self._keep_looking):
            threading.Thread(target=work, name="dask", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._asked.put(None)
        if self._client.status == "running":
            self._speak(dask_worker.end, self._run).join(_TIME_TO_END)
        self._client.close(_TIME_TO_END)

    def cancel(self) -> None:
        """Tell the hosts that are worked on that the operator asked to stop."""
        self._cancelled = True
        self._tell_all(dask_worker.cancel)

    def take(self, host: str, home: Worker | None, *, alone: bool) -> DaskHostWorker:  # noqa: ARG002 - Dask has none to spare
        """Return the worker for a host; see :class:`~.remote_executor.Workers`.

        Raises :class:`NoWorkerError` where no worker can reach the host.
        """
        site = self._sites.get(host)
        with self._looked:
            if isinstance(home, DaskHostWorker) and home.address in self._live:
                return home
            late = time.monotonic() + _NEW_WORKER_WITHIN
            while not self._can_reach(site):
                left = late - time.monotonic()
                if left <= 0 or self._is_cut_off() or not (site is None or self._has_seen(site)):
                    raise self._no_worker(site)
                self._looked.wait(min(left, _LOOK_EVERY))
        return DaskHostWorker(self, host, site)

    def give_back(self, worker: Worker) -> None:
        """Do nothing: Dask knows what its workers do."""

    def call(self, worker: DaskHostWorker, order: HostOrder, calls: Calls) -> Any:
        """Have ``order`` done by ``worker``; see :class:`~.remote_executor.Worker`."""
        if order.route is not None:
            route = portable(order.route, self._connection.options.home)
            order = replace(order, route=route)
        data, hidden = take_apart(order)
        call, number = _Call(hidden), next(self._numbers)
        self._calls[number] = call
        future = None
        try:
            future = self._submitted(worker, number, data)
            future.add_done_callback(lambda _: call.said.put((Said.OVER, 0, b"")))
            return self._outcome(worker, call, future, calls)
        finally:
            del self._calls[number]
            if future is not None and not future.done():
                with suppress(Exception):
                    future.cancel()

    def _submitted(self, worker: DaskHostWorker, number: int, data: bytes) -> Future[TaskOutcome]:
        if self._is_cut_off():
            raise self._no_worker(worker.site)
        return self._client.submit(
            dask_worker.do_host,
            self._versions,
            self._run,
            number,
            data,
            key=f"aegis-provision-{self._run}-{number}",
            workers=None if worker.address is None else [worker.address],
            resources=None if worker.site is None else {resource_of(worker.site): _SHARE},
            retries=0,
            pure=False,
        )

    def _outcome(
        self, worker: DaskHostWorker, call: _Call, future: Future[TaskOutcome], calls: Calls
    ) -> Any:
        begun = False
        while True:
            try:
                said, question, body = call.said.get(timeout=_LOOK_EVERY)
            except Empty:
                self._check(worker)
                continue
            match said:
                case Said.BEGIN:
                    address, (public, wants_set_up) = read_plain(body)
                    if begun or not is_protected(address):
                        self._answer(address, question, None)
                        raise self._gone(worker)
                    begun, worker.address = True, address
                    sealed = self._sealed(public, call, wants_set_up=wants_set_up)
                    self._answer(address, question, sealed)
                case Said.EVENT:
                    call.heard += 1
                    calls.emit(read_plain(body))
                case Said.BEFORE_WRITE:
                    address, (host, change) = read_plain(body)
                    answer: object
                    try:
                        answer = calls.before_write(host, change)
                    except RecordError as problem:
                        answer = problem
                    self._answer(address, question, answer)
                case _:  # OVER
                    try:
                        ended, told, outcome = self._result(worker, future)
                    except TimeoutError:  # it is being done again, or the way is slow
                        call.said.put((Said.OVER, 0, b""))
                        self._check(worker)
                        continue
                    self._emit_rest(call, told, calls)
                    return self._read_outcome(worker, Ended(ended), outcome)

    def _sealed(self, public: bytes, call: _Call, *, wants_set_up: bool) -> bytes:
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
            outcome: TaskOutcome = future.result(_LOOK_EVERY)
        except TimeoutError:
            raise
        except KilledWorker:
            raise self._gone(worker) from None
        except Exception as problem:  # noqa: BLE001 - Dask's own: a task that it let go, or could not begin
            if future.status in {"cancelled", "lost"}:
                raise WorkerGoneError("the Dask scheduler let go of the work") from None
            kind = type(problem).__name__
            raise WorkerGoneError(f"the Dask worker could not begin: {kind}") from None
        return outcome

    def _read_outcome(self, worker: DaskHostWorker, ended: Ended, body: bytes) -> Any:
        match ended:
            case Ended.DONE:
                return read_plain(body)
            case Ended.BUG:
                raise WorkerBugError(*read_plain(body))
            case Ended.OTHER_VERSIONS:
                other = difference(self._versions, read_plain(body))
                raise WorkerGoneError(f"a Dask worker has other versions: {other}")
            case _:  # LEFT
                raise self._gone(worker)

    def _check(self, worker: DaskHostWorker) -> None:
        """Raise :class:`WorkerGoneError` if ``worker`` is gone, or if there is none."""
        if self._is_cut_off():
            raise WorkerGoneError("the Dask scheduler is gone")
        with self._lock:
            if worker.address is not None and worker.address not in self._live:
                raise self._gone(worker)
            missing = worker.address is None and not self._can_reach(worker.site)
        if missing:
            self.take(worker.host, None, alone=False)

    def _gone(self, worker: DaskHostWorker) -> WorkerGoneError:
        return WorkerGoneError(f"the Dask worker {worker.address or ''} is gone".replace("  ", " "))

    def _answer(self, address: str, question: int, answer: object) -> None:
        """Answer a worker's question."""
        self._speak(dask_worker.deliver, self._run, question, plain(answer), workers=[address])

    def _tell_all(self, function: Callable[[str], None]) -> None:
        self._speak(function, self._run)

    def _speak(
        self, function: Callable[..., None], *args: object, workers: list[str] | None = None
    ) -> threading.Thread:
        """Call ``function`` on workers; it takes long if one is gone, so that nobody waits here."""

        def speak() -> None:
            with suppress(Exception):  # that a worker is gone is seen by who waits for its work
                self._client.run(function, *args, workers=workers, on_error="ignore")

        thread = threading.Thread(target=speak, name="dask-answer", daemon=True)
        thread.start()
        return thread

    def _take(self, event: tuple[float, Message]) -> None:
        """Take what a worker says, in the client's event loop."""
        said, number, question, body = event[1]
        call = self._calls.get(number)
        if call is not None:
            call.said.put((Said(said), question, body))
        elif Said(said) is not Said.EVENT:
            self._asked.put(event[1])

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
            self._answer(asker, question, answer)

    def _keep_looking(self) -> None:
        since = 0.0
        while not self._ended.wait(_LOOK_EVERY):
            with suppress(Exception):  # a scheduler that is gone is told where work needs it
                self._look()
            since += _LOOK_EVERY
            if since >= _HEAR_EVERY:
                since = 0.0
                self._tell_all(dask_worker.hear)

    def _look(self) -> None:
        """Look which workers there are, and which resources they have."""
        found = self._client.scheduler_info(n_workers=-1).get("workers", {})
        live = {address: frozenset(item["resources"]) for address, item in found.items()}
        with self._looked:
            self._live = live
            self._seen_sites.update(*live.values())
            self._looked.notify_all()

    def _can_reach(self, site: str | None) -> bool:
        if site is None:
            return bool(self._live)
        return any(resource_of(site) in resources for resources in self._live.values())

    def _has_seen(self, site: str) -> bool:
        return resource_of(site) in self._seen_sites

    def _is_cut_off(self) -> bool:
        return bool(self._ended.is_set() or self._client.status == "closed")

    def _no_worker(self, site: str | None) -> NoWorkerError:
        if self._is_cut_off():
            return NoWorkerError("the Dask scheduler is gone", "start it, and try again")
        if site is None:
            return NoWorkerError("the Dask cluster has no worker any more", _AGAIN)
        name = resource_of(site)
        return NoWorkerError(
            f"no Dask worker has the resource {name}, which 'site: {site}' asks for",
            f"start one inside that network: dask worker {self._scheduler} --resources {name}=1",
        )

    def _check_cluster(self) -> None:
        """Raise :class:`RefusedError` unless all workers can be used."""
        if not self._live:
            raise RefusedError(
                f"the Dask scheduler {self._scheduler} has no worker",
                f"start some: dask worker {self._scheduler}",
            )
        bare = [address for address in self._live if not is_protected(address)]
        if bare:
            raise RefusedError(
                f"{counted(len(bare), 'Dask worker')} without TLS on another machine: {bare[0]}",
                "start scheduler and workers with TLS, and write --scheduler tls://HOST:PORT",
            )
        found = self._client.run(dask_worker.versions_here, on_error="return")
        others = []
        for address, there in found.items():
            if isinstance(there, BaseException):
                others.append(f"{address}: aegis-provision can't be loaded there")
            elif other := difference(self._versions, there):
                others.append(f"{address}: {other}")
        if others:
            raise RefusedError(
                f"{counted(len(others), 'Dask worker')} can't work with this process",
                "install the same versions there: pip install 'aegis-provision[dask]'",
                others,
            )

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


def _connected(scheduler: str) -> Client:
    try:
        # A client that failed half-way would hold up later ones of this process.
        if scheduler.startswith("tls:"):
            _check_certificates()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions: they are looked at here
            return Client(scheduler, timeout=_CONNECT_WITHIN, set_as_default=False)
    except (OSError, TimeoutError) as problem:
        raise RefusedError(
            f"the Dask scheduler {scheduler} can't be reached: {problem}",
            "is it running, and is that its address?",
        ) from None
    except (TypeError, ValueError, RuntimeError) as problem:
        raise RefusedError(
            f"the Dask scheduler {scheduler} can't be spoken to: {problem}",
            "Dask's own settings name the certificates: DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY",
        ) from None


def _check_certificates() -> None:
    """Raise ``ValueError`` where Dask's settings name no certificates, ``OSError`` for bad ones."""
    if Security().get_connection_args("client").get("ssl_context") is None:
        raise ValueError("no certificates are configured")
