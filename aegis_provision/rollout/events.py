"""What happens while many hosts are worked on, as values. Events carry meaning, never looks.

They are told in the order in which they happen, one at a time, in the thread in which they
happen. Each observer stamps them with a time of its own. ``event_codec`` turns them into JSON and
back; ``run_state`` turns them into what is known of a run.
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
    from aegis_provision.transport.options import AcceptedKey


class Step(StrEnum):
    """What is being done on a host."""

    CONNECT = "connect"
    PREFLIGHT = "preflight"
    WRITE = "write"
    WAIT_FOR_SESSIONS = "wait_for_sessions"
    RESTART = "restart"
    VERIFY = "verify"
    ROLL_BACK = "roll_back"

    @property
    def words(self) -> str:
        """Return what an operator reads."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class ReadingStarted:
    """Reading begins; ``count`` is how many hosts there are."""

    count: int


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
    """The run begins: ``run`` is the run's name, ``plans`` what was read and agreed to.

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
class FileDigest:
    """A file without its content: a keyed digest of it, ``mode`` as ``"0600"``, its owner."""

    digest: str
    mode: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """The file from before a write and the one from after it, ``None`` for no file.

    ``secrets`` names the sensitive variables that differ between the two.
    """

    before: FileDigest | None
    after: FileDigest | None
    secrets: tuple[str, ...] = ()

    @property
    def changes_content(self) -> bool:
        """Tell whether the content differs: a write may put right a mode or an owner alone."""
        return _digest(self.before) != _digest(self.after)


def _digest(file: FileDigest | None) -> str | None:
    return file.digest if file is not None else None


@dataclass(frozen=True, slots=True)
class WriteBegun:
    """The host's file is about to be replaced. The run's record holds this before it happens."""

    host: str
    change: FileChange


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
    """One host's work in the play with index ``play`` is over.

    ``play`` is ``None`` in a record for a result that only the end of the run told: of a host that
    was never begun, or that was interrupted.
    """

    play: int | None
    result: HostResult


@dataclass(frozen=True, slots=True)
class PauseStarted:
    """The run waits ``seconds`` before the next batch."""

    seconds: float


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """More hosts failed than the play with index ``play`` allows; nothing new begins.

    ``message`` shows the arithmetic; ``failed`` names the hosts that count.
    """

    play: int
    message: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The operator asked to stop: nothing new starts, ``running`` hosts still finish."""

    running: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over: ``results`` holds each host's end in the schedule's order.

    In a record ``results`` is empty: each host has a :class:`HostFinished` of its own.
    """

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
    | WriteBegun
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
