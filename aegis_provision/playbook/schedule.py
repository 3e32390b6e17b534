"""A playbook applied to an inventory: which hosts, in which batches, or what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Diagnostic, error, note, warning
from aegis_provision.documents.quoting import quote
from aegis_provision.inventory.patterns import PatternError, expand_files, parse_pattern, select
from aegis_provision.playbook.batches import batches
from aegis_provision.playbook.plays import (
    HostCount,
    Play,
    Playbook,
    Restart,
    Schedule,
    ScheduledPlay,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aegis_provision.inventory.host import Host, Inventory

_RESTART_SETTINGS = ("service", "restart_command")


def single_play(hosts: str = "all") -> Playbook:
    """Return the playbook of a run without one: one nameless play over the pattern ``hosts``.

    Nothing is restarted, and no number of failures stops it.
    """
    return Playbook("", (Play("", hosts, max_fail=HostCount(100, percent=True)),))


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
    findings the schedule is incomplete.
    """
    scheduler = _Scheduler(inventory, chosen, read_file)
    plays = tuple(scheduler.schedule(play) for play in playbook.plays)
    if chosen and scheduler.meant and not any(play.batches for play in plays):
        scheduler.findings.append(_no_host_chosen(chosen))
    return Schedule(plays), tuple(scheduler.findings)


@dataclass(slots=True)
class _Scheduler:
    """``meant`` are the hosts that plays name, with no regard to ``chosen``."""

    inventory: Inventory
    chosen: Collection[str] | None
    read_file: Callable[[str], str]
    findings: list[Diagnostic] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)

    def schedule(self, play: Play) -> ScheduledPlay:
        hosts = self._hosts(play)
        stranded = [] if play.gates.restart is Restart.NEVER else self._without_restart(hosts)
        if stranded:
            self.findings.append(_no_way_to_restart(play, stranded))
        return ScheduledPlay(play, batches(hosts, play.serial))

    def _hosts(self, play: Play) -> tuple[str, ...]:
        try:
            pattern = parse_pattern(expand_files(play.hosts, self.read_file))
            meant = select(pattern, self.inventory)
        except PatternError as problem:
            self.findings.append(error("bad-pattern", str(problem), play.hosts_span))
            return ()
        self.meant.update(meant)
        if not meant:
            self.findings.append(
                warning("no-hosts", f"{quote(play.hosts)} selects no host", play.hosts_span)
            )
        if self.chosen is None:
            return meant
        hosts = tuple(host for host in meant if host in self.chosen)
        if meant and not hosts and play.hosts_span is not None:
            self.findings.append(
                note("not-chosen", "the limit leaves this play no host", play.hosts_span)
            )
        return hosts

    def _without_restart(self, hosts: Sequence[str]) -> list[str]:
        return [host for host in hosts if not _can_restart(self.inventory.hosts[host])]


def _can_restart(host: Host) -> bool:
    return any(key in host.settings for key in _RESTART_SETTINGS)


def _no_way_to_restart(play: Play, hosts: Sequence[str]) -> Diagnostic:
    return error(
        "no-way-to-restart",
        f"the play {quote(play.name)} restarts Aegis, and the inventory does not say how",
        play.restart_span,
        hint="set 'service' (such as aegis) or 'restart_command' in the inventory, "
        "or write 'restart: never'",
        hosts=tuple(hosts),
    )


def _no_host_chosen(chosen: Collection[str]) -> Diagnostic:
    return error(
        "nobody-chosen",
        "no play of the playbook is for any host of the limit",
        hint="widen the limit, or the 'hosts' of a play",
        hosts=tuple(chosen),
    )
