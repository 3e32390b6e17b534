"""Many hosts at once: a bounded number of workers, results as they come, a way to stop."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NAP = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


class CancelToken:
    """Asks a pool to begin nothing new, and, asked again, not to wait for what is under way.

    Safe to call from a signal handler: it sets flags and puts into a reentrant queue, no more.
    """

    def __init__(self) -> None:
        self.asked = False
        self.abandoned = False
        self._wake: Callable[[], None] | None = None

    def ask(self) -> None:
        """Ask to stop; the second time, to stop waiting too."""
        self.abandoned = self.asked
        self.asked = True
        if self._wake is not None:
            self._wake()

    def pause(self, seconds: float) -> bool:
        """Wait for ``seconds``, less once somebody asks to stop; tell whether nobody has.

        Short naps rather than an event: a signal handler may not take an event's lock.
        """
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(_NAP, left))
        return not self.asked

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` whenever somebody asks, so that nobody sleeps through it."""
        self._wake = wake


@dataclass(frozen=True, slots=True)
class _Done(Generic[Item, Result]):
    item: Item
    result: Result


@dataclass(frozen=True, slots=True)
class _Broke:
    error: BaseException


class _WorkerLeft:
    pass


class _Asked:
    pass


def run_all(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    workers: int,
    stop: CancelToken,
    on_stop: Callable[[], None] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` for every item as it is done, ``workers`` at a time.

    Once ``stop`` was asked no item is begun and ``on_stop`` is called; items under way are still
    yielded, unless it is asked again. Workers ask ``enough`` before each item: once it says so, no
    further item is begun. An exception out of ``work`` is a bug in it and is raised
    here. Workers are daemon threads: who interrupts twice need not wait for a host that hangs
    until its deadline.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done[Item, Result] | _Broke | _WorkerLeft | _Asked]
    done = queue.SimpleQueue()
    left = threading.Event()
    for item in items:
        waiting.put(item)
    stop.wake_with(lambda: done.put(_Asked()))

    def over() -> bool:
        return stop.asked or left.is_set() or enough()

    count = min(workers, len(items))
    for number in range(count):
        threading.Thread(
            target=_work_off,
            args=(waiting, done, work, over),
            name=f"host-worker-{number}",
            daemon=True,
        ).start()
    told = False
    try:
        while count:
            outcome = done.get()
            if stop.asked and not told:
                told = True
                on_stop()
            if stop.abandoned:
                return
            match outcome:
                case _WorkerLeft():
                    count -= 1
                case _Broke(error):
                    raise error
                case _Done(item, result):
                    yield item, result
                case _Asked():
                    pass
    finally:
        left.set()


def _work_off(
    waiting: queue.SimpleQueue[Item],
    done: queue.SimpleQueue[_Done[Item, Result] | _Broke | _WorkerLeft | _Asked],
    work: Callable[[Item], Result],
    over: Callable[[], bool],
) -> None:
    try:
        while not over():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
            done.put(_Done(item, work(item)))
    except BaseException as error:  # noqa: BLE001 - handed on to the thread that asked
        done.put(_Broke(error))
    finally:
        done.put(_WorkerLeft())
