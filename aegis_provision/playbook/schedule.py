"""Makes the schedule of a run: a playbook's plays over an inventory's hosts, in batches.

Also the schedule of a rollback, and the batches that change most of a fleet at once.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error, note, warning
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import counted
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.playbook.host_counts import ALL_HOSTS
from aegis_provision.playbook.plays import (
    OnFailure,
    Play,
    Playbook,
    Restart,
    Schedule,
    ScheduledPlay,
)
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aegis_provision.inventory.host import Inventory
    from aegis_provision.playbook.host_counts import HostCount
    from aegis_provision.playbook.plays import Gates

_RESTART_SETTINGS = {"service", "restart_command"}

SMALLEST_GUARDED = 10
"""The smallest inventory for which a change of more than half at once asks a second question."""


def single_play(hosts: str = "all") -> Playbook:
    """Return the playbook of a run without one: one nameless play over the pattern ``hosts``.

    Nothing is restarted, and no number of failures stops it.
    """
    return Playbook("", (Play("", hosts, max_fail=ALL_HOSTS),))


def with_overrides(
    playbook: Playbook,
    serial: tuple[HostCount, ...] | None = None,
    max_fail: HostCount | None = None,
) -> Playbook:
    """Return ``playbook`` with ``serial`` and ``max_fail`` replaced in every play, if not None."""
    return replace(
        playbook,
        plays=tuple(
            replace(
                play,
                serial=play.serial if serial is None else serial,
                max_fail=play.max_fail if max_fail is None else max_fail,
            )
            for play in playbook.plays
        ),
    )


def make_schedule(
    playbook: Playbook,
    inventory: Inventory,
    *,
    chosen: Collection[str] | None,
    read_file: Callable[[str], str],
) -> tuple[Schedule, tuple[Diagnostic, ...]]:
    """Return the schedule of ``playbook`` over ``inventory``, and everything that is wrong.

    Every play of the playbook has its place in the schedule. ``chosen`` are the hosts that the
    operator limits the run to, ``None`` for no limit. ``read_file`` gets the path of an ``@file``
    in a pattern and raises :class:`PatternError` where it can't be read. With errors among the
    diagnostics the schedule is incomplete.
    """
    scheduler = _Scheduler(inventory, chosen, read_file)
    plays = tuple(scheduler.schedule(play) for play in playbook.plays)
    if chosen and scheduler.meant and not any(play.batches for play in plays):
        scheduler.diagnostics.append(
            error(
                "nobody-chosen",
                "no play of the playbook is for any host of the limit",
                hint="widen the limit, or the 'hosts' of a play",
                hosts=tuple(chosen),
            )
        )
    return Schedule(plays), tuple(scheduler.diagnostics)


@dataclass(slots=True)
class _Scheduler:
    """``meant`` are the hosts that plays name, with no regard to ``chosen``."""

    inventory: Inventory
    chosen: Collection[str] | None
    read_file: Callable[[str], str]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)

    def schedule(self, play: Play) -> ScheduledPlay:
        hosts = self._hosts(play)
        if play.gates.restart is not Restart.NEVER:
            self._check_restart(play, hosts)
        return ScheduledPlay(play, batches(hosts, play.serial))

    def _hosts(self, play: Play) -> tuple[str, ...]:
        try:
            meant = match_hosts(play.hosts, self.inventory, self.read_file)
        except PatternError as problem:
            self.diagnostics.append(error("bad-pattern", str(problem), play.hosts_span))
            return ()
        self.meant.update(meant)
        if not meant:
            self.diagnostics.append(
                warning("no-hosts", f"{quote(play.hosts)} selects no host", play.hosts_span)
            )
        if self.chosen is None:
            return meant
        hosts = tuple(host for host in meant if host in self.chosen)
        if meant and not hosts and play.hosts_span is not None:
            self.diagnostics.append(
                note("not-chosen", "the limit leaves this play no host", play.hosts_span)
            )
        return hosts

    def _check_restart(self, play: Play, hosts: Sequence[str]) -> None:
        """Report the hosts for which the inventory does not say how Aegis is restarted."""
        stranded = tuple(
            host
            for host in hosts
            if not self.inventory.hosts[host].settings.keys() & _RESTART_SETTINGS
        )
        if stranded:
            self.diagnostics.append(
                error(
                    "no-way-to-restart",
                    f"the play {quote(play.name)} restarts Aegis, and the inventory does not "
                    "say how",
                    play.restart_span,
                    hint="set 'service' (such as aegis) or 'restart_command' in the inventory, "
                    "or write 'restart: never'",
                    hosts=stranded,
                )
            )


@dataclass(frozen=True, slots=True)
class LargeBatch:
    """A batch (indices from 0) that changes ``changes`` of an inventory's ``fleet`` hosts."""

    play: int
    batch: int
    changes: int
    fleet: int

    @property
    def words(self) -> str:
        """Return what there is to know of it, as one clause."""
        return (
            f"one batch changes {self.changes} of the inventory's {counted(self.fleet, 'host')} "
            "at once, more than half of them"
        )


