"""A run in one line: what a list of runs shows, without reading all of each record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import JsonFields, LineError
from aegis_provision.history import record_v1
from aegis_provision.history.past_run import status_of_end
from aegis_provision.history.run_header import RunKind
from aegis_provision.history.run_header_codec import is_v1
from aegis_provision.rollout.event_codec import event_name
from aegis_provision.rollout.events import RunFinished

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aegis_provision.history.past_run import PastRun, RunStatus


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in sum. ``counts`` has how many hosts ended with which status (see ``PastRun``).

    ``playbook`` is its path, ``None`` for none.
    """

    run: str
    kind: RunKind
    undoes: str | None
    retries: str | None
    operator: str
    started: datetime
    ended: datetime
    playbook: str | None
    limit: str
    hosts: int
    status: RunStatus
    counts: Mapping[str, int]
    exit_code: int | None


def summary_of(past: PastRun) -> RunSummary:
    """Return ``past`` in sum."""
    header = past.header
    return RunSummary(
        run=header.run,
        kind=header.kind,
        undoes=header.undoes,
        retries=header.retries,
        operator=header.operator,
        started=header.started,
        ended=past.ended,
        playbook=header.playbook.path if header.playbook else None,
        limit=header.limit,
        hosts=len(past.hosts),
        status=past.status,
        counts=past.counts,
        exit_code=past.state.exit_code,
    )


def parse_summary(first: bytes, last: bytes) -> RunSummary | None:
    """Return a run that came to its end in sum out of the first and the last line of its record.

    ``None`` for any other: then the whole record has to be looked at.
    """
    try:
        head, end = JsonFields.of(first), JsonFields.of(last)
        if is_v1(head):
            head, end = record_v1.upgrade_header(head), record_v1.upgrade(end)
        if end.text("event") != event_name(RunFinished):
            return None
        counts = end.part("summary")
        return RunSummary(
            run=head.text("run"),
            kind=head.word(RunKind, "kind"),
            undoes=head.text_or_none("undoes"),
            retries=head.text_or_none("retries"),
            operator=head.text("operator"),
            started=head.when("started"),
            ended=end.when("at"),
            playbook=head.part("playbook").text("path") if head.has("playbook") else None,
            limit=head.text("limit"),
            hosts=head.whole("hosts"),
            status=status_of_end(end.whole("exit_code")),
            counts={name: counts.whole(name) for name in counts.content},
            exit_code=end.whole("exit_code"),
        )
    except LineError:
        return None
