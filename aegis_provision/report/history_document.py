"""Past runs as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import moment, moment_at
from aegis_provision.history.past_run import UNKNOWN, DamagedRun
from aegis_provision.history.run_summary import RunSummary, summary_of
from aegis_provision.report.json_documents import Document, document, message_of
from aegis_provision.rollout.event_codec import CODEC
from aegis_provision.rollout.results import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.history.past_run import PastRun
    from aegis_provision.playbook.plays import ScheduledPlay
    from aegis_provision.rollout.host_state import HostState


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


def _host(past: PastRun, host: HostState) -> Document:
    known = past.header.hosts.get(host.host)
    result, file = host.result, host.file
    return {
        "host": host.host,
        "provider": known.provider if known else None,
        "address": known.identity.address if known else None,
        "port": known.identity.port if known else None,
        "path": known.identity.path if known else None,
        "status": result.status.value if result else None,
        "message": message_of(result.message, result.hint) if result else "",
        "write": CODEC.encode(file.write),
        "written": file.written,
        "write_unknown": file.unknown,
        "rolled_back": file.rolled_back,
        "restarted": file.restarted,
        "restart_owed": file.restart_owed,
        "finished": None if host.finished is None else moment_at(host.finished),
        "seconds": host.seconds,
    }
