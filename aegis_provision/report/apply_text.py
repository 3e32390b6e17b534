"""What a run did, as text: the hosts that need a person first, then the sum."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.report.console import name_lines, visible
from aegis_provision.report.ranges import folded
from aegis_provision.rollout.outcome import WENT_WELL, HostResult, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = {
    Status.UNCHANGED: "dim",
    Status.APPLIED: "green",
    Status.RESTART_PENDING: "green",
    Status.FAILED: "bold red",
    Status.UNREACHABLE: "bold red",
    Status.ROLLED_BACK: "bold yellow",
    Status.ROLLBACK_FAILED: "bold red",
    Status.REFUSED: "bold red",
    Status.NOT_ATTEMPTED: "yellow",
}
WORDS = {
    Status.UNCHANGED: "unchanged",
    Status.APPLIED: "applied",
    Status.RESTART_PENDING: "written, restart pending",
    Status.FAILED: "failed",
    Status.UNREACHABLE: "unreachable",
    Status.ROLLED_BACK: "rolled back",
    Status.ROLLBACK_FAILED: "rollback failed",
    Status.REFUSED: "refused",
    Status.NOT_ATTEMPTED: "not attempted",
}
_NOT_WRITTEN = {Status.UNCHANGED, Status.UNREACHABLE, Status.REFUSED, Status.NOT_ATTEMPTED}


def result_lines(result: HostResult) -> list[Text]:
    """Return the lines that tell how one host ended."""
    style = _STYLE[result.status]
    line = f"{result.host}: {WORDS[result.status]}"
    if result.message and result.status not in WENT_WELL:
        line += f": {visible(result.message)}"
    lines = [Text(line, style=style)]
    if result.hint:
        lines.append(Text(f"    try: {visible(result.hint)}"))
    lines.extend(Text(f"    warning: {visible(item)}", style="magenta") for item in result.warnings)
    return lines


def recap_lines(results: Sequence[HostResult], *, width: int) -> list[Text]:
    """Return how the hosts ended: by name where all went well, with the reason where not."""
    lines: list[Text] = []
    for status in (Status.APPLIED, Status.RESTART_PENDING):
        names = [item.host for item in results if item.status is status]
        if names:
            lines.append(Text(f"{WORDS[status]} ({len(names)}):", style=_STYLE[status]))
            lines.extend(name_lines(folded(names), width))
    for item in results:
        if item.status not in WENT_WELL:
            lines.extend(result_lines(item))
        elif item.warnings:
            lines.extend(_warning_lines(item))
    counts = Counter(item.status for item in results)
    parts = [f"{counts[status]} {words}" for status, words in WORDS.items() if counts[status]]
    lines.append(Text("Recap: " + (", ".join(parts) if parts else "no hosts"), style="bold"))
    if nothing_to_do(results):
        lines.append(Text("Nothing to do: no host was written."))
    elif counts.keys() <= _NOT_WRITTEN:
        lines.append(Text("No host was written."))
    if counts[Status.RESTART_PENDING]:
        lines.append(Text("Aegis reads the file only at its start: restart it on those hosts."))
    return lines


def _warning_lines(result: HostResult) -> list[Text]:
    return [
        Text(f"{result.host}: warning: {visible(item)}", style="magenta")
        for item in result.warnings
    ]


def nothing_to_do(results: Sequence[HostResult]) -> bool:
    """Tell whether every host already had what it should have."""
    return all(item.status is Status.UNCHANGED for item in results)
