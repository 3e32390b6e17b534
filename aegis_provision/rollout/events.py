"""What happens while many hosts are worked on, as values. Events carry meaning, never looks.

They are told in the order in which they happen, one at a time, in the thread in which they
happen. Whoever takes them stamps them with a time of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.playbook.plays import Schedule
    from aegis_provision.rollout.results import HostResult
    from aegis_provision.transport.protocol import AcceptedKey


class Step(StrEnum):
    """What is being done on a host."""

    CONNECT = "connect"
    PREFLIGHT = "preflight"
    WRITE = "write"
    WAIT_FOR_SESSIONS = "wait for sessions"
    RESTART = "restart"
    VERIFY = "verify"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class ReadingStarted:
    """Reading begins; ``hosts`` is how many there are."""

    hosts: int


@dataclass(frozen=True, slots=True)
class HostPlanned:
    """One host was read (or could not be) and has a plan."""

    plan: HostPlan


@dataclass(frozen=True, slots=True)
class HostChecked:
    """One host was looked at (or could not be), and it is known how it stands."""

    status: HostStatus


@dataclass(frozen=True, slots=True)
class KeysAccepted:
    """Host keys that were taken on trust on the way to ``host``."""

    host: str
    keys: tuple[AcceptedKey, ...]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Carrying out begins: ``run`` is the run's name, ``plans`` what was read and agreed to.

    ``plans`` are those of ``schedule.hosts``, in that order.
    """

    run: str
    schedule: Schedule
    plans: tuple[HostPlan, ...]


@dataclass(frozen=True, slots=True)
class PlayStarted:
    """The play with index ``play`` (from 0) of the schedule begins."""

    play: int


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The batch with index ``batch`` (from 0) of a play begins."""

    play: int
    batch: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A host has come to ``step``; ``detail`` may say more (how many sessions are running)."""

    host: str
    step: Step
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HostWritten:
    """The host's file is the new one, checked by reading it back."""

    host: str


@dataclass(frozen=True, slots=True)
class HostRestarted:
    """Aegis was restarted on the host: what the file holds is in effect."""

    host: str


@dataclass(frozen=True, slots=True)
class HostRolledBack:
    """The host's file is the one from before again."""

    host: str


@dataclass(frozen=True, slots=True)
class HostFinished:
    """One host's work in the play with index ``play`` is over."""

    play: int
    result: HostResult


@dataclass(frozen=True, slots=True)
class PauseStarted:
    """The run waits ``seconds`` before the next batch."""

    seconds: float


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """More hosts failed than the play with index ``play`` allows; nothing new begins.

    ``words`` shows the arithmetic; ``failed`` names the hosts that count.
    """

    play: int
    words: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The operator asked to stop: nothing new starts, ``running`` hosts still finish."""

    running: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over: ``results`` holds each host's end in the schedule's order."""

    results: tuple[HostResult, ...]
    exit_code: int


Event = (
    ReadingStarted
    | HostPlanned
    | HostChecked
    | KeysAccepted
    | RunStarted
    | PlayStarted
    | BatchStarted
    | StepStarted
    | HostWritten
    | HostRestarted
    | HostRolledBack
    | HostFinished
    | PauseStarted
    | BudgetSpent
    | StopRequested
    | RunFinished
)


class Emit(Protocol):
    """Takes events as they happen, one at a time."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        ...
