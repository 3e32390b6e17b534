"""``--report``: the page of a run, written where the operator wants it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aegis_provision.cli.output import echo
from aegis_provision.errors import InputError
from aegis_provision.files.reading import check_regular
from aegis_provision.rollout.events import RunStarted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aegis_provision.report.timeline import EventLog


@contextmanager
def html_report_at(path: Path, about: Mapping[str, str] | None) -> Iterator[EventLog]:
    """Collect events for as long as the block runs, then write the page of the run to ``path``.

    The page replaces what is there as a whole. Raises :class:`Error` at once where
    nobody could write there; a page that can't be written in the end is told, and no more: the
    run is what counts.
    """
    from aegis_provision.files.atomic import temporary_beside
    from aegis_provision.report.timeline import EventLog

    fresh = temporary_beside(path)
    try:
        # A page replaces what is there: a device or a pipe would be gone.
        with suppress(FileNotFoundError):
            check_regular(path, path.stat())
        fresh.touch()
    except OSError as problem:
        raise InputError(
            f"--report: {path} can't be written: {problem.strerror or problem}",
            "name a file in a directory of yours",
        ) from None
    chronicle = EventLog()
    try:
        yield chronicle
        _write(fresh, path, chronicle, about)
    finally:
        fresh.unlink(missing_ok=True)


def _write(fresh: Path, path: Path, chronicle: EventLog, about: Mapping[str, str] | None) -> None:
    from aegis_provision.report.html_page import render_page

    if not any(isinstance(event, RunStarted) for _, event in chronicle.entries):
        return
    try:
        page = render_page(chronicle.entries, about)
        fresh.write_bytes(page.encode("utf-8", "backslashreplace"))
        fresh.replace(path)
    except OSError as problem:
        echo(f"error: the page {path} can't be written: {problem.strerror}", err=True)
