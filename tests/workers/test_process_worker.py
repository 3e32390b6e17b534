"""What runs in a worker process: as many threads as this machine lets us begin."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from aegis_provision.workers.process_worker import WorkThreads

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def threads_left(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How many threads may still be begun, as the length of a list."""
    left: list[None] = []
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def start_one(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    return left


@pytest.mark.parametrize("most", [1, 2, 9])
def test_all_work_is_done_however_few_threads_there_are(
    most: int, threads_left: list[None]
) -> None:
    threads_left.extend([None] * most)
    threads = WorkThreads()
    assert len(threads_left) == most - 1, "the first is begun before others may take them all"
    begun: SimpleQueue[int] = SimpleQueue()
    go_on = threading.Event()
    for number in range(5):

        def work(number: int = number) -> None:
            begun.put(number)
            go_on.wait(30)

        threads.run(work)
    at_once = {begun.get(timeout=30) for _ in range(min(most, 5))}
    go_on.set()
    rest = {begun.get(timeout=30) for _ in range(5 - len(at_once))}
    assert at_once | rest == set(range(5))
    assert len(threads_left) == max(0, most - 5)


def test_without_any_thread_it_is_told(threads_left: list[None]) -> None:
    with pytest.raises(RuntimeError):
        WorkThreads()
    assert not threads_left
