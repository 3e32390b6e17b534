"""A worker process: it does hosts' work for the operator's process, which started it.

Its input is a socket, and all that it knows came over that: no argument, no environment, no file
holds a secret. When the socket ends so does the process: what it does could not be recorded.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from aegis_provision.errors import shortage_of
from aegis_provision.workers.process_messages import Kind, MessageStream
from aegis_provision.workers.secret_pickle import plain, read_plain, read_with_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aegis_provision.rollout.events import Event, FileChange, WriteBegun
    from aegis_provision.rollout.thread_pool import CancelToken
    from aegis_provision.transport.ssh.known_hosts import KeyVerdict
    from aegis_provision.transport.ssh.public_keys import HostKey
    from aegis_provision.workers.remote_host_worker import RemoteHostWorker, WorkerSetUp

_TIME_TO_CLOSE = 2.0


def main() -> None:
    """Work until the socket on standard input ends."""
    stream = MessageStream(_take_input())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # as in the operator's process, until what stays has been loaded
    gc.set_threshold(100_000)
    # As in the operator's process: paramiko would load much that is not used.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
    threads = WorkThreads()
    try:
        stream.send(Kind.READY, 0)
        _, _, body = stream.receive()
        set_up: WorkerSetUp = read_with_secrets(body)
        _Server(stream, set_up, threads).run()
    except (EOFError, OSError):
        pass
    sys.exit()


def _end_soon() -> None:
    """End the process after a moment in any case: an operator's that is gone can't kill it.

    What is still under way can't be told any more; but connections end in order, if quickly.
    """
    patience = threading.Timer(_TIME_TO_CLOSE, os._exit, (0,))
    patience.daemon = True
    patience.start()


def _take_input() -> int:
    """Return the socket on standard input under another number; nothing else can use it then."""
    descriptor = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return descriptor


class _Server:
    """Does the work that comes over ``stream``, as many hosts at once as come."""

    def __init__(self, stream: MessageStream, set_up: WorkerSetUp, threads: WorkThreads) -> None:
        from aegis_provision.rollout.thread_pool import CancelToken
        from aegis_provision.workers.remote_host_worker import RemoteHostWorker

        self._stream = stream
        self._cancel: CancelToken = CancelToken()
        self._answers: dict[int, SimpleQueue[bytes]] = {}
        self._questions = itertools.count(1)
        self._threads = threads
        self._worker: RemoteHostWorker = RemoteHostWorker(set_up, self._save_key)

    def run(self) -> None:
        """Take work until the stream ends. Raises ``EOFError`` and ``OSError`` then."""
        from aegis_provision.rollout.thread_pool import rare_thread_switches

        gc.freeze()
        gc.enable()
        with self._worker, rare_thread_switches():
            try:
                while True:
                    self._take(*self._stream.receive())
            finally:
                _end_soon()

    def _take(self, kind: Kind, number: int, body: bytes) -> None:
        match kind:
            case Kind.WORK:
                self._threads.run(partial(self._do, number, body))
            case Kind.ANSWER:
                self._answers[number].put(body)
            case _:  # CANCEL
                self._cancel.cancel()

    def _do(self, number: int, body: bytes) -> None:
        from aegis_provision.rollout.host_work import Calls
        from aegis_provision.workers.remote_host_worker import frames_of

        def emit(event: Event) -> None:
            self._stream.send(Kind.EVENT, number, plain(event))

        def before_write(host: str, change: FileChange) -> WriteBegun:
            begun: WriteBegun = self._ask(Kind.BEFORE_WRITE, number, (host, change))
            return begun

        calls = Calls(emit, before_write, self._cancel)
        try:
            done = Kind.DONE, plain(self._worker.do(read_with_secrets(body), calls))
        except Exception as bug:  # noqa: BLE001 - told where it can be seen, without any value
            done = Kind.BUG, plain((type(bug).__name__, frames_of(bug), shortage_of(bug)))
        with suppress(OSError):  # the operator's process is gone, and so will this one be
            self._stream.send(done[0], number, done[1])

    def _ask(self, kind: Kind, number: int, question: object) -> Any:
        """Ask the operator's process, and return what it answers, or raise it."""
        mine = next(self._questions)
        queue = self._answers[mine] = SimpleQueue()
        self._stream.send(kind, number, plain((mine, question)))
        answer = read_plain(queue.get())
        del self._answers[mine]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _save_key(self, paths: Sequence[Path], names: Sequence[str], key: HostKey) -> KeyVerdict:
        from aegis_provision.workers.remote_host_worker import KeyToSave

        wanted = KeyToSave(tuple(paths), tuple(names), key)
        verdict: KeyVerdict = self._ask(Kind.SAVE_KEY, 0, wanted)
        return verdict


class WorkThreads:
    """Threads that are begun when all others are busy, and end with the process.

    Where this machine lets us begin no more, work waits for one of those that there are. The first
    is begun before there is work: the operator's process, which waits for that, may need the rest.
    """

    def __init__(self) -> None:
        """Begin the first. Raises ``RuntimeError`` where not even that can be begun."""
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()
        self._idle.release()

    def run(self, work: Callable[[], None]) -> None:
        """Have ``work`` done."""
        self._waiting.put(work)
        if not self._idle.acquire(blocking=False):
            with suppress(RuntimeError):
                threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self._waiting.get()()
                self._idle.release()
        finally:
            # Not even the bug could be told, for want of memory: the operator's process would wait
            # for an answer for ever. It knows what to do where a worker is gone.
            os._exit(1)


if __name__ == "__main__":
    main()
