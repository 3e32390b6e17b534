"""Many hosts at once: a bounded number of workers, results as they come, a way to stop."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

_NAP = 0.1

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
    workers: int,
    cancel: CancelToken,
    on_cancel: Callable[[], None] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` for every item as it is done, ``workers`` at a time.

    Once ``cancel`` is cancelled, ``on_cancel`` is called and no item begins; items under way are
    still yielded, unless it is cancelled again: then this returns without them. The same holds
    once ``enough`` says so, which is asked before each item. An exception from ``work`` is a bug in
    it and is raised here; no further item begins then.
    """
    if not items:
        return
    done: SimpleQueue[Future[tuple[Item, Result] | None] | None] = SimpleQueue()
    cancel.wake_with(lambda: done.put(None))

    def begin(item: Item) -> tuple[Item, Result] | None:
        return None if cancel.cancelled or enough() else (item, work(item))

    executor = ThreadPoolExecutor(workers, "host-worker")
    reported = False
    try:
        for item in items:
            executor.submit(begin, item).add_done_callback(done.put)
        left = len(items)
        while left:
            future = done.get()
            if cancel.cancelled and not reported:
                reported = True
                on_cancel()
            if cancel.abandoned:
                return
            if future is not None:
                left -= 1
                outcome = future.result()
                if outcome is not None:
                    yield outcome
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
