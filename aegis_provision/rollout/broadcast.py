"""Tells events to everybody who wants to know, one at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.rollout.events import Emit, Event


class Broadcast:
    """An :class:`~aegis_provision.rollout.events.Emit` for several; safe from any thread.

    Observers are told in the order in which they were named, before the call returns: what the
    first one notes down is noted when the second one shows it.
    """

    def __init__(self, observers: Sequence[Emit]) -> None:
        """Tell ``observers``."""
        self._observers = tuple(observers)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Tell everybody of ``event``."""
        with self._lock:
            for observer in self._observers:
                observer(event)
