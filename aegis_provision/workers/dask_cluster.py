"""A Dask cluster, seen from the operator's process: which workers it has, how they are spoken to.

Nothing here waits without an end. Dask's own calls do where a scheduler is silent and its
connection stands: it is taken for gone after a minute. A connection that broke is not made again,
since a scheduler may go on to take its client for the one that left, and tell it nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from distributed import Client, Security
from distributed.client import ClosedClientError

from aegis_provision.errors import RefusedError
from aegis_provision.humanize import counted
from aegis_provision.workers import dask_worker
from aegis_provision.workers.dask_messages import difference, own_versions, resource_of, topic_of
from aegis_provision.workers.remote_executor import NoWorkerError
from aegis_provision.workers.scheduler_address import is_protected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from distributed import Future

    from aegis_provision.workers.dask_messages import Message, TaskOutcome

LOOK_EVERY = 1.0
AGAIN = "see why in the worker's log; 'dask worker' starts another one"

_CONNECT_WITHIN = 15.0
_ANSWER_WITHIN = 15.0
_FIRST_ANSWER_WITHIN = 60.0
"""A worker first has to load this package."""

_HEAR_EVERY = 10.0
_SILENCE = 60.0
_NEW_WORKER_WITHIN = 15.0
"""How long a worker in the place of one that died may take to come."""

_TIME_TO_END = 5.0
_SHARE = 2.0**-20
"""How much of its site's resource a host takes: next to nothing, as threads are the bound."""

_ANY = ""
_LOGGERS = tuple(
    f"distributed{name}" for name in ("", ".client", ".core", ".comm", ".batched", ".utils")
)
_ITS_LOOP = ("asyncio", "tornado.application")


