"""A run drawn for a terminal, again and again while it goes on, with the time that is left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from aegis_provision.humanize import counted, escape_control
from aegis_provision.playbook.budget import budget_of
from aegis_provision.playbook.plays import Restart
from aegis_provision.report.console import duration, is_plain, play_title
from aegis_provision.rollout.run_state import Phase, Sample, progress, waiting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aegis_provision.planning.plan import HostPlan
    from aegis_provision.playbook.plays import Gates, ScheduledPlay
    from aegis_provision.rollout.host_run_state import HostRunState
    from aegis_provision.rollout.run_state import RunState

MOST_HOSTS = 8
"""How many hosts in flight are named at most."""

_STEP_WIDTH = 18
_BAR_WIDTH = 40


def live_view(
    state: RunState, now: float, *, width: int, height: int, forks: int | None = None
) -> RenderableType:
    """Return ``state`` as it looks at the time ``now``: never wider or higher than asked.

    ``forks`` is how many hosts are worked on at once, if that is known.
    """
    if state.phase is Phase.READING:
        return _reading_view(state, now)
    if state.phase is not Phase.RUNNING or state.schedule is None:
        return Text("")
    lines: list[RenderableType] = [_title(state, now, width, forks), _bar(state, width)]
    if state.pause_until is not None:
        rest = duration(max(0.0, state.pause_until - now))
        lines.append(_cut(Text(f"  next batch in {rest}", style="cyan"), width))
    room = max(0, min(MOST_HOSTS, height - len(lines) - 2))
    lines.extend(_in_flight_lines(state, now, width, room))
    return Group(*lines[: max(1, height - 1)])


def _reading_view(state: RunState, now: float) -> RenderableType:
    grid = Table.grid(Column(no_wrap=True), Column(), Column(), Column(), padding=(0, 1))
    grid.add_row(
        f"Reading {counted(state.total, 'host')}",
        ProgressBar(total=state.total, completed=state.done, width=_BAR_WIDTH),
        Text(f"{state.done}/{state.total}", style="progress.download"),
        Text(duration(now - state.since), style="progress.elapsed"),
    )
    return grid


def _title(state: RunState, now: float, width: int, forks: int | None) -> Text:
    if state.schedule is None:
        raise ValueError("a run that has not started has no title")
    words = [] if is_plain(state.schedule) else [play_title(state.schedule, state.play or 0)]
    batches = len(state.schedule.plays[state.play or 0].batches)
    if state.batch is not None and batches > 1:
        words.append(f"batch {state.batch + 1}/{batches}")
    left = escape_control("  ".join(words) or "Writing")
    right = duration(now - state.since)
    if state.stopping:
        right += "  stopping"
    rest = estimate(state, now, forks)
    if rest is not None and rest >= 1:
        right += f"  about {duration(rest)} left"
    line = Text(left, style="bold")
    line.truncate(max(8, width - len(right) - 2), overflow="ellipsis")
    line.append("  ")
    line.append(right, style="cyan not bold")
    return _cut(line, width)


def _bar(state: RunState, width: int) -> RenderableType:
    done, total = progress(state)
    tail = Text(f"{done}/{total}")
    if state.failed and state.schedule is not None:
        play = state.schedule.plays[state.play or 0].play
        allowed = budget_of(play, len(state.schedule.hosts)).allowed
        tail.append(f"  {state.failed} failed", style="bold red")
        tail.append(f" ({allowed} allowed)")
    bar = max(4, min(_BAR_WIDTH, width - tail.cell_len - 2))
    grid = Table.grid(Column(width=bar), Column(no_wrap=True, overflow="ellipsis"), padding=(0, 1))
    grid.add_row(ProgressBar(total=max(1, total), completed=done, width=bar), tail)
    return grid


def _in_flight_lines(state: RunState, now: float, width: int, room: int) -> list[Text]:
    in_flight = sorted(state.flying, key=lambda item: item.begun or 0.0)
    if len(in_flight) > room:
        room = max(0, room - 1)
    name_width = max((len(item.host) for item in in_flight[:room]), default=0)
    lines = [_host_line(item, now, min(name_width, width // 2), width) for item in in_flight[:room]]
    if len(in_flight) > room:
        more = f"and {len(in_flight) - room} more" if room else counted(len(in_flight), "host")
        lines.append(_cut(Text(f"  {more}", style="dim"), width))
    return lines


def _host_line(item: HostRunState, now: float, name_width: int, width: int) -> Text:
    name = Text(f"  {escape_control(item.host)}")
    name.truncate(name_width + 2, overflow="ellipsis", pad=True)
    span = item.spans[-1]
    took = duration(now - span.start)
    name.append(f"  {span.step.words:<{_STEP_WIDTH}}{took:>7}", style="cyan")
    if span.detail:
        name.append(f"  {escape_control(span.detail)}", style="dim")
    return _cut(name, width)


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def estimate(state: RunState, now: float, forks: int | None = None) -> float | None:
    """Return how many seconds the rest will take, ``None`` where it can't be known.

    Hosts that pass the same gates take about the same time; a play whose gates no host has
    passed yet makes the whole unknown, and so do a stop and a spent budget. ``forks`` is how
    many hosts are worked on at once; without it, as many as were seen at once.
    """
    if state.schedule is None or state.play is None or state.stopping or state.spent:
        return None
    width = forks or state.most_in_flight
    total = 0.0
    for index in range(state.play, len(state.schedule.plays)):
        seconds = _estimate_play(state, state.schedule.plays[index], index, width)
        if seconds is None:
            return None
        total += seconds
    return total + _rest_of_pause(state, now) + _rest_of_flight(state, now)


def _estimate_play(
    state: RunState, scheduled: ScheduledPlay, index: int, width: int
) -> float | None:
    """Return how long the hosts of a play that have not begun will take, pauses included."""
    current = state.batch if index == state.play else None
    ahead = len(scheduled.batches) - (1 if current is None else current + 1)
    pauses = max(0, ahead - (index == state.play and state.pause_until is not None))
    gates = scheduled.play.gates
    todo = {host for host in waiting(state, index) if _has_work(state.plans.get(host), gates)}
    in_flight = index == state.play and state.in_flight
    if not todo and not in_flight:
        return pauses * scheduled.play.pause
    sample = state.samples.get(gates)
    if sample is None or not width:
        return None
    rounds = sum(math.ceil(len(todo.intersection(part)) / width) for part in scheduled.batches)
    return pauses * scheduled.play.pause + rounds * sample.mean


def _has_work(plan: HostPlan | None, gates: Gates) -> bool:
    if plan is None or plan.action.is_failure:
        return False
    owed = gates.restart is Restart.CHANGED and plan.restart_pending
    return plan.writes or owed or gates.restart is Restart.ALWAYS


def _rest_of_pause(state: RunState, now: float) -> float:
    return 0.0 if state.pause_until is None else max(0.0, state.pause_until - now)


def _rest_of_flight(state: RunState, now: float) -> float:
    if state.schedule is None or state.play is None or not state.in_flight:
        return 0.0
    begun = [host.begun for host in state.flying if host.begun is not None]
    sample = state.samples.get(state.schedule.plays[state.play].play.gates, Sample())
    return max(0.0, *(sample.mean - (now - since) for since in begun))
