"""Ctrl-C and a polite kill, while hosts are being written."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from aegis_provision.rollout.pool import Stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """What a signal means: the end at once, or, while hosts are written, that ``stop`` is asked."""

    def __init__(self, stop: Stop) -> None:
        """Begin with the end at once."""
        self._stop = stop
        self._writing = False

    def writing_begins(self) -> None:
        """From now on let signals ask ``stop`` rather than raise.

        A write that is under way must finish or fail in order; an exception in the middle of the
        program could do neither.
        """
        self._writing = True

    def take(self, number: int, frame: FrameType | None) -> None:
        """Take a signal. Raises :class:`KeyboardInterrupt` as long as nothing is written."""
        if self._writing:
            self._stop.ask()
        else:
            signal.default_int_handler(number, frame)


@contextmanager
def interrupts(stop: Stop) -> Iterator[Interrupts]:
    """Take Ctrl-C, a polite kill and a lost terminal for as long as the block runs.

    A signal that was ignored before (``nohup``, a shell's background job) stays so. Call it in
    the main thread, the only one that Python gives signals.
    """
    taker = Interrupts(stop)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, taker.take)
    try:
        yield taker
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
