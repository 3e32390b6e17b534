"""The pool: every item once, never too many at a time, and it stops when asked."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.rollout.thread_pool import CancelToken, run_all

if TYPE_CHECKING:
    from collections.abc import Callable


@given(items=st.lists(st.integers(), unique=True, max_size=40), threads=st.integers(1, 8))
def test_every_item_is_worked_on_once(items: list[int], threads: int) -> None:
    results = dict(run_all(items, lambda item: item * 2, threads=threads, cancel=CancelToken()))
    assert results == {item: item * 2 for item in items}


def test_never_more_threads_than_asked_for() -> None:
    together = threading.Barrier(3)
    lock = threading.Lock()
    now, most = 0, 0

    def work(_item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(timeout=30)  # passes only when three are inside at once
        with lock:
            now -= 1

    assert len(list(run_all(range(12), work, threads=3, cancel=CancelToken()))) == 12
    assert most == 3


def test_an_exception_in_the_work_is_raised_to_the_caller() -> None:
    def work(item: int) -> int:
        return 1 // item

    with pytest.raises(ZeroDivisionError):
        list(run_all([0], work, threads=1, cancel=CancelToken()))


class _Gate:
    """Work that waits until it is let through, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def work(self, item: str) -> str:
        self.begun.set()
        assert self.open.wait(timeout=30)
        return item.upper()


def _run(
    cancel: CancelToken, gate: _Gate, done: list[str], cancelled: Callable[[], None]
) -> threading.Thread:
    def consume() -> None:
        for _, result in run_all(
            ["a", "b", "c"], gate.work, threads=1, cancel=cancel, on_cancel=cancelled
        ):
            done.append(result)

    thread = threading.Thread(target=consume)
    thread.start()
    return thread


def test_stopping_lets_work_under_way_finish_and_begins_nothing_new() -> None:
    cancel, gate, cancelled, done = CancelToken(), _Gate(), threading.Event(), list[str]()
    thread = _run(cancel, gate, done, cancelled.set)
    assert gate.begun.wait(timeout=30)
    cancel.cancel()
    assert cancelled.wait(timeout=30), "the caller is told at once, not when the work is done"
    gate.open.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert done == ["A"]


def test_stopping_twice_does_not_wait() -> None:
    cancel, gate, done = CancelToken(), _Gate(), list[str]()
    thread = _run(cancel, gate, done, lambda: None)
    assert gate.begun.wait(timeout=30)
    cancel.cancel()
    cancel.cancel()
    thread.join(timeout=30)
    assert not thread.is_alive(), "it must return although the work still hangs"
    assert done == []
    gate.open.set()


def test_an_item_begins_only_where_there_is_room_for_it() -> None:
    """Here there is room for two: a third waits until one of them has ended."""
    lock = threading.Lock()
    now, most = 0, 0

    def has_room() -> bool:
        return now < 2

    def work(item: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(timeout=30)
        with lock:
            now -= 1
        return item

    together = threading.Barrier(2)
    ended = run_all(range(6), work, threads=2, cancel=CancelToken(), has_room=has_room)
    assert sorted(item for item, _ in ended) == list(range(6))
    assert most == 2
    never = run_all(range(3), str, threads=2, cancel=_Cancelled(), has_room=lambda: False)
    assert list(never) == []


class _Cancelled(CancelToken):
    def __init__(self) -> None:
        super().__init__()
        self.cancelled = True


def test_fewer_threads_than_asked_for_do_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, 2

    def start_two(thread: threading.Thread) -> None:
        nonlocal left
        if thread.name.startswith("host-thread") and not left:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    results = list(run_all(range(20), str, threads=8, cancel=CancelToken()))
    assert sorted(results) == sorted((number, str(number)) for number in range(20))
    assert left == 0
    results = list(run_all(range(3), str, threads=8, cancel=CancelToken()))
    assert results == [(0, "0"), (1, "1"), (2, "2")]


def test_how_often_threads_take_turns_is_as_before_after_a_run() -> None:
    before = sys.getswitchinterval()
    seen = dict(
        run_all(range(4), lambda _: sys.getswitchinterval(), threads=2, cancel=CancelToken())
    )
    assert min(seen.values()) > before
    assert sys.getswitchinterval() == before


def test_room_that_nothing_under_way_can_make_is_not_waited_for_long() -> None:
    looks = 0

    def has_room() -> bool:
        nonlocal looks
        looks += 1
        return looks > 200

    results = dict(run_all(["a"], str.upper, threads=1, cancel=CancelToken(), has_room=has_room))
    assert results == {"a": "A"}
    assert looks < 50
