"""Past runs, as text and as JSON documents: a list of them, and one with every host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.json_codec import moment, moment_at
from aegis_provision.history.past_run import UNKNOWN, DamagedRun, RunStatus
from aegis_provision.history.runs import RunSummary, summary_of
from aegis_provision.humanize import counted, escape_control
from aegis_provision.inventory.ranges import compress
from aegis_provision.playbook.plays import OnFailure, Restart
from aegis_provision.report.apply_report import WORDS
from aegis_provision.report.console import name_lines
from aegis_provision.report.json_documents import Document, document, message_of
from aegis_provision.rollout.events import CODEC
from aegis_provision.rollout.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.history.runs import RunSummary
    from aegis_provision.playbook.plays import Gates, ScheduledPlay
    from aegis_provision.rollout.events import FileDigest
    from aegis_provision.rollout.host_run_state import HostRunState

_HEADINGS = ("RUN", "STARTED (UTC)", "KIND", "WHO", "HOSTS", "STATE", "WHAT HAPPENED")
_NUMBERS = 4
_STATUS_STYLE = {
    RunStatus.FINISHED: "",
    RunStatus.INTERRUPTED: "yellow",
    RunStatus.RUNNING: "cyan",
    RunStatus.CRASHED: "bold red",
}
_NO_END = "without an end"
_SHORT = 12
_LISTED_TOGETHER = frozenset({Status.UNCHANGED, Status.NOT_ATTEMPTED})


def history_lines(runs: Sequence[RunSummary | DamagedRun]) -> list[Text]:
    """Return a line for each of ``runs``, in their order, under headings."""
    if not runs:
        return [Text("No runs yet.")]
    rows = [_row(run) for run in runs if not isinstance(run, DamagedRun)]
    cells = [_HEADINGS, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    widths[0] = max(widths[0], *(len(run.run) for run in runs))
    lines = [Text(_aligned(_HEADINGS, widths), style="bold")]
    for run in runs:
        if isinstance(run, DamagedRun):
            lines.append(Text(f"{run.run:<{widths[0]}}  {damage(run)}", style="bold red"))
        else:
            lines.append(Text(_aligned(_row(run), widths), style=_STATUS_STYLE[run.status]))
    return lines


def damage(run: DamagedRun) -> str:
    """Return why a record tells nothing."""
    return f"its record is damaged: {escape_control(run.reason)}"


def run_lines(past: PastRun, *, width: int, every_host: bool = False) -> list[Text]:
    """Return the lines that tell all about one run.

    Hosts where nothing was done stand together by name, unless ``every_host`` is wanted.
    """
    lines = _headlines(past)
    shown: set[str] = set()
    for index, scheduled in enumerate(past.header.schedule.plays):
        lines.append(_play_line(past, index, scheduled))
        names = [name for name in scheduled.hosts if name not in shown]
        shown.update(names)
        lines.extend(_host_lines([past.hosts[name] for name in names], width, every_host))
    if past.state.spent:
        words = escape_control(past.state.spent.message)
        lines.append(Text(f"Budget spent: {words}", style="bold red"))
    if past.state.stopping:
        lines.append(Text("The operator asked to stop.", style="yellow"))
    if past.status is RunStatus.CRASHED:
        lines.append(Text("The run died before its end.", style="bold red"))
    lines.append(Text(f"Sum: {_counts_text(past.counts)}", style="bold"))
    lines.extend(_unknown_files(past, width))
    return lines


def _row(run: RunSummary) -> tuple[str, ...]:
    return (
        run.run,
        f"{run.started:%Y-%m-%d %H:%M}",
        run.kind.value,
        escape_control(run.operator),
        str(run.hosts),
        run.status.value,
        _counts_text(run.counts),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        f"{cell:>{width}}" if column == _NUMBERS else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def count_rows(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many hosts ended how, by the words for it; an unknown status has its own."""
    words = {status.value: text for status, text in WORDS.items()} | {UNKNOWN: _NO_END}
    known = {text: counts[word] for word, text in words.items() if counts.get(word)}
    return known | {escape_control(word): counts[word] for word in sorted(set(counts) - set(words))}


