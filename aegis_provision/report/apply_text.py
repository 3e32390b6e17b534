"""What a run did, as text: the hosts that need a person first, then the sum."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.report.console import visible
from aegis_provision.rollout.outcome import HostResult, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = {
    Status.UNCHANGED: "dim",
    Status.APPLIED: "green",
    Status.RESTART_PENDING: "green",
    Status.FAILED: "bold red",
    Status.UNREACHABLE: "bold red",
    Status.REFUSED: "bold red",
    Status.NOT_ATTEMPTED: "yellow",
}
WORDS = {
    Status.UNCHANGED: "unchanged",
    Status.APPLIED: "applied",
    Status.RESTART_PENDING: "written, restart pending",
    Status.FAILED: "failed",
    Status.UNREACHABLE: "unreachable",
    Status.REFUSED: "refused",
    Status.NOT_ATTEMPTED: "not attempted",
}


def result_lines(result: HostResult) -> list[Text]:
    """Return the lines that tell how one host ended."""
    style = _STYLE[result.status]
    line = f"{result.host}: {WORDS[result.status]}"
    quiet = result.status in {Status.UNCHANGED, Status.APPLIED, Status.RESTART_PENDING}
    if result.message and not quiet:
        line += f": {visible(result.message)}"
    lines = [Text(line, style=style)]
    if result.hint:
        lines.append(Text(f"    try: {visible(result.hint)}"))
    lines.extend(Text(f"    warning: {visible(item)}", style="magenta") for item in result.warnings)
    return lines


def recap_lines(results: Sequence[HostResult]) -> list[Text]:
    """Return every host's end, in the results' order, and the sum of them."""
    told = [item for item in results if item.status is not Status.UNCHANGED or item.warnings]
    lines = [line for item in told for line in result_lines(item)]
    counts = Counter(item.status for item in results)
    parts = [f"{counts[status]} {words}" for status, words in WORDS.items() if counts[status]]
    lines.append(Text("Recap: " + (", ".join(parts) if parts else "no hosts"), style="bold"))
    if counts[Status.RESTART_PENDING]:
        lines.append(Text("Aegis reads the file only at its start: restart it on those hosts."))
    return lines


def nothing_to_do(results: Sequence[HostResult]) -> bool:
    """Tell whether every host already had what it should have."""
    return all(item.status is Status.UNCHANGED for item in results)
