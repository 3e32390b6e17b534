"""A record that is written and read back: it tells what happened, and no value."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.errors import StateDirError
from aegis_provision.history.past_run import PastRun, RunStatus
from aegis_provision.history.run_record import RunRecord, open_record
from aegis_provision.history.runs import read_run, read_summary, summary_of
from aegis_provision.history.state_dir import load_key
from aegis_provision.planning.digests import file_digest
from aegis_provision.rollout.events import (
    BatchStarted,
    BudgetSpent,
    FileChange,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    PlayStarted,
    RunFinished,
    RunStarted,
    Step,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import CANARY, HOSTS, RUN, header, plan_of, state_dir_in, write_of

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.history.state_dir import StateDir
    from aegis_provision.rollout.events import Event
    from aegis_provision.rollout.host_run_state import HostRunState


@pytest.fixture
def directory(tmp_path: Path) -> StateDir:
    return state_dir_in(tmp_path)


def _read(directory: StateDir) -> PastRun:
    past = read_run(directory, RUN)
    assert isinstance(past, PastRun), past
    return past


def _begin(record: RunRecord) -> None:
    head = header()
    record(RunStarted(RUN, head.schedule, tuple(plan_of(host) for host in HOSTS)))


def _a_after(directory: StateDir, *events: Event | None) -> HostRunState:
    """Return what is known of host a after ``events``; ``None`` stands for its write."""
    with open_record(directory, header()) as record:
        _begin(record)
        for event in events:
            if event is None:
                record.before_write("a", FileChange.of(write_of("a"), record.digest))
            else:
                record(event)
    return _read(directory).hosts["a"]


def _end(status: Status, message: str = "") -> HostFinished:
    return HostFinished(0, HostResult("a", status, message))


def test_a_whole_run_is_recorded(directory: StateDir) -> None:
    results = (
        HostResult("a", Status.APPLIED),
        HostResult("b", Status.APPLIED),
        HostResult("c", Status.UNREACHABLE, "connect: refused", "is it up?"),
        HostResult("d", Status.NOT_ATTEMPTED, "the budget was spent"),
    )
    with open_record(directory, header()) as record:
        _begin(record)
        for (play, batch), result in zip(((0, 0), (1, 0), (1, 1)), results, strict=False):
            record(PlayStarted(play))
            record(BatchStarted(play, batch, (result.host,)))
            record(StepStarted(result.host, Step.CONNECT))
            if result.status is Status.APPLIED:
                record.before_write(
                    result.host, FileChange.of(write_of(result.host), record.digest)
                )
                record(HostWritten(result.host))
                record(HostRestarted(result.host))
            record(HostFinished(play, result))
        record(BudgetSpent(1, "1 of 4 hosts failed; 0 may", ("c",)))
        record(StopRequested(0))
        record(RunFinished(results, 4))
    past = _read(directory)
    assert past.header == header()
    assert (past.status, past.state.exit_code) == (RunStatus.FINISHED, 4)
    assert past.state.spent == BudgetSpent(1, "1 of 4 hosts failed; 0 may", ("c",))
    assert past.state.stopping
    assert past.batches_begun == (1, 2)
    assert past.counts == {"applied": 2, "unreachable": 1, "not_attempted": 1}
    assert past.state.results == results
    assert past.hosts["a"].seconds is not None
    assert past.hosts["d"].seconds is None
    assert read_summary(directory, RUN) == summary_of(past)


def test_before_and_after_are_digests_under_the_key(directory: StateDir) -> None:
    host = _a_after(directory, None, HostWritten("a"))
    key, write = load_key(directory), write_of("a")
    assert host.file.write is not None
    assert host.file.write.before is not None
    assert write.base is not None
    assert write.content is not None
    assert host.file.write.after is not None
    assert host.file.write.before.digest == file_digest(key, write.base.content)
    assert host.file.write.after.digest == file_digest(key, write.content)
    before = host.file.write.before
    assert (before.mode, before.uid, before.gid) == ("0640", 1000, 1001)
    assert (host.file.write.after.mode, host.file.write.after.gid) == ("0600", 1000)
    assert host.file.write.secrets == ("ANTHROPIC_AUTH_TOKEN",)


def test_a_file_that_was_not_there_has_no_digest(directory: StateDir) -> None:
    with open_record(directory, header()) as record:
        record.before_write("a", FileChange.of(replace(write_of("a"), base=None), record.digest))
        record(HostWritten("a"))
    write = _read(directory).hosts["a"].file.write
    assert write is not None
    assert write.before is None


def test_no_value_comes_into_the_state_directory(directory: StateDir) -> None:
    _a_after(directory, None, HostWritten("a"), _end(Status.RESTART_PENDING))
    files = [path for path in directory.path.rglob("*") if path.is_file()]
    assert directory.record(RUN) in files
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path


def test_every_line_is_json_with_a_time(directory: StateDir) -> None:
    _a_after(
        directory, StepStarted("a", Step.WRITE), None, _end(Status.FAILED, "two\nlines \u2028")
    )
    for line in directory.record(RUN).read_bytes().splitlines()[2:]:
        assert {"event", "at"} <= json.loads(line).keys()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), (False, False, False, False)),
        ((None,), (True, False, False, True)),
        ((None, HostWritten("a")), (False, False, False, True)),
        ((None, _end(Status.REFUSED)), (False, False, False, False)),
        ((None, _end(Status.UNREACHABLE)), (False, False, False, False)),
        ((None, _end(Status.FAILED)), (True, False, False, True)),
        ((None, HostWritten("a"), _end(Status.RESTART_PENDING)), (False, False, False, True)),
        ((None, HostWritten("a"), _end(Status.APPLIED)), (False, False, False, False)),
        ((None, HostWritten("a"), HostRestarted("a")), (False, True, False, False)),
        (
            (None, HostWritten("a"), HostRestarted("a"), StepStarted("a", Step.ROLL_BACK)),
            (True, False, False, True),
        ),
        (
            (None, HostWritten("a"), StepStarted("a", Step.ROLL_BACK), HostRolledBack("a")),
            (False, False, True, True),
        ),
        (
            (None, HostWritten("a"), HostRolledBack("a"), HostRestarted("a")),
            (False, True, True, False),
        ),
        (
            (None, HostWritten("a"), StepStarted("a", Step.ROLL_BACK), _end(Status.ROLLED_BACK)),
            (False, False, True, True),
        ),
        (
            (
                None,
                HostWritten("a"),
                StepStarted("a", Step.ROLL_BACK),
                _end(Status.ROLLBACK_FAILED),
            ),
            (True, False, False, True),
        ),
        ((HostRestarted("a"), _end(Status.APPLIED)), (False, True, False, False)),
    ],
)
def test_what_is_known_of_a_host_wherever_the_record_ends(
    directory: StateDir, events: tuple[Event | None, ...], expected: tuple[bool, bool, bool, bool]
) -> None:
    host = _a_after(directory, *events)
    known = (
        host.file.unknown,
        host.file.restarted,
        host.file.rolled_back,
        host.file.restart_pending,
    )
    assert known == expected


def test_a_later_play_without_work_hides_nothing(directory: StateDir) -> None:
    unchanged = HostFinished(1, HostResult("a", Status.UNCHANGED))
    assert _a_after(directory, _end(Status.APPLIED), unchanged).status is Status.APPLIED


def test_the_end_corrects_the_results_of_hosts(directory: StateDir) -> None:
    """A host that was interrupted in the middle of its write has a result at the end alone."""
    host = _a_after(
        directory, None, RunFinished((HostResult("a", Status.FAILED, "interrupted"),), 130)
    )
    assert host.result == HostResult("a", Status.FAILED, "interrupted")
    assert host.file.unknown


@pytest.mark.parametrize("restored", [False, True])
def test_two_writes_are_one_unless_the_first_was_restored(
    directory: StateDir, restored: bool
) -> None:
    """A rollback of the run brings back the file from before all that it left there."""
    first = write_of("a")
    second = replace(first, content=b"third", base=RemoteFile(b"second", 0o600, 1, 1))
    with open_record(directory, header()) as record:
        record.before_write("a", FileChange.of(first, record.digest))
        record(HostWritten("a"))
        if restored:
            record(HostRolledBack("a"))
        record.before_write("a", FileChange.of(second, record.digest))
        record(HostWritten("a"))
    write = _read(directory).hosts["a"].file.write
    key, base = load_key(directory), second.base if restored else first.base
    assert write is not None
    assert write.before is not None
    assert base is not None
    assert write.before.digest == file_digest(key, base.content)
    assert write.after is not None
    assert write.after.digest == file_digest(key, b"third")


def test_a_write_that_was_seen_to_end_clears_up_an_earlier_doubt(directory: StateDir) -> None:
    host = _a_after(directory, None, _end(Status.FAILED), None, HostWritten("a"))
    assert not host.file.unknown


def test_a_run_whose_writer_lives_is_running(directory: StateDir) -> None:
    with open_record(directory, header()):
        assert _read(directory).status is RunStatus.RUNNING
    assert _read(directory).status is RunStatus.CRASHED


def test_one_name_is_one_record(directory: StateDir) -> None:
    with open_record(directory, header()) as record:
        record(RunFinished((), 0))
    before = directory.record(RUN).read_bytes()
    with pytest.raises(StateDirError, match="a record"):
        open_record(directory, header())
    assert directory.record(RUN).read_bytes() == before
    assert [path.name for path in directory.runs.iterdir()] == [f"{RUN}.jsonl"]


def test_a_closed_record_lets_no_write_begin(directory: StateDir) -> None:
    with open_record(directory, header()) as record:
        pass
    with pytest.raises(RecordError, match="closed"):
        record.before_write("a", FileChange.of(write_of("a"), record.digest))


def test_everything_is_the_operators_alone(directory: StateDir) -> None:
    _a_after(directory)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (directory.path, directory.runs, directory.key, directory.record(RUN))
    }
    assert modes == {
        "aegis-provision": 0o700,
        "runs": 0o700,
        "hmac.key": 0o600,
        f"{RUN}.jsonl": 0o600,
    }
