"""Processes that die, and disks that fill up, in the middle of a record."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.history.past_run import PastRun, RunStatus
from aegis_provision.history.run_record import open_record
from aegis_provision.history.runs import read_run, run_names
from aegis_provision.history.state_dir import load_key
from aegis_provision.planning.digests import file_digest
from aegis_provision.rollout.events import FileChange, HostFinished, HostWritten
from aegis_provision.rollout.host_job import RecordError
from aegis_provision.rollout.results import HostResult, Status
from tests.history.fleet import RUN, header, state_dir_in, write_of
from tests.history.killed_process import HOSTS, LINES, SAID_OF_A_HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.history.run_record import RunRecord
    from aegis_provision.history.state_dir import StateDir

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Return a directory of hosts that all have the old file, and have read it."""
    for name in HOSTS:
        (tmp_path / name).mkdir()
        base = write_of(name).base
        assert base is not None
        for file in ("config", "running"):
            (tmp_path / name / file).write_bytes(base.content)
    return tmp_path


class _Writer:
    def __init__(self, fleet: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.history.killed_process", str(fleet)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def wait_for_lines(self, lines: int) -> None:
        assert self.process.stdout is not None
        for _ in range(lines):
            assert self.process.stdout.readline()

    def let_end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def writer(fleet: Path) -> Iterator[_Writer]:
    started = _Writer(fleet)
    yield started
    started.kill()


def _read(directory: StateDir) -> PastRun:
    past = read_run(directory, RUN)
    assert isinstance(past, PastRun), past
    return past


def _assert_true(past: PastRun, fleet: Path, key: bytes) -> None:
    """Compare all that the record claims with what there is."""
    for name, host in past.hosts.items():
        write = write_of(name)
        assert write.base is not None
        assert write.content is not None
        old, new = write.base.content, write.content
        config = (fleet / name / "config").read_bytes()
        if host.file.write is not None:
            assert host.file.write.before is not None
            assert host.file.write.after is not None
            assert host.file.write.before.digest == file_digest(key, old)
            assert host.file.write.after.digest == file_digest(key, new)
        if not host.file.unknown:
            assert config == (new if host.file.written and not host.file.rolled_back else old), name
        if not host.file.restart_pending:
            assert (fleet / name / "running").read_bytes() == config, name
        if host.status is Status.APPLIED:
            assert config == new
        if host.status is Status.ROLLED_BACK:
            assert config == old


@pytest.mark.parametrize("seed", range(14))
def test_a_record_tells_the_truth_after_kill_9_at_any_moment(
    fleet: Path, writer: _Writer, seed: int
) -> None:
    writer.wait_for_lines(random.Random(seed).randrange(1, LINES))  # noqa: S311 - no secret
    writer.kill()
    directory = state_dir_in(fleet)
    past = _read(directory)
    assert past.status is RunStatus.CRASHED
    assert past.state.exit_code is None
    _assert_true(past, fleet, load_key(directory))


def test_a_record_tells_the_truth_while_it_is_written(fleet: Path, writer: _Writer) -> None:
    """What it claims of hosts that are done holds although the run goes on."""
    directory = state_dir_in(fleet)
    writer.wait_for_lines(1)
    assert _read(directory).status is RunStatus.RUNNING
    for _ in HOSTS:
        writer.wait_for_lines(SAID_OF_A_HOST)
        done = [host for host in _read(directory).hosts.values() if host.status is not None]
        for host in done:
            write = write_of(host.host)
            assert write.base is not None
            expected = write.content if host.status is Status.APPLIED else write.base.content
            assert (fleet / host.host / "config").read_bytes() == expected
    writer.let_end()
    writer.wait_for_lines(LINES - 1 - SAID_OF_A_HOST * len(HOSTS))
    past = _read(directory)
    assert past.status is RunStatus.FINISHED
    _assert_true(past, fleet, load_key(directory))


def test_two_runs_at_once_keep_two_records(fleet: Path, writer: _Writer, tmp_path: Path) -> None:
    other = "20261125T101501Z-ffffff"
    directory = state_dir_in(fleet)
    writer.wait_for_lines(1)
    with open_record(directory, header(other)) as record:
        record.before_write("a", FileChange.of(write_of("a"), record.digest))
        record(HostWritten("a"))
        assert run_names(directory) == (other, RUN)
        writer.kill()
        past = read_run(directory, other)
        assert isinstance(past, PastRun)
        assert past.status is RunStatus.RUNNING
        assert past.hosts["a"].file.written
    assert _read(directory).status is RunStatus.CRASHED


def _fill(record: RunRecord) -> None:
    for _ in range(10):
        record.before_write("a", FileChange.of(write_of("a"), record.digest))


@pytest.mark.parametrize("left", [0, 1, 100, 300, 700])
def test_a_full_disk_leaves_whole_lines_and_stops_further_writes(
    tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is imported while files must be short would be compiled into a file that is cut.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    directory = state_dir_in(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_record(directory, header()) as record:
        size = directory.record(RUN).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + left, hard))
        try:
            with pytest.raises(RecordError) as refused:
                _fill(record)
            record(HostFinished(0, HostResult("a", Status.APPLIED)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(RecordError):
            record.before_write("b", FileChange.of(write_of("b"), record.digest))
        assert record.problem is not None
        assert str(directory.record(RUN)) in str(refused.value)
        assert refused.value.hint == (
            "make room there, or set XDG_STATE_HOME to a directory of yours that can be written; "
            "then apply again"
        )
    assert directory.record(RUN).read_bytes().endswith(b"\n")
    past = _read(directory)
    assert past.hosts["a"].status is None
    assert past.hosts["b"].file.write is None
