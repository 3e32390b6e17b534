"""How long work on a host may take: a deadline for all of it, and a bound for each step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from aegis_provision.errors import Unreachable
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.errors import Stage

_CLOCK_GRAIN = 0.01


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment (``time.monotonic`` seconds) by which all work on a host must be done."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left, never less than zero."""
        return max(0.0, self.at - time.monotonic())

    def extended(self, seconds: float) -> Self:
        """Return a deadline that is later by ``seconds``."""
        return type(self)(self.at + seconds)

    def expired(self) -> bool:
        """Tell whether no useful time is left."""
        return self.remaining() < _CLOCK_GRAIN

    def step_timeout(self, longest: float) -> float:
        """Return how many seconds the next step may take, ``longest`` at most.

        Raises :class:`Unreachable` where no time is left.
        """
        if self.expired():
            raise deadline_expired("deadline")
        return min(longest, self.remaining())


def deadline_expired(step: str, stage: Stage | None = None) -> Unreachable:
    """Return the error for a deadline that expired at ``step``."""
    return Unreachable(step, "the host's deadline passed", "raise --deadline", stage=stage)