def batches(hosts: Sequence[str], serial: Sequence[HostCount]) -> tuple[tuple[str, ...], ...]:
    """Return ``hosts`` in batches whose sizes are those of ``serial`` in turn.

    As Ansible does it (``serial`` in its playbook guide, ``pct_to_int`` in its source): a share
    is one of the play's hosts, not of those that are left; it is rounded down, to 1 at least;
    the last size repeats; the last batch holds what remains. ``serial`` is not empty.
    """
    found: list[tuple[str, ...]] = []
    start = 0
    while start < len(hosts):
        size = max(1, serial[min(len(found), len(serial) - 1)].of(len(hosts)))
        found.append(tuple(hosts[start : start + size]))
        start += size
    return tuple(found)


def large_batches(
    schedule: Schedule, changing: Collection[str], fleet: int
) -> tuple[LargeBatch, ...]:
    """Return the batches that change more than half of an inventory of ten or more hosts.

    ``changing`` are the hosts whose plan is a change, ``fleet`` is how many hosts the inventory
    has. A host changes in the first of its plays.
    """
    if fleet < SMALLEST_GUARDED:
        return ()
    found: list[LargeBatch] = []
    seen: set[str] = set()
    for play, scheduled in enumerate(schedule.plays):
        for batch, hosts in enumerate(scheduled.batches):
            changes = sum(host in changing and host not in seen for host in hosts)
            seen.update(hosts)
            if 2 * changes > fleet:
                found.append(LargeBatch(play, batch, changes, fleet))
    return tuple(found)


def rollback_schedule(schedule: Schedule, hosts: Collection[str]) -> Schedule:
    """Return the schedule that rolls ``hosts`` back: plays, batches and hosts in reverse order.

    Every host is in one play: the last of its plays that restarted Aegis, else the last. The gates
    are those of the run, less the probe before the write and the session after it; a rollback that
    fails is not rolled back itself.
    """
    play_of = _last_plays(schedule, hosts)
    plays = []
    for index, scheduled in reversed(tuple(enumerate(schedule.plays))):
        batches = (
            tuple(host for host in reversed(batch) if play_of.get(host) == index)
            for batch in reversed(scheduled.batches)
        )
        play = replace(scheduled.play, gates=_rollback_gates(scheduled.play.gates))
        plays.append(ScheduledPlay(play, tuple(batch for batch in batches if batch)))
    return Schedule(tuple(play for play in plays if play.batches))


def _rollback_gates(gates: Gates) -> Gates:
    verify = gates.verify
    if verify is not None and verify.session:
        verify = replace(verify, health=True, session=False, prompt="")
    return replace(gates, verify=verify, on_failure=OnFailure.KEEP, probe_first=False)


def _last_plays(schedule: Schedule, hosts: Collection[str]) -> dict[str, int]:
    """Return for each of ``hosts`` its last play that restarts Aegis, else its last play."""
    last: dict[str, int] = {}
    restarted: set[str] = set()
    for index, scheduled in enumerate(schedule.plays):
        restarts = scheduled.play.gates.restart is not Restart.NEVER
        for host in scheduled.hosts:
            if host in hosts and (restarts or host not in restarted):
                last[host] = index
        if restarts:
            restarted.update(scheduled.hosts)
    return last
