"""Ctrl-C and a polite kill, while hosts are being written."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aegis_provision.cli.invocation import note_written
from aegis_provision.operations.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from aegis_provision.rollout.worker_pool import CancelToken

    Handler = Callable[[int, FrameType | None], object] | int | None

PATIENCE = 2.0
"""How many seconds after the first signal a further one is still passed over."""

_AGAIN = 0.01
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessSignals:
    """What Ctrl-C and a polite kill mean to the process as a whole, outside of a run's writing.

    The first raises :class:`KeyboardInterrupt`, so that what is under way ends in order and the
    exit code says so. What follows while that goes on is passed over, as most who press Ctrl-C
    press it more than once; after :data:`PATIENCE` seconds it ends the process there and then.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """Change nothing yet; ``clock`` tells the time in seconds, ``leave`` ends the process."""
        self._clock = clock
        self._leave = leave
        self._taken: float | None = None
        self._over = False

    def begin(self) -> None:
        """Take the signals of the process, those that were ignored before excepted.

        Python tells of an exception in a destructor or a callback, and goes on; there an interrupt
        would be lost, and shown with a traceback. It is taken again a moment later.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.take)
        signal.signal(signal.SIGALRM, _take_again)
        sys.unraisablehook = self._unraisable

    def end(self) -> None:
        """From now on pass over all signals: the process is about to leave."""
        self._over = True

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal. Raises :class:`KeyboardInterrupt` at the first."""
        if self._over:
            return
        now = self._clock()
        if self._taken is None:
            self._taken = now
            raise KeyboardInterrupt
        if now - self._taken > PATIENCE:
            self._leave(ExitCode.INTERRUPTED)

    def _unraisable(self, raised: sys.UnraisableHookArgs) -> None:
        if issubclass(raised.exc_type, ResourceWarning) and self._taken is not None:
            return  # of a file that the import held open which the interrupt broke off
        if not issubclass(raised.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(raised)
            return
        self._taken = None
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _take_again(_number: int, frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handler(number, frame)
            return


class Interrupts:
    """What a signal means: the end at once, or, while hosts are written, a cancelled run."""

    def __init__(self, cancel: CancelToken, before: Mapping[signal.Signals, Handler]) -> None:
        """Begin with the end at once: with what ``before`` says of each signal."""
        self._cancel = cancel
        self._before = before
        self._writing = False

    def writing_begins(self) -> None:
        """From now on let signals cancel ``cancel`` rather than raise.

        A write that is under way must finish or fail in order; an exception in the middle of the
        program could do neither.
        """
        self._writing = True
        note_written()

    def take(self, number: int, frame: FrameType | None) -> None:
        """Take a signal. Raises :class:`KeyboardInterrupt` as long as nothing is written."""
        if self._writing:
            self._cancel.cancel()
            return
        before = self._before[signal.Signals(number)]
        if callable(before):
            before(number, frame)
        else:
            signal.default_int_handler(number, frame)


@contextmanager
def interrupts(cancel: CancelToken) -> Iterator[Interrupts]:
    """Take Ctrl-C, a polite kill and a lost terminal for as long as the block runs.

    A signal that was ignored before (``nohup``, a shell's background job) stays so. Call it in
    the main thread, the only one that Python gives signals.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = Interrupts(cancel, before)
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handlers.take)
    try:
        yield handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
