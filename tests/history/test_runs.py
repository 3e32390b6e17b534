"""Finding runs, and reading no more of them than is needed."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.json_codec import json_line
from aegis_provision.errors import NoSuchRunError
from aegis_provision.history.past_run import DamagedRun, PastRun, RunStatus
from aegis_provision.history.run_header import header_lines
from aegis_provision.history.runs import (
    RunSummary,
    find_run,
    read_run,
    read_summary,
    run_names,
    runs_that_touched,
)
from aegis_provision.history.state_dir import StateDir, prepare_state_dir
from aegis_provision.rollout.events import HostRestarted
from aegis_provision.rollout.results import Status
from tests.history.fleet import header, state_dir_in
from tests.history.record_lines import FINISHED_RUN, end, finished, line, write

if TYPE_CHECKING:
    from pathlib import Path

OLD, MIDDLE, NEW = (
    "20261124T080000Z-00ffee",
    "20261125T101500Z-1a2b3c",
    "20261125T101500Z-1a9999",
)
NAMES = (NEW, MIDDLE, OLD)


@pytest.fixture
def directory(tmp_path: Path) -> StateDir:
    made = state_dir_in(tmp_path)
    prepare_state_dir(made)
    return made


def _keep(directory: StateDir, run: str, lines: bytes = FINISHED_RUN) -> None:
    directory.record(run).write_bytes(header_lines(header(run)) + lines)


def test_runs_are_listed_newest_first_and_nothing_else_is(directory: StateDir) -> None:
    for run in (MIDDLE, NEW, OLD):
        _keep(directory, run)
    for other in ("notes.txt", "x.jsonl", f"{OLD}.new", f".{OLD}.jsonl"):
        (directory.runs / other).write_text("")
    assert run_names(directory) == NAMES


def test_without_a_state_directory_there_are_no_runs(tmp_path: Path) -> None:
    assert run_names(state_dir_in(tmp_path)) == ()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("last", NEW), (OLD, OLD), ("20261124", OLD), ("20261125T101500Z-1a2", MIDDLE)],
)
def test_a_run_is_found_by_its_name_or_a_beginning_of_it(wanted: str, found: str) -> None:
    assert find_run(NAMES, wanted) == found


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ("20261125T101500Z-1a2b3d", "there is no run", f'did you mean "{MIDDLE}"?'),
        ("", "there is no run", "history"),
        ("../../etc/passwd", "there is no run", "history"),
        ("20261125", f'2 runs begin with "20261125": {NEW}, {MIDDLE}', "say more"),
    ],
)
def test_a_name_that_is_not_one_run_is_refused(wanted: str, message: str, hint: str) -> None:
    with pytest.raises(NoSuchRunError) as refused:
        find_run(NAMES, wanted)
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_the_first_run_is_still_to_come() -> None:
    with pytest.raises(NoSuchRunError, match="no runs yet"):
        find_run((), "last")


def test_a_list_tells_finished_crashed_and_damaged_apart(directory: StateDir) -> None:
    _keep(directory, NEW)
    _keep(directory, MIDDLE, json_line(write("a")) + b'{"torn')
    directory.record(OLD).write_text("damaged\n")
    done, crashed, damaged = (read_summary(directory, name) for name in NAMES)
    assert isinstance(done, RunSummary)
    assert (done.status, done.exit_code, done.hosts) == (RunStatus.FINISHED, 4, 4)
    assert isinstance(crashed, RunSummary)
    assert (crashed.status, crashed.counts) == (RunStatus.CRASHED, {"unknown": 4})
    assert damaged == DamagedRun(OLD, "line 1: the header is not whole")


def test_a_list_does_not_read_what_lies_between_both_ends(directory: StateDir) -> None:
    """A thousand records of a thousand hosts must be quick to list."""
    _keep(directory, NEW, b"not looked at\n" + json_line(end(0, applied=4)))
    found = read_summary(directory, NEW)
    assert isinstance(found, RunSummary)
    assert found.counts == {"applied": 4}
    assert isinstance(read_run(directory, NEW), DamagedRun)


def test_only_runs_that_touched_a_host_are_read_for_pending_restarts(directory: StateDir) -> None:
    _keep(directory, OLD, json_line(line(HostRestarted("a"))))
    _keep(directory, MIDDLE, json_line(finished("a", Status.UNCHANGED)) + json_line(end()))
    _keep(directory, NEW, json_line(write("a")))
    found = list(runs_that_touched(directory, NAMES))
    assert [past.header.run for past in found] == [NEW, OLD]


def test_a_record_that_is_none_is_a_value(directory: StateDir) -> None:
    directory.record(NEW).mkdir()
    found = read_run(directory, NEW)
    assert isinstance(found, DamagedRun)
    assert "can't be read" in found.reason
    assert [read_summary(directory, name) for name in (NEW, OLD)] == [
        found,
        read_run(directory, OLD),
    ]
    assert list(runs_that_touched(directory, [NEW, OLD])) == []


def test_two_readers_at_once_do_not_take_each_other_for_the_writer(directory: StateDir) -> None:
    _keep(directory, NEW, json_line(write("a")))
    with directory.record(NEW).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        past = read_run(directory, NEW)
    assert isinstance(past, PastRun)
    assert past.status is RunStatus.CRASHED
