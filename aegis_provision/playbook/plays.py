"""A playbook as values: which hosts, in which batches, and what each must pass."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aegis_provision.playbook.host_counts import ALL_HOSTS, NO_HOSTS, HostCount
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from aegis_provision.documents.nodes import Span


class Restart(StrEnum):
    """When Aegis is restarted on a host of a play."""

    NEVER = "never"
    CHANGED = "changed"
    ALWAYS = "always"


class OnFailure(StrEnum):
    """What happens to a host whose restart or verification failed."""

    ROLLBACK = "rollback"
    KEEP = "keep"


class Unverified(StrEnum):
    """What a run does after a host whose restart did not happen, or that could not be verified."""

    STOP = "stop"
    GO_ON = "go_on"


class Sessions(StrEnum):
    """What a restart does where sessions are running: it would end every one of them."""

    WAIT = "wait"
    REFUSE = "refuse"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Verify:
    """What is asked after a restart; ``timeout`` (seconds) bounds all of it together.

    ``session`` starts a session there and ends it again; ``prompt`` is what it is sent meanwhile,
    empty for nothing.
    """

    health: bool = False
    probe: bool = False
    timeout: float = 60.0
    session: bool = False
    prompt: str = ""

    @property
    def waits_for_health(self) -> bool:
        """Tell whether Aegis has to be healthy: without that no session can be asked for."""
        return self.health or self.session


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of a host's run; a rollback of the run uses the same ones.

    ``verify`` is ``None`` where nothing is verified. ``sessions_wait`` is how many seconds a
    restart waits at most for sessions to end, ``idle_after`` after how many seconds an idle session
    is waited for no longer; ``probe_first`` asks the provider before the write. ``go_on`` lets a
    host pass whose restart did not happen or whose verify could not be made.
    """

    restart: Restart = Restart.NEVER
    verify: Verify | None = None
    on_failure: OnFailure = OnFailure.KEEP
    sessions: Sessions = Sessions.WAIT
    sessions_wait: float = 600.0
    idle_after: float = 900.0
    probe_first: bool = False
    go_on: bool = False


@dataclass(frozen=True, slots=True)
class Play:
    """One step of a rollout.

    ``hosts`` is a host pattern as written; ``serial`` the sizes of the batches in order, the last
    of which repeats; ``pause`` the seconds between two batches; ``max_fail`` how many hosts of
    the run may have failed, or which share of them. ``span`` is where the play stands,
    ``hosts_span`` and ``restart_span`` where those of its values do: ``None`` for what is not
    written down.
    """

    name: str
    hosts: str
    span: Span | None = None
    serial: tuple[HostCount, ...] = (ALL_HOSTS,)
    pause: float = 0.0
    max_fail: HostCount = NO_HOSTS
    gates: Gates = Gates()
    hosts_span: Span | None = None
    restart_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Playbook:
    """Plays in order. ``name`` is the file's path as the operator wrote it, empty for none."""

    name: str
    plays: tuple[Play, ...]


@dataclass(frozen=True, slots=True)
class ScheduledPlay:
    """A play and the hosts it means, in batches. A play without hosts has no batch."""

    play: Play
    batches: tuple[tuple[str, ...], ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the play's hosts in order."""
        return tuple(host for batch in self.batches for host in batch)

    def narrowed_to(self, hosts: Collection[str]) -> ScheduledPlay:
        """Return the play for ``hosts`` alone, without empty batches."""
        left = (tuple(host for host in batch if host in hosts) for batch in self.batches)
        return ScheduledPlay(self.play, tuple(batch for batch in left if batch))


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a run does, in order."""

    plays: tuple[ScheduledPlay, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return every host of the run once, in the order in which plays first name it."""
        return tuple(dict.fromkeys(host for play in self.plays for host in play.hosts))

    def narrowed_to(self, hosts: Collection[str]) -> Schedule:
        """Return the schedule for ``hosts`` alone."""
        return Schedule(tuple(play.narrowed_to(hosts) for play in self.plays))
