"""The results of a run, as text (the recap) and as a JSON document."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.humanize import counted, escape_control, group_pairs
from aegis_provision.inventory.ranges import truncate
from aegis_provision.report.console import (
    count_words,
    hint_lines,
    host_warning_lines,
    name_lines,
    play_title,
)
from aegis_provision.report.json_documents import Document, count_by_value, document, message_of
from aegis_provision.rollout.results import SUCCESSES, HostResult, Status
from aegis_provision.rollout.run_state import tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aegis_provision.rollout.run_state import RunState, Tally

_STYLE = {
    Status.UNCHANGED: "dim",
    Status.APPLIED: "green",
    Status.RESTART_PENDING: "green",
    Status.UNVERIFIED: "bold yellow",
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
    Status.UNVERIFIED: "not verified",
    Status.FAILED: "failed",
    Status.UNREACHABLE: "unreachable",
    Status.ROLLED_BACK: "rolled back",
    Status.ROLLBACK_FAILED: "rollback failed",
    Status.REFUSED: "refused",
    Status.NOT_ATTEMPTED: "not attempted",
}
MOST_URGENT_FIRST = (
    Status.ROLLBACK_FAILED,
    Status.FAILED,
    Status.UNVERIFIED,
    Status.ROLLED_BACK,
    Status.REFUSED,
    Status.UNREACHABLE,
    Status.NOT_ATTEMPTED,
)
"""The statuses of hosts that need attention, the most urgent first: all but the successes."""

NOT_WRITTEN = {Status.UNCHANGED, Status.UNREACHABLE, Status.REFUSED, Status.NOT_ATTEMPTED}
"""The statuses of hosts whose file is as it was before the run."""

_MANY = 3
_MOST_NAMES = 24
_MOST_REASONS = 24


def result_lines(result: HostResult) -> list[Text]:
    """Return the lines for one host's result."""
    style = _STYLE[result.status]
    line = f"{result.host}: {WORDS[result.status]}"
    if result.message and (result.hint or not result.ok):
        line += f": {escape_control(result.message)}"
    return [
        Text(line, style=style),
        *hint_lines(result.hint),
        *host_warning_lines(result.warnings),
    ]


def recap_lines(
    results: Sequence[HostResult],
    *,
    width: int,
    every_host: bool = False,
    state: RunState | None = None,
) -> list[Text]:
    """Return the hosts' results: first those that need attention, with the reason, then the counts.

    Many hosts with the same reason share a line, and long lists are cut unless ``every_host``. With
    the run's ``state``, several plays have a line each, and so has a spent budget.
    """
    trouble = [item for status in MOST_URGENT_FIRST for item in results if item.status is status]
    lines = _grouped_lines(trouble, width, every_host=every_host)
    for status in (Status.APPLIED, Status.RESTART_PENDING):
        good = [item for item in results if item.status is status]
        lines.extend(_good_lines(status, good, width, every_host=every_host))
    for item in results:
        if item.status in SUCCESSES and item.warnings:
            lines.extend(_warning_lines(item))
    plays = tallies(state) if state is not None else ()
    if state is not None and len(plays) > 1:
        lines.extend(_play_line(state, index, tally) for index, tally in enumerate(plays))
    counts = Counter(item.status for item in results)
    lines.append(
        Text("Recap: " + (", ".join(count_words(counts, WORDS)) or "no hosts"), style="bold")
    )
    if state is not None and state.spent is not None:
        lines.append(Text(escape_control(state.spent.message), style="bold red"))
    if nothing_to_do(results):
        lines.append(Text("Nothing to do: no host was written."))
    elif counts.keys() <= NOT_WRITTEN:
        lines.append(Text("No host was written."))
    if counts[Status.RESTART_PENDING]:
        lines.append(Text("Aegis reads the file only at its start: restart it on those hosts."))
        # It watches the file that a write by rename replaced (docs/aegis.md).
        lines.append(Text("Until then Aegis does not see later changes of allowedWorkDirs either."))
    return lines


