"""Tells events to everybody who wants to know, one at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.rollout.events import Emit, Event


class EventBus:
    """An :class:`~aegis_provision.rollout.events.Emit` for several; safe from any thread.

    Observers are told in the order in which they were named, before the call returns: what the
    first one notes down is noted when the second one shows it. Hosts are being written meanwhile,
    so what an observer raises goes no further: it is told of nothing more, and ``bugs`` has the
    exception.
    """

    def __init__(self, observers: Sequence[Emit], bugs: list[Exception] | None = None) -> None:
        """Tell ``observers``; what they raise is added to ``bugs``."""
        self.bugs = [] if bugs is None else bugs
        self._observers = list(observers)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Tell everybody of ``event``."""
        with self._lock:
            for observer in tuple(self._observers):
                try:
                    observer(event)
                except Exception as bug:  # noqa: BLE001 - nothing that shows a run may stop it
                    self._observers.remove(observer)
                    self.bugs.append(bug)
