"""Which hosts a run would take on, and in which order, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control
from aegis_provision.report.text import is_plain, play_title

if TYPE_CHECKING:
    from aegis_provision.playbook.plays import Schedule, ScheduledPlay


def schedule_lines(schedule: Schedule) -> list[Text]:
    """Return the hosts one a line, under their plays and batches where there are several."""
    if is_plain(schedule) and len(schedule.plays[0].batches) <= 1:
        return [Text(name) for name in schedule.hosts]
    lines: list[Text] = []
    for index, scheduled in enumerate(schedule.plays):
        lines.extend(_play_lines(schedule, index, scheduled))
    return lines


def _play_lines(schedule: Schedule, index: int, scheduled: ScheduledPlay) -> list[Text]:
    title = escape_control(play_title(schedule, index))
    hosts, batches = len(scheduled.hosts), len(scheduled.batches)
    tail = f" in {counted(batches, 'batch')}" if batches > 1 else ""
    lines = [Text(f"{title}: {counted(hosts, 'host')}{tail}", style="bold")]
    for number, batch in enumerate(scheduled.batches, 1):
        if batches > 1:
            lines.append(Text(f"  Batch {number}/{batches}: {counted(len(batch), 'host')}"))
        lines.extend(Text(f"    {name}") for name in batch)
    return lines