def _counts_text(counts: Mapping[str, int]) -> str:
    parts = [f"{number} {words}" for words, number in count_rows(counts).items()]
    return ", ".join(parts) if parts else "no hosts"


def _headlines(past: PastRun) -> list[Text]:
    header = past.header
    code = past.state.exit_code
    end = f", exit {code}" if code is not None else ""
    took = (past.ended - header.started).total_seconds()
    until = "took" if code is not None else "last heard of after"
    facts = [
        ("started", f"{header.started:%Y-%m-%d %H:%M:%S} UTC, {until} {_seconds(took)}"),
        ("by", header.operator),
        *(("inventory", _source(item)) for item in header.inventories),
        ("playbook", _source(header.playbook) if header.playbook else ""),
        ("plan", _source(header.saved_plan) if header.saved_plan else ""),
        ("limit", header.limit),
        ("undoes", header.undoes or ""),
        ("retries", header.retries or ""),
        ("version", header.tool_version),
    ]
    title = f"{header.kind.value} {header.run}: {past.status.value}{end}"
    lines = [Text(title, style=_STATUS_STYLE[past.status] or "bold")]
    lines.extend(Text(f"  {name:<9}  {escape_control(value)}") for name, value in facts if value)
    return lines


def _source(source: SourceFile) -> str:
    return f"{source.path}  (sha256 {source.sha256[:_SHORT]})"


def _play_line(past: PastRun, index: int, scheduled: ScheduledPlay) -> Text:
    play, hosts, batches = scheduled.play, len(scheduled.hosts), len(scheduled.batches)
    name = f' "{play.name}"' if play.name else ""
    begun = past.batches_begun[index]
    parts = [
        f"{play.hosts} ({counted(hosts, 'host')})",
        f"{begun} of {counted(batches, 'batch')} begun",
        *_gate_words(play.gates),
    ]
    return Text(escape_control(f"Play {index + 1}{name}: {', '.join(parts)}"), style="bold")


def _gate_words(gates: Gates) -> list[str]:
    words = [] if gates.restart is Restart.NEVER else [f"restart {gates.restart.value}"]
    if gates.verify is not None:
        checks = ("health", "probe", "session")
        asked = (check for check in checks if getattr(gates.verify, check))
        words.append(f"verify {' and '.join(asked)}")
    if gates.on_failure is OnFailure.ROLLBACK:
        words.append("roll back what fails")
    if gates.go_on and (gates.restart is not Restart.NEVER or gates.verify is not None):
        words.append("go on unverified")
    return words


def _host_lines(hosts: Sequence[HostRunState], width: int, every_host: bool) -> list[Text]:
    lines: list[Text] = []
    untouched_hosts: dict[tuple[Status, str], list[str]] = {}
    name_width = max((len(host.host) for host in hosts), default=0)
    for host in hosts:
        result, file = host.result, host.file
        untouched = file.write is None and not file.restarted
        if result and result.status in _LISTED_TOGETHER and untouched and not every_host:
            untouched_hosts.setdefault((result.status, result.message), []).append(host.host)
        else:
            lines.extend(_one_host(host, name_width))
    for (status, message), names in untouched_hosts.items():
        reason = f" {escape_control(message)}" if message else ""
        lines.append(Text(f"  {WORDS[status]} ({len(names)}):{reason}", style="dim"))
        lines.extend(name_lines(compress(names), width))
    return lines


def _one_host(host: HostRunState, name_width: int) -> list[Text]:
    result, write = host.result, host.file.write
    parts = [f"  {host.host:<{name_width}}", WORDS[result.status] if result else _NO_END]
    if host.seconds is not None:
        parts.append(_seconds(host.seconds))
    if write is not None:
        parts.append(f"{_digest(write.before)} -> {_digest(write.after)}")
    parts.extend(_effects(host))
    good = result is not None and result.ok and not host.file.unknown
    lines = [Text("  ".join(parts), style="" if good else "bold red")]
    if result and result.message:
        lines.append(Text(f"      {escape_control(result.message)}"))
    if result and result.hint:
        lines.append(Text(f"      try: {escape_control(result.hint)}"))
    if write is not None and write.secrets:
        lines.append(Text(f"      secrets that changed: {', '.join(write.secrets)}"))
    return lines