def needs_attention(result: HostResult) -> bool:
    """Tell whether the host needs attention: it is no success, or there is a hint."""
    return not result.ok or bool(result.hint)


def group_results(results: Iterable[HostResult]) -> list[tuple[HostResult, list[str]]]:
    """Return each distinct result, with no host in it, and the names of its hosts."""
    return list(group_pairs((replace(item, host=""), item.host) for item in results).items())


def nothing_to_do(results: Sequence[HostResult]) -> bool:
    """Tell whether every host already had what it should have."""
    return all(item.status is Status.UNCHANGED for item in results)


def _grouped_lines(results: Sequence[HostResult], width: int, *, every_host: bool) -> list[Text]:
    """Return the lines for results; hosts with a rare reason have a line each."""
    lines: list[Text] = []
    listed_hosts = 0
    for shared, names in group_results(results):
        if len(names) >= _MANY:
            lines.extend(_group_lines(shared, names, width, every_host=every_host))
            continue
        for name in names:
            listed_hosts += 1
            if every_host or listed_hosts <= _MOST_REASONS:
                lines.extend(result_lines(replace(shared, host=name)))
    if not every_host and listed_hosts > _MOST_REASONS:
        more = f"and {counted(listed_hosts - _MOST_REASONS, 'more host')} with other reasons"
        lines.append(Text(f"{more} (-v names all)"))
    return lines


def _group_lines(
    shared: HostResult, names: Sequence[str], width: int, *, every_host: bool
) -> list[Text]:
    head = f"{WORDS[shared.status]} ({len(names)}):"
    if shared.message:
        head += f" {escape_control(shared.message)}"
    return [
        Text(head, style=_STYLE[shared.status]),
        *hint_lines(shared.hint),
        *name_lines(_truncated(names, every_host=every_host), width),
        *host_warning_lines(shared.warnings),
    ]


def _good_lines(
    status: Status, results: Sequence[HostResult], width: int, *, every_host: bool
) -> list[Text]:
    """Return the names of successful hosts; those with a hint are listed apart."""
    plain = [item.host for item in results if not item.hint]
    lines: list[Text] = []
    if plain:
        lines = [Text(f"{WORDS[status]} ({len(plain)}):", style=_STYLE[status])]
        lines.extend(name_lines(_truncated(plain, every_host=every_host), width))
    special = [replace(item, warnings=()) for item in results if item.hint]
    for shared, names in group_results(special):
        lines.extend(_group_lines(shared, names, width, every_host=every_host))
    return lines


def _truncated(names: Sequence[str], *, every_host: bool) -> Sequence[str]:
    return names if every_host else truncate(names, _MOST_NAMES)


def _play_line(state: RunState, index: int, tally: Tally) -> Text:
    if state.schedule is None:
        raise ValueError("a run that has not started has no plays")
    parts = count_words(tally.counts, WORDS)
    if tally.left_out:
        parts.append(f"{tally.left_out} left out after what went wrong before")
    if tally.waiting:
        parts.append(f"{tally.waiting} not begun")
    title = escape_control(play_title(state.schedule, index))
    return Text(f"{title}: {', '.join(parts) or 'no hosts'}")


def _warning_lines(result: HostResult) -> list[Text]:
    return [
        Text(f"{result.host}: warning: {escape_control(item)}", style="magenta")
        for item in result.warnings
    ]


def apply_document(run: str, results: Sequence[HostResult], exit_code: int) -> Document:
    """Return the ``apply`` document of the run named ``run``."""
    return document(
        "apply",
        {
            "run": run,
            "hosts": [host_result_content(result) for result in results],
            "summary": count_by_value(Status, (result.status for result in results)),
            "exit_code": exit_code,
        },
    )


def host_result_content(result: HostResult) -> Document:
    """Return one host's result as it stands in a document."""
    return {
        "host": result.host,
        "status": result.status.value,
        "message": message_of(result.message, result.hint),
        "warnings": list(result.warnings),
    }
