"""What happens while many hosts are worked on, as values. Events carry meaning, never looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aegis_provision.planning.model import HostPlan
    from aegis_provision.rollout.outcome import HostResult
    from aegis_provision.transport.protocol import AcceptedKey


@dataclass(frozen=True, slots=True)
class ReadingStarted:
    """Reading begins; ``hosts`` is how many there are."""

    hosts: int


@dataclass(frozen=True, slots=True)
class HostPlanned:
    """One host was read (or could not be) and has a plan."""

    plan: HostPlan


@dataclass(frozen=True, slots=True)
class KeysAccepted:
    """Host keys that were taken on trust on the way to ``host``."""

    host: str
    keys: tuple[AcceptedKey, ...]


@dataclass(frozen=True, slots=True)
class WritingStarted:
    """Writing begins; ``hosts`` is how many there are to write."""

    hosts: int


@dataclass(frozen=True, slots=True)
class HostFinished:
    """One host's work in this run is over."""

    result: HostResult


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The operator asked to stop: nothing new starts, ``running`` hosts still finish."""

    running: int


Event = ReadingStarted | HostPlanned | KeysAccepted | WritingStarted | HostFinished | StopRequested


class Emit(Protocol):
    """Takes events as they happen, always from the thread that started the work."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        ...
