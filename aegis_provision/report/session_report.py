"""Sessions that were started, stopped or listed, as text and as documents."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import counted, escape_control, utc_text
from aegis_provision.report.console import (
    count_words,
    duration,
    hint_lines,
    host_warning_lines,
)
from aegis_provision.report.json_documents import Document, document
from aegis_provision.rollout.session_results import SessionListing, SessionResult, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.aegis.sessions import RunningSession

_STYLE = {
    SessionStatus.STARTED: "green",
    SessionStatus.STOPPED: "green",
    SessionStatus.LISTED: "",
    SessionStatus.FAILED: "bold red",
    SessionStatus.UNREACHABLE: "bold red",
    SessionStatus.NOT_ATTEMPTED: "yellow",
}
WORDS = {status: status.value.replace("_", " ") for status in SessionStatus}
"""Each status in text."""

_COLUMNS = ("HOST", "ID", "NAME", "STATUS", "AGE", "LAST ACTIVE", "WORK DIRECTORY")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:@-]+")
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999


def session_lines(result: SessionResult | SessionListing) -> list[Text]:
    """Return the lines for what happened on one host."""
    line = f"{result.host}: {WORDS[result.status]}"
    warnings: tuple[str, ...] = ()
    if isinstance(result, SessionResult):
        warnings = result.warnings
        if result.id and not result.message:
            line += f" {result.id}{f' ({_name(result.name)})' if result.name else ''}"
            line += f" in {result.work_dir}" if result.work_dir else ""
    if result.message:
        line += f": {result.message}"
    return [
        Text(escape_control(line), style=_STYLE[result.status]),
        *hint_lines(result.hint),
        *host_warning_lines(warnings),
    ]


def recap_lines(results: Sequence[SessionResult]) -> list[Text]:
    """Return what happened on each host, and with several hosts the counts."""
    lines = [line for result in results for line in session_lines(result)]
    if len(results) > 1:
        counts = Counter(result.status for result in results)
        lines.append(Text("Sessions: " + ", ".join(count_words(counts, WORDS)), style="bold"))
    return lines


def listing_lines(listings: Sequence[SessionListing]) -> list[Text]:
    """Return a table of the sessions of all hosts, and what is not in it."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for listing in listings:
        rows += [_row(listing, session) for session in listing.sessions]
    lines: list[Text] = []
    if len(rows) > 1:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for at, row in enumerate(rows):
            padded = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            lines.append(Text("  ".join(padded).rstrip(), style="" if at else "bold"))
    for listing in listings:
        lines.extend(_beside_table(listing))
    return lines


def _row(listing: SessionListing, session: RunningSession) -> tuple[str, ...]:
    cells = (
        listing.host,
        session.id,
        _name(session.name) if session.name else "-",
        session.status or "-",
        _ago(listing.now, session.created),
        _ago(listing.now, session.last_activity),
        session.work_dir or "-",
    )
    return tuple(escape_control(cell) for cell in cells)


def _name(name: str) -> str:
    """Return what Aegis calls a session: in quotes where it could pass for words of ours."""
    return name if _PLAIN_NAME.fullmatch(name) else quote(name)


def _beside_table(listing: SessionListing) -> Iterator[Text]:
    if listing.status is not SessionStatus.LISTED:
        yield from session_lines(listing)
    elif listing.unlisted:
        count = (
            f"{listing.unlisted} more" if listing.sessions else counted(listing.unlisted, "session")
        )
        yield Text(f"{listing.host}: {count} that this token does not show")
    elif not listing.sessions:
        shown = "" if listing.unlisted == 0 else " that this token shows"
        yield Text(f"{listing.host}: no sessions{shown}")


def _ago(now: float | None, since: float | None) -> str:
    return "-" if now is None or since is None else duration(now - since)


def session_document(results: Sequence[SessionResult], exit_code: int) -> Document:
    """Return the ``session`` document of sessions that were started or stopped."""
    return document(
        "session",
        {"hosts": [session_content(item) for item in results], "exit_code": exit_code},
    )


def listing_document(listings: Sequence[SessionListing], exit_code: int) -> Document:
    """Return the ``sessions`` document: those of each host."""
    return document(
        "sessions",
        {"hosts": [listing_content(item) for item in listings], "exit_code": exit_code},
    )


def listing_content(listing: SessionListing) -> Document:
    """Return the sessions of one host as they stand in a document."""
    return {
        "host": listing.host,
        "status": listing.status.value,
        "sessions": [_session(item) for item in listing.sessions],
        "unlisted": listing.unlisted,
        "message": listing.message,
        "hint": listing.hint,
    }


def session_content(result: SessionResult) -> Document:
    """Return what happened on one host as it stands in a document."""
    return {
        "host": result.host,
        "status": result.status.value,
        "id": result.id,
        "name": result.name,
        "work_dir": result.work_dir,
        "message": result.message,
        "hint": result.hint,
        "warnings": list(result.warnings),
    }


def _session(session: RunningSession) -> Document:
    return {
        "id": session.id,
        "name": session.name,
        "work_dir": session.work_dir,
        "status": session.status,
        "created": _moment(session.created),
        "last_activity": _moment(session.last_activity),
    }


def _moment(seconds: float | None) -> str | None:
    if seconds is None or not 0 <= seconds <= _LAST_MOMENT:
        return None
    return utc_text(datetime.fromtimestamp(seconds, UTC))
