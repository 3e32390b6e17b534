"""What the gates before and after a write share: their verdicts, and tries with growing pauses.

The gates are :mod:`~.idle_gate`, :mod:`~.health_gate` and :mod:`~.provider_probe`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.aegis.api_verdict import ApiVerdict

REQUEST_TIMEOUT = 10.0
"""Seconds that one request of a gate may take."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Ok:
    """The gate is open; ``warnings`` are worth showing, ``checked`` says what was found."""

    warnings: tuple[str, ...] = ()
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The gate could not be asked, and ``message`` says why: it is neither open nor closed."""

    message: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """The gate is closed: why, and what to do next."""

    message: str
    hint: str = ""


def blocked(verdict: ApiVerdict) -> Blocked:
    """Return the closed gate of what is wrong with an API."""
    return Blocked(verdict.message, verdict.hint)


def tries(
    timeout: float,
    shortest: float,
    pause: Callable[[float], object],
    now: Callable[[], float] = time.monotonic,
) -> Iterator[float]:
    """Yield the seconds that each try may take, with growing pauses, for ``timeout`` seconds.

    There is one try at least; each may take ``shortest`` seconds even where fewer are left.
    """
    until, wait = now() + timeout, _FIRST_PAUSE
    while True:
        yield max(shortest, min(REQUEST_TIMEOUT, until - now()))
        left = until - now()
        if left <= 0:
            return
        pause(min(wait, left))
        wait = min(wait * 1.6, _LONGEST_PAUSE)
