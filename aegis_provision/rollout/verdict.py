"""What a gate before or after a write says: go on, or why not.

The gates are :mod:`~.session_wait`, :mod:`~.health_check` and :mod:`~.provider_probe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ok:
    """The gate is open; ``warnings`` are worth showing, ``checked`` says what was found."""

    warnings: tuple[str, ...] = ()
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The gate is closed: why, and what to do next."""

    message: str
    hint: str = ""


class Pause(Protocol):
    """Waits between two tries; a stop by the operator may cut it short."""

    def __call__(self, seconds: float) -> bool:
        """Wait for ``seconds``; tell whether to go on."""
        ...


REQUEST_TIMEOUT = 10.0
"""Seconds that one request of a gate may take."""

FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


def next_pause(seconds: float) -> float:
    """Return how long to pause after a pause of ``seconds``: longer, up to a bound."""
    return min(seconds * 1.6, _LONGEST_PAUSE)
