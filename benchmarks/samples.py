"""What was measured: one value for each run of a program."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Unit = Literal["seconds", "client_cpu", "far_cpu", "round_trips"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: on how many hosts, how many seconds away, what it took.

    ``client_cpu`` are seconds of the program and all that it started, ``far_cpu`` those of sshd and
    what it ran. ``round_trips`` are those of a connection after TCP, 0 where they were not counted.
    """

    contestant: str
    hosts: int
    away: float
    seconds: float
    client_cpu: float
    far_cpu: float
    peak_mb: float
    round_trips: int = 0


def value(
    samples: Iterable[Sample], contestant: str, hosts: int, away: float, unit: Unit
) -> float | None:
    """Return the median of what a contestant took, ``None`` where it was not measured."""
    found = [
        getattr(item, unit)
        for item in samples
        if (item.contestant, item.hosts, item.away) == (contestant, hosts, away)
    ]
    return median(found) if found else None
