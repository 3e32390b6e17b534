"""``--report``: the page of a run, written where the operator wants it."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aegis_provision.cli.output import echo
from aegis_provision.errors import InputError
from aegis_provision.files.reading import check_regular
from aegis_provision.rollout.run_state import RunState, RunTracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


_MODE = 0o666
"""The page's mode, less the umask: it holds no secrets."""


@contextmanager
def html_report_at(path: Path, about: Mapping[str, str] | None) -> Iterator[RunTracker]:
    """Follow the run for as long as the block runs, then write the page of the run to ``path``.

    The page replaces what is there as a whole. Raises :class:`Error` at once where no file can be
    written; where the page can't be written in the end, a message says so, and the run's outcome
    stays what it is.
    """
    from aegis_provision.files.atomic import check_writable

    try:
        # A page replaces what is there: a device or a pipe would be gone.
        with suppress(FileNotFoundError):
            check_regular(path, path.stat())
        check_writable(path, _MODE)
    except OSError as problem:
        raise InputError(
            f"--report: {path} can't be written: {problem.strerror or problem}",
            "name a file in a directory of yours",
        ) from None
    tracker = RunTracker(time.time)
    yield tracker
    _write(path, tracker.state, about)


def _write(path: Path, state: RunState, about: Mapping[str, str] | None) -> None:
    from aegis_provision.files.atomic import write_new
    from aegis_provision.report.html_page import render_page

    if state.schedule is None:
        return
    try:
        page = render_page(state, about)
        write_new(path, page.encode("utf-8", "backslashreplace"), _MODE)
    except OSError as problem:
        echo(f"error: the page {path} can't be written: {problem.strerror}", err=True)
