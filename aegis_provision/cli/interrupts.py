"""Ctrl-C and a polite kill, while hosts are being written."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from aegis_provision.rollout.pool import Stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask ``stop`` rather than raise, for as long as the block runs.

    A write that is under way must finish or fail in order; an exception in the middle of the
    program could do neither. Call it in the main thread, the only one that Python gives signals.
    """

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.ask()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
