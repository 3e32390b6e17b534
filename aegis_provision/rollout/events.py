"""What happens while many hosts are worked on, as values. Events carry meaning, never looks.

The bus passes them to observers in the order in which they happen, one at a time, in the thread in
which they happen. Each observer stamps them with a time of its own; ``run_state`` makes of them
what is known of a run. As JSON they are the record of a run, and a stream for programs.
"""

from __future__ import annotations

import re
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from aegis_provision.documents.json_codec import DecodeError, JsonCodec
from aegis_provision.planning.plan import resulting_file
from aegis_provision.playbook.plays import Gates, Play, Schedule, Verify
from aegis_provision.rollout.results import HostResult
from aegis_provision.transport.connect_options import AcceptedKey
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.diagnosis.checks import HostChecks
    from aegis_provision.planning.plan import HostPlan, Write
    from aegis_provision.planning.status import HostStatus
    from aegis_provision.rollout.session_results import SessionListing, SessionResult


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
    """One host was read (or could not be) and has a status."""

    status: HostStatus


@dataclass(frozen=True, slots=True)
class SessionReported:
    """A session was started or stopped on a host, or could not be."""

    result: SessionResult


@dataclass(frozen=True, slots=True)
class SessionsListed:
    """The sessions of a host were listed, or could not be."""

    listing: SessionListing


@dataclass(frozen=True, slots=True)
class HostDiagnosed:
    """One host was looked at (or could not be) and has its checks."""

    checks: HostChecks


@dataclass(frozen=True, slots=True)
class KeysAccepted:
    """Host keys that were taken on trust on the way to ``host``."""

    host: str
    keys: tuple[AcceptedKey, ...]


@dataclass(frozen=True, slots=True)
class ConnectRetried:
    """It is tried again to connect to ``host``: ``attempt`` (2 for the first time) is under way.

    It begins after ``wait`` seconds; ``reason`` says how the attempt before it failed.
    """

    host: str
    attempt: int
    reason: str
    wait: float


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

    @classmethod
    def of(cls, write: Write, digest: Callable[[bytes], str]) -> Self:
        """Return what ``write`` changes; ``digest`` makes the digests of contents."""
        return cls(
            _without_content(write.base, digest), _without_content(resulting_file(write), digest)
        )

    @property
    def changes_content(self) -> bool:
        """Tell whether the content differs: a write may put right a mode or an owner alone."""
        return _digest(self.before) != _digest(self.after)


def _without_content(file: RemoteFile | None, digest: Callable[[bytes], str]) -> FileDigest | None:
    if file is None:
        return None
    return FileDigest(digest(file.content), f"{file.mode:04o}", file.uid, file.gid)


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

    ``play`` is ``None`` in a record for a result that only the run's end has: of a host that was
    never begun, or that was interrupted.
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
    | SessionReported
    | SessionsListed
    | HostDiagnosed
    | KeysAccepted
    | ConnectRetried
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


Emit: TypeAlias = "Callable[[Event], None]"
"""Takes events as they happen, one at a time."""


class EventBus:
    """An :data:`Emit` for several observers; safe from any thread.

    Observers are called in the order in which they were named, before the call returns: what the
    first one records is recorded when the second one shows it. Hosts are being written meanwhile,
    so what an observer raises goes no further: it gets no more events, and ``bugs`` has the
    exception.
    """

    def __init__(self, observers: Sequence[Emit], bugs: list[Exception]) -> None:
        self._bugs = bugs
        self._observers = list(observers)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Pass ``event`` to every observer."""
        with self._lock:
            for observer in tuple(self._observers):
                try:
                    observer(event)
                except Exception as bug:  # noqa: BLE001 - nothing that shows a run may stop it
                    self._observers.remove(observer)
                    self._bugs.append(bug)


CODEC = JsonCodec(
    names={
        "AcceptedKey": AcceptedKey,
        "HostChecks": object,
        "HostPlan": object,
        "HostResult": HostResult,
        "Schedule": Schedule,
        "Span": object,
    },
    left_out={
        RunStarted: {"plans": ()},
        RunFinished: {"results": ()},
        Play: {"span": None, "hosts_span": None, "restart_span": None},
    },
    added={
        Gates: {"idle_after": 0.0, "go_on": True},
        HostResult: {"passed": True},
        Verify: {"session": False, "prompt": ""},
    },
)
"""Turns events, and what they hold, into JSON and back.

What only this process may know, or what another event says, is left out: the plans of a run, which
hold values, and the results at its end, each of which has an event of its own.
"""


def event_name(kind: type[Event]) -> str:
    """Return what events of ``kind`` are called in JSON: ``host_written`` for ``HostWritten``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


REPORTS: tuple[type[Event], ...] = (
    HostPlanned,
    HostChecked,
    HostDiagnosed,
    SessionReported,
    SessionsListed,
)
"""Events about what a host has, which is a report: no part of a record."""

_NAMES: Mapping[type[Event], str] = {kind: event_name(kind) for kind in Event.__args__}
_KINDS: Mapping[str, type[Event]] = {
    name: kind for kind, name in _NAMES.items() if kind not in REPORTS
}


def encode_event(event: Event) -> dict[str, Any]:
    """Return ``event`` as JSON fields, the first of which is its name.

    Those of :data:`REPORTS` have no such form.
    """
    return {"event": _NAMES[type(event)], **CODEC.encode(event)}


def decode_event(content: Mapping[str, object]) -> Event | None:
    """Return the event that ``content`` holds, ``None`` for one that this version does not know.

    Raises :class:`DecodeError`.
    """
    name = content.get("event")
    if not isinstance(name, str):
        raise DecodeError('"event" is not text')
    kind = _KINDS.get(name)
    return None if kind is None else CODEC.decode(kind, content)
