"""One host's work as a value, and who does it: the boundary between deciding and doing.

**The operator's process decides**: inventory, schedule, batches, budget, the record, the display,
Ctrl-C, which host keys are taken on trust. It holds masked plans alone
(:func:`~.plan.without_contents`). **An executor does** one host's work: it connects, reads and
plans; later it locks, writes, restarts, verifies and restores. :class:`~.host_worker.HostWorker`
does it in the process that it lives in; :class:`~.remote_executor.RemoteExecutor` carries the
values below to a ``HostWorker`` elsewhere, and the calls and outcomes back.

The contract of an :class:`Executor`:

- ``read`` and ``run`` block until the host's work is over. They are called from as many threads at
  once as the operator wants hosts at once (``--forks``), one call for each host: an executor limits
  nothing and decides no order.
- What goes there is one value, :class:`ReadHost` or :class:`RunHost`. Every secret in it is a
  :class:`~.secret.Secret`, which refuses to be pickled: :mod:`~.secret_pickle` takes them out, and
  they travel apart.
- What comes back is masked: a reading without secrets, a :class:`~.results.HostResult`, events that
  are redacted. Of a host's file nothing leaves the worker but changes and keyed digests.
- While it works, a host makes :class:`Calls` on the operator's process. ``emit`` tells the events
  of one host in their order, before the outcome is returned. ``before_write`` is a question: no
  write begins before it has returned, and none if it raised. Each is made in the thread that
  called ``read`` or ``run``, or in one that the call waits for.
- A host stays where it was read, as its connection and its whole plan are there. A worker without
  them reads the host again, and goes on only if the plan has the digests of the masked one.
- ``cancel`` tells the hosts under way to stop waiting (for sessions to end, say); they still finish
  what they are at. On leaving the block an executor ends its workers.
- A host's failure is never raised. What an executor itself can't do (a worker that died) becomes
  the reading or the result of the host: truthfully, also if a write was under way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, Self, TypeVar

from aegis_provision.rollout.host_job import RecordError
from aegis_provision.rollout.thread_pool import CancelToken
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.errors import Unreachable
    from aegis_provision.planning.digests import DigestKey
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.rollout.events import Emit, FileChange, WriteBegun
    from aegis_provision.rollout.host_job import HostJob, HostTask
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.transport.connect_options import AcceptedKey
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.host_session import HostSession
    from aegis_provision.transport.lock import LockOwner


class HasSecrets(Protocol):
    """What was read of a host; ``secrets`` are those in its file."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must be masked in any text about the host."""
        ...


Reading = TypeVar("Reading", bound=HasSecrets)
Made_co = TypeVar("Made_co", bound=HasSecrets, covariant=True)


class HostReader(ABC, Generic[Made_co]):
    """Makes a reading of a host: its plan, its status. A value that can be pickled."""

    @abstractmethod
    def read(self, job: HostJob, session: HostSession, deadline: Deadline) -> Made_co:
        """Read the host over an open session. Raises :class:`Unreachable`."""

    @abstractmethod
    def unreachable(self, job: HostJob, problem: Unreachable) -> Made_co:
        """Return the reading of a host that could not be read."""

    def job_after(self, job: HostJob, plan: HostPlan) -> HostJob:  # noqa: ARG002 - for rollbacks
        """Return ``job`` as plays carry it out, once the host has its whole plan."""
        return job


@dataclass(frozen=True, slots=True)
class ReadHost(Generic[Reading]):
    """To read one host."""

    job: HostJob
    reader: HostReader[Reading]


@dataclass(frozen=True, slots=True)
class HostRead(Generic[Reading]):
    """What was read of one host, and the host keys that were taken on trust on the way."""

    reading: Reading
    accepted: tuple[AcceptedKey, ...] = ()


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What the work on every host of a run needs of the run.

    ``run`` is the run's name, which receipts hold; ``owner`` is whom the locks name, ``digest``
    makes the record's digests. Locks are renewed after ``renew_every`` seconds of waiting.
    """

    run: str
    owner: LockOwner
    digest: DigestKey
    renew_every: float = 60.0


@dataclass(frozen=True, slots=True)
class RunHost:
    """To do one host's part in one play; its plan is a masked one.

    ``reader`` made the plan, and makes it again where the whole one is not kept any more.
    """

    task: HostTask
    reader: HostReader[HasSecrets]
    terms: RunTerms


def _nothing_is_written(_host: str, _change: FileChange) -> NoReturn:
    raise RecordError("nothing is written while hosts are read")


@dataclass(frozen=True, slots=True)
class Calls:
    """What the work on a host calls in the operator's process.

    ``before_write`` records that a write is about to begin on a host, so that it is known even if
    the operator's process dies, and returns the event that says so; it raises :class:`RecordError`.
    """

    emit: Emit
    before_write: Callable[[str, FileChange], WriteBegun] = _nothing_is_written
    cancel: CancelToken = field(default_factory=CancelToken)


class Executor(Protocol):
    """Does hosts' work: see the module's contract. A context manager."""

    @property
    def forks(self) -> int:
        """Return how many hosts the operator wants to be worked on at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self, work: ReadHost[Reading], calls: Calls) -> HostRead[Reading]:
        """Read a host. What was read of it has no secret in it."""
        ...

    def run(self, work: RunHost, calls: Calls) -> HostResult:
        """Do a host's part in a play, and return how it ended."""
        ...

    def cancel(self) -> None:
        """Tell hosts under way that the operator asked to stop."""
        ...
