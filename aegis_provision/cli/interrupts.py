"""Ctrl-C and other signals that end the process or cancel a run."""

from __future__ import annotations

import os
import selectors
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
    from typing import TextIO

    from aegis_provision.rollout.thread_pool import CancelToken

    Handler = Callable[[int, FrameType | None], object] | int | None

PATIENCE = 2.0
"""How many seconds after the first signal further ones are ignored."""

_AGAIN = 0.01
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessSignals:
    """Handles SIGINT and SIGTERM for the process, except while a run writes.

    The first signal raises :class:`KeyboardInterrupt`. Further ones are ignored, as many people
    press Ctrl-C more than once; after :data:`PATIENCE` seconds one ends the process at once.
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
        """Handle the signals, except those that were ignored before.

        Python prints an exception that a destructor or a callback raises, and goes on: an interrupt
        would be lost there. It is raised again a moment later.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.take)
        signal.signal(signal.SIGALRM, _take_again)
        sys.unraisablehook = self._unraisable

    def end(self) -> None:
        """From now on ignore all signals: the process is about to end."""
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
    """Handles signals in a run: they interrupt it, or, while hosts are written, cancel it."""

    def __init__(self, cancel: CancelToken, before: Mapping[signal.Signals, Handler]) -> None:
        """Begin with the handlers from ``before``."""
        self._cancel = cancel
        self._before = before
        self._writing = False

    def writing_begins(self) -> None:
        """From now on let signals cancel the run rather than raise: a write must not break off."""
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
    """Handle SIGINT, SIGTERM and SIGHUP while the block runs. For the main thread only.

    A signal that was ignored before (``nohup``, a shell's background job) stays so.
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


def wait_for_input(terminal: TextIO) -> None:
    """Wait until ``terminal`` can be read; a signal's handler runs, and may raise, at once.

    For the main thread only. A read alone does not notice a signal that comes just before it
    blocks, or one that another thread takes: Python runs handlers between two of its own steps.
    """
    wakened, waker = os.pipe()
    os.set_blocking(wakened, False)
    os.set_blocking(waker, False)
    before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(terminal, selectors.EVENT_READ)
            selector.register(wakened, selectors.EVENT_READ)
            while all(key.fileobj is not terminal for key, _ in selector.select()):
                os.read(wakened, 512)
    finally:
        signal.set_wakeup_fd(before)
        os.close(wakened)
        os.close(waker)
