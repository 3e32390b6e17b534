"""Many hosts at once: a bounded number of workers, results as they come, a way to stop."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stop:
    """Asks a pool to start nothing new. Safe to call from a signal handler."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask; asking again changes nothing."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Tell whether somebody asked."""
        return self._asked.is_set()


@dataclass(frozen=True, slots=True)
class _Done(Generic[Item, Result]):
    item: Item
    result: Result


@dataclass(frozen=True, slots=True)
class _Broke:
    error: BaseException


def run_all(
    items: Sequence[Item], work: Callable[[Item], Result], *, workers: int, stop: Stop
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` for every item as it is done, ``workers`` at a time.

    Once ``stop`` was asked no item is begun; those under way are still yielded. An exception out
    of ``work`` is a bug in it and is raised here. Workers are daemon threads: an operator who
    interrupts twice does not have to wait for a host that hangs until its deadline.
    """
    abandoned = Stop()
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done[Item, Result] | _Broke | None] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def worker() -> None:
        try:
            while not (stop.asked or abandoned.asked):
                try:
                    item = waiting.get_nowait()
                except queue.Empty:
                    break
                done.put(_Done(item, work(item)))
        except BaseException as error:  # noqa: BLE001 - handed on to the thread that asked
            done.put(_Broke(error))
        finally:
            done.put(None)

    count = min(workers, len(items))
    for number in range(count):
        threading.Thread(target=worker, name=f"host-worker-{number}", daemon=True).start()
    try:
        while count:
            outcome = done.get()
            if outcome is None:
                count -= 1
            elif isinstance(outcome, _Broke):
                raise outcome.error
            else:
                yield outcome.item, outcome.result
    finally:
        abandoned.ask()