class DaskCluster:
    """The cluster of ``scheduler`` in one ``run``: a context manager, safe to use from threads.

    ``take`` gets what the workers say of the run, in Dask's event loop: it must not wait.
    """

    def __init__(self, scheduler: str, run: str, take: Callable[[Message], None]) -> None:
        self._scheduler = scheduler
        self._run = run
        self._take = take
        self._live: Mapping[str, frozenset[str]] = {}
        self._last_there: dict[str, float] = {}
        self._heard = 0.0
        self._looked = threading.Condition()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Connect to the cluster. Raises :class:`RefusedError` if it can't be used."""
        _quieten()
        self._client: Any = _connected(self._scheduler)  # its types differ between versions
        self._connection = self._client.scheduler_comm
        try:
            self._check_workers()
        except BaseException:
            self._close()
            raise
        self._client.subscribe_topic(topic_of(self._run), lambda event: self._take(event[1]))
        threading.Thread(target=self._keep_looking, name="dask", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        lost = self.lost
        self._ended.set()
        if not lost:
            with suppress(Exception):  # workers that hear nothing let go of the run themselves
                self._client.sync(
                    self._say, dask_worker.end, self._run, callback_timeout=_TIME_TO_END
                )
        self._close()

    @property
    def workers(self) -> frozenset[str]:
        """Return the addresses of the workers that live, as the scheduler last said."""
        return frozenset(self._live)

    @property
    def lost(self) -> str:
        """Return in words why nothing can be said to the cluster any more, empty if it can."""
        if self._ended.is_set():
            return "the run was ended"
        if self._client.scheduler_comm is not self._connection:
            return "the connection to the Dask scheduler broke"
        if time.monotonic() - self._heard > _SILENCE:
            return f"the Dask scheduler has said nothing for {_SILENCE:.0f} s"
        return ""

    def submit(
        self, site: str | None, address: str | None, number: int, data: bytes
    ) -> Future[TaskOutcome]:
        """Have the work ``data`` done: on the worker with ``address``, or on any at ``site``.

        Raises :class:`NoWorkerError`.
        """
        try:
            future: Future[TaskOutcome] = self._client.submit(
                dask_worker.do_host,
                own_versions(),
                self._run,
                number,
                data,
                key=f"aegis-provision-{self._run}-{number}",
                workers=None if address is None else [address],
                resources=None if site is None else {resource_of(site): _SHARE},
                retries=0,
                pure=False,
            )
        except ClosedClientError:
            raise self._no_worker(site) from None
        return future

    def outcome_of(self, future: Future[TaskOutcome]) -> TaskOutcome:
        """Return what a task ended with. Raises what Dask raises, and ``TimeoutError``."""
        outcome: TaskOutcome = future.result(LOOK_EVERY)
        return outcome

    def speak(
        self, function: Callable[..., None], *args: object, worker: str | None = None
    ) -> None:
        """Have ``function`` called with the run and ``args`` on a worker, or all; don't wait."""
        workers = None if worker is None else [worker]
        self._client.loop.add_callback(self._say, function, self._run, *args, workers=workers)

    def can_reach(self, site: str | None) -> bool:
        """Tell whether a worker reaches hosts at ``site``, or for ``None`` whether there is one."""
        if site is None:
            return bool(self._live)
        return any(resource_of(site) in resources for resources in self._live.values())

    def wait_for_worker(self, site: str | None) -> None:
        """Wait until a worker reaches ``site``: not for long, and not where none ever did.

        Raises :class:`NoWorkerError`.
        """
        name = _ANY if site is None else resource_of(site)
        with self._looked:
            while not self.can_reach(site):
                seen = self._last_there.get(name)
                left = -1.0 if seen is None else seen + _NEW_WORKER_WITHIN - time.monotonic()
                if left <= 0 or self.lost:
                    raise self._no_worker(site)
                self._looked.wait(min(left, LOOK_EVERY))
        if self.lost:
            raise self._no_worker(site)

    def _no_worker(self, site: str | None) -> NoWorkerError:
        if lost := self.lost:
            return NoWorkerError(lost, "see whether it runs, and try again")
        if site is None:
            return NoWorkerError("the Dask cluster has no worker any more", AGAIN)
        name = resource_of(site)
        return NoWorkerError(
            f"no Dask worker has the resource {name}, which 'site: {site}' asks for",
            f"start one inside that network: dask worker {self._scheduler} --resources {name}=1",
        )

    async def _say(
        self, function: Callable[..., None], *args: object, workers: Sequence[str] | None = None
    ) -> None:
        """Call ``function`` on ``workers``, or on all; to be awaited in Dask's event loop."""
        with suppress(Exception):  # a worker that did not hear asks again, or is gone
            said = self._client.run(function, *args, workers=workers, on_error="ignore")
            await asyncio.wait_for(said, _ANSWER_WITHIN)

    def _keep_looking(self) -> None:
        since = 0.0
        while not self._ended.wait(LOOK_EVERY):
            with suppress(Exception):  # a scheduler that is gone is told where work needs it
                self._look()
            since += LOOK_EVERY
            if since >= _HEAR_EVERY:
                since = 0.0
                self.speak(dask_worker.hear)

    def _look(self) -> None:
        """Look which workers there are, and which resources they have.

        Not by ``scheduler_info``: what that returns a timer of Dask's replaces, without workers.
        """
        found = self._client.sync(
            self._client.scheduler.identity, n_workers=-1, callback_timeout=_ANSWER_WITHIN
        )
        live = {address: frozenset(item["resources"]) for address, item in found["workers"].items()}
        there = frozenset({_ANY} if live else ()).union(*live.values())
        with self._looked:
            self._live = live
            self._heard = time.monotonic()
            self._last_there.update(dict.fromkeys(there, self._heard))
            self._looked.notify_all()

    def _check_workers(self) -> None:
        """Raise :class:`RefusedError` unless all workers can be used."""
        try:
            self._look()
        except Exception as problem:  # noqa: BLE001 - Dask's own, and tornado's
            raise _unreachable(self._scheduler, problem) from None
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
        found = self._client.sync(self._unlike_workers, callback_timeout=2 * _FIRST_ANSWER_WITHIN)
        others = [text for text in found if text]
        if others:
            raise RefusedError(
                f"{counted(len(others), 'Dask worker')} can't work with this process",
                "install the same versions there: pip install 'aegis-provision[dask]'",
                others,
            )

    async def _unlike_workers(self) -> list[str]:
        """Return for each worker what is wrong with it, empty for nothing."""
        return await asyncio.gather(*map(self._unlike, self._live))

    async def _unlike(self, address: str) -> str:
        asked = self._client.run(dask_worker.versions_here, workers=[address], on_error="return")
        try:
            replies: Mapping[str, Any] = await asyncio.wait_for(asked, _FIRST_ANSWER_WITHIN)
        except (OSError, TimeoutError):
            replies = {}
        there = replies.get(address, TimeoutError())
        if isinstance(there, OSError | TimeoutError):
            return f"{address}: it does not answer"
        if isinstance(there, BaseException):
            return f"{address}: aegis-provision can't be loaded there"
        other = difference(own_versions(), there)
        return f"{address}: {other}" if other else ""

    def _close(self) -> None:
        with suppress(Exception):  # where the scheduler is silent Dask tells that it waited
            self._client.close(_TIME_TO_END)


def _quieten() -> None:
    """Let Dask log nothing: what becomes of workers is told here, and it would write in between."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for name in _ITS_LOOP:
        logging.getLogger(name).addFilter(_is_not_of_dask)


def _is_not_of_dask(record: logging.LogRecord) -> bool:
    raised = record.exc_info[0] if record.exc_info else None
    return raised is None or not raised.__module__.startswith("distributed.")


def _connected(scheduler: str) -> Client:
    try:
        # A client that failed half-way would hold up later ones of this process.
        if scheduler.startswith("tls:"):
            _check_certificates()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions: they are looked at here
            return Client(scheduler, timeout=_CONNECT_WITHIN, set_as_default=False)
    except (OSError, TimeoutError) as problem:
        raise _unreachable(scheduler, problem) from None
    except (TypeError, ValueError, RuntimeError) as problem:
        raise RefusedError(
            f"the Dask scheduler {scheduler} can't be spoken to: {problem}",
            "Dask's own settings name the certificates: DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY",
        ) from None


def _unreachable(scheduler: str, problem: Exception) -> RefusedError:
    return RefusedError(
        f"the Dask scheduler {scheduler} can't be reached: {problem}",
        "is it running, and is that its address?",
    )


def _check_certificates() -> None:
    """Raise ``ValueError`` where Dask's settings name no certificates, ``OSError`` for bad ones."""
    if Security().get_connection_args("client").get("ssl_context") is None:
        raise ValueError("no certificates are configured")
