"""Past runs as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.history.json_fields import moment
from aegis_provision.history.past_run import UNKNOWN, DamagedRun
from aegis_provision.history.run_header_codec import gates_content
from aegis_provision.history.run_summary import RunSummary, summary_of
from aegis_provision.report.json_documents import Document, document
from aegis_provision.rollout.results import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.history.past_host import PastFile, PastHost, PastWrite
    from aegis_provision.history.past_run import PastRun
    from aegis_provision.history.run_header import SourceFile
    from aegis_provision.playbook.plays import ScheduledPlay


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
            "inventories": [_source(item) for item in header.inventories],
            "playbook": _source(header.playbook) if header.playbook else None,
            "saved_plan": _source(header.saved_plan) if header.saved_plan else None,
        },
        "budget": past.budget,
        "stopped": past.stopped,
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
        "state": run.state.value,
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


def _source(source: SourceFile) -> Document:
    return {"path": source.path, "sha256": source.sha256}


def _play(scheduled: ScheduledPlay, begun: int) -> Document:
    play = scheduled.play
    return {
        "name": play.name,
        "hosts": play.hosts,
        "batches": [list(batch) for batch in scheduled.batches],
        "batches_begun": begun,
        "max_fail": str(play.max_fail),
        "pause": play.pause,
        "gates": gates_content(play.gates),
    }


def _host(past: PastRun, host: PastHost) -> Document:
    known = past.header.hosts.get(host.host)
    return {
        "host": host.host,
        "provider": known.provider if known else None,
        "address": known.identity.address if known else None,
        "port": known.identity.port if known else None,
        "path": known.identity.path if known else None,
        "status": host.status.value if host.status else None,
        "message": f"{host.message}; try: {host.hint}" if host.hint else host.message,
        "write": _write(host.write) if host.write else None,
        "written": host.written,
        "write_unknown": host.write_unknown,
        "rolled_back": host.rolled_back,
        "restarted": host.restarted,
        "restart_owed": host.restart_owed,
        "finished": moment(host.finished) if host.finished else None,
        "seconds": host.seconds,
    }


def _write(write: PastWrite) -> Document:
    return {
        "before": _file(write.before) if write.before else None,
        "after": _file(write.after) if write.after else None,
        "secrets": list(write.secrets),
    }


def _file(file: PastFile) -> Document:
    return {"digest": file.digest, "mode": file.mode, "uid": file.uid, "gid": file.gid}
