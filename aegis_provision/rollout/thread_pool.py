"""Many hosts at once: a bounded number of threads, results as they come, a way to stop."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from aegis_provision.rollout.capacity import has_room_for_a_host
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NAP = 0.1
_LOOKS = 600
_LOOKS_ALONE = 20
_LET_GO_AFTER = 0.05

Item = TypeVar("Item")
Result = TypeVar("Result")


class CancelToken:
    """Asks for nothing new to begin, and, asked again, not to wait for what is under way.

    Safe to call from a signal handler: it sets flags and puts into a reentrant queue, no more.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.abandoned = False
        self._wake: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Ask to stop; the second time, to stop waiting too."""
        self.abandoned = self.cancelled
        self.cancelled = True
        if self._wake is not None:
            self._wake()

    def pause(self, seconds: float) -> bool:
        """Wait for ``seconds``, or until cancelled; tell whether it was not.

        Short naps rather than an event: a signal handler may not take an event's lock.
        """
        until = time.monotonic() + seconds
        while not self.cancelled and (left := until - time.monotonic()) > 0:
            time.sleep(min(_NAP, left))
        return not self.cancelled

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` at every :meth:`cancel`."""
        self._wake = wake


def run_all(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    threads: int,
    cancel: CancelToken,
    on_cancel: Callable[[], None] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
    has_room: Callable[[], bool] = has_room_for_a_host,
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` for every item as it is done, ``threads`` at a time.

    Once ``cancel`` is cancelled, ``on_cancel`` is called and no item begins; items under way are
    still yielded, unless it is cancelled again: then this returns without them. The same holds
    once ``enough`` says so, which is asked before each item. Where this machine ``has_room`` for no
    further item, one begins as soon as it has, which is looked at whenever one ends. An exception
    from ``work`` is a bug in it and is raised here; no further item begins then.
    """
    if not items:
        return
    pool = _Pool(deque(items), work, cancel, enough, has_room)
    cancel.wake_with(lambda: pool.done.put(None))
    reported = False
    with rare_thread_switches():
        try:
            pool.begin(min(threads, len(items)))
            left = len(items)
            while left:
                ended = pool.done.get()
                if cancel.cancelled and not reported:
                    reported = True
                    on_cancel()
                if cancel.abandoned:
                    return
                if ended is not None:
                    left -= 1
                    if ended.problem is not None:
                        raise ended.problem
                    yield from ended.outcome
        finally:
            pool.todo.clear()


class _SwitchInterval:
    """How many runs go on in this process, and what was set before the first of them."""

    runs = 0
    before = 0.0
    lock = threading.Lock()


@contextmanager
def rare_thread_switches() -> Iterator[None]:
    """Let a thread that waits for the interpreter ask for it less often than each 5 ms.

    Hundreds of threads wait for it at once, and each that asks costs time. The thread that holds it
    lets go at its next packet in any case, long before.
    """
    with _SwitchInterval.lock:
        if not _SwitchInterval.runs:
            _SwitchInterval.before = sys.getswitchinterval()
            sys.setswitchinterval(max(_LET_GO_AFTER, _SwitchInterval.before))
        _SwitchInterval.runs += 1
    try:
        yield
    finally:
        with _SwitchInterval.lock:
            _SwitchInterval.runs -= 1
            if not _SwitchInterval.runs:
                sys.setswitchinterval(_SwitchInterval.before)


@dataclass(frozen=True, slots=True)
class _Ended(Generic[Item, Result]):
    """How an item ended: with an outcome, with a bug in the work, or before it began."""

    outcome: tuple[tuple[Item, Result], ...] = ()
    problem: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Pool(Generic[Item, Result]):
    """The threads that work on items, each on one after the other."""

    todo: deque[Item]
    work: Callable[[Item], Result]
    cancel: CancelToken
    enough: Callable[[], bool]
    has_room: Callable[[], bool]
    done: SimpleQueue[_Ended[Item, Result] | None] = field(default_factory=SimpleQueue)
    changed: threading.Condition = field(default_factory=threading.Condition)
    busy: set[int] = field(default_factory=set)

    def begin(self, threads: int) -> None:
        """Start as many ``threads`` as this machine lets us, one at least."""
        for number in range(threads):
            try:
                threading.Thread(target=self._run, name=f"host-thread_{number}").start()
            except RuntimeError:  # no more threads: there are fewer then
                if number == 0:
                    self._run()
                return

    def _run(self) -> None:
        while self.todo:
            self._wait_for_room()
            try:
                item = self.todo.popleft()
            except IndexError:
                return
            self.busy.add(threading.get_ident())
            self.done.put(self._ended(item))
            self.busy.discard(threading.get_ident())
            with self.changed:
                self.changed.notify()

    def _ended(self, item: Item) -> _Ended[Item, Result]:
        if self.cancel.cancelled or self.enough():
            return _Ended()
        try:
            return _Ended(((item, self.work(item)),))
        except BaseException as problem:  # noqa: BLE001 - it is raised where the items go
            return _Ended(problem=problem)

    def _wait_for_room(self) -> None:
        """Wait until there is room, or in vain: then the work itself says what is missing.

        Where no item is under way that could make room, that is soon.
        """
        for look in range(_LOOKS):
            if self.cancel.cancelled or not self.todo or self.has_room():
                return
            if look >= _LOOKS_ALONE and not self.busy:
                return
            with self.changed:
                self.changed.wait(_NAP)