def _effects(host: HostRunState) -> Iterable[str]:
    file = host.file
    if file.unknown:
        yield "old file or new: not known"
    elif file.rolled_back:
        yield "old file back"
    if file.restarted:
        yield "restarted"
    elif file.restart_pending and host.status is not Status.RESTART_PENDING:
        yield "restart owed"


def _digest(file: FileDigest | None) -> str:
    return file.digest.rpartition(":")[2][:_SHORT] if file is not None else "no file"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _unknown_files(past: PastRun, width: int) -> list[Text]:
    """Return what a person should look after."""
    unknown = [host.host for host in past.hosts.values() if host.file.unknown]
    lines: list[Text] = []
    if unknown and past.status is not RunStatus.RUNNING:
        lines.append(Text("Either file may be there; 'plan' tells which:", style="bold red"))
        lines.extend(name_lines(compress(unknown), width))
    return lines


def history_document(runs: Sequence[RunSummary | DamagedRun]) -> Document:
    """Return the ``history`` document that lists ``runs``."""
    return document("history", {"runs": [_summary(run) for run in runs]})


def run_document(past: PastRun) -> Document:
    """Return the ``history`` document of one run."""
    header = past.header
    details: Document = {
        **_summary(summary_of(past)),
        "tool_version": header.tool_version,
        "sources": {
            "inventories": CODEC.encode(header.inventories),
            "playbook": CODEC.encode(header.playbook),
            "saved_plan": CODEC.encode(header.saved_plan),
        },
        "budget": past.state.spent.message if past.state.spent else "",
        "stopped": past.state.stopping,
        "plays": [
            _play(scheduled, begun)
            for scheduled, begun in zip(header.schedule.plays, past.batches_begun, strict=True)
        ],
        "hosts": [_host(past, host) for host in past.hosts.values()],
    }
    return document("history", {"run": details})


def _summary(run: RunSummary | DamagedRun) -> Document:
    if isinstance(run, DamagedRun):
        return {"run": run.run, "state": "damaged", "message": run.reason}
    words = [*(status.value for status in Status), UNKNOWN]
    return {
        "run": run.run,
        "state": run.status.value,
        "kind": run.kind.value,
        "undoes": run.undoes,
        "retries": run.retries,
        "operator": run.operator,
        "started": moment(run.started),
        "last_heard": moment(run.ended),
        "playbook": run.playbook,
        "limit": run.limit,
        "host_count": run.hosts,
        "summary": {word: run.counts.get(word, 0) for word in words},
        "exit_code": run.exit_code,
    }


def _play(scheduled: ScheduledPlay, begun: int) -> Document:
    play = scheduled.play
    return {
        "name": play.name,
        "hosts": play.hosts,
        "batches": [list(batch) for batch in scheduled.batches],
        "batches_begun": begun,
        "max_fail": str(play.max_fail),
        "pause": play.pause,
        "gates": CODEC.encode(play.gates),
    }


def _host(past: PastRun, host: HostRunState) -> Document:
    planned = past.header.hosts.get(host.host)
    result, file = host.result, host.file
    return {
        "host": host.host,
        "provider": planned.provider if planned else None,
        "address": planned.identity.address if planned else None,
        "port": planned.identity.port if planned else None,
        "path": planned.identity.path if planned else None,
        "status": result.status.value if result else None,
        "message": message_of(result.message, result.hint) if result else "",
        "write": CODEC.encode(file.write),
        "written": file.written,
        "write_unknown": file.unknown,
        "rolled_back": file.rolled_back,
        "restarted": file.restarted,
        "restart_owed": file.restart_pending,
        "finished": None if host.finished is None else moment_at(host.finished),
        "seconds": host.seconds,
    }
