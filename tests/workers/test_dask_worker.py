"""What runs in a Dask worker: it asks until it is answered or the run ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.workers.dask_messages import Ended, Said, topic_of
from aegis_provision.workers.dask_worker import RunOnWorker
from aegis_provision.workers.secret_pickle import plain

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.workers.dask_messages import Message

RUN = "0a1b2c"


@dataclass
class Dask:
    """What a run has of Dask on a worker: a way to send messages, some of which are lost."""

    local_directory: str
    address: str = "tcp://127.0.0.1:1"
    told: list[Message] = field(default_factory=list)
    third: threading.Event = field(default_factory=threading.Event)

    def log_event(self, topic: str, msg: Message) -> None:
        assert topic == topic_of(RUN)
        self.told.append(msg)
        if len(self.told) == 3:
            self.third.set()


def asking(dask: Dask) -> tuple[RunOnWorker, threading.Thread, list[object]]:
    """Begin a host's work that asks for the third time; return what it came to as a list."""
    run = RunOnWorker(RUN, dask, patience=0.01)
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(run.do(7, b"")))
    thread.start()
    assert dask.third.wait(30)
    return run, thread, ended


def test_what_is_lost_on_the_way_is_asked_again_with_the_same_number(tmp_path: Path) -> None:
    dask = Dask(str(tmp_path))
    run, thread, ended = asking(dask)
    [(said, number, question)] = {message[:3] for message in dask.told}
    assert (said, number) == (Said.BEGIN, 7)
    run.answer(question, plain(None))
    run.answer(question, plain(None))
    thread.join(30)
    assert ended == [(Ended.LEFT, 0, b"")]
    run.end()


def test_who_waits_for_an_answer_is_let_go_at_the_end(tmp_path: Path) -> None:
    dask = Dask(str(tmp_path))
    run, thread, ended = asking(dask)
    run.end()
    thread.join(30)
    assert ended == [(Ended.LEFT, 0, b"")]
    assert not list(tmp_path.iterdir())
