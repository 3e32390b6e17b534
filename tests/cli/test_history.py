"""``history``: what it shows of good, dead and damaged runs, word for word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from aegis_provision.cli.commands.history import LISTED
from aegis_provision.cli.main import run as run_program
from aegis_provision.documents.json_codec import json_line
from aegis_provision.history.run_header import header_lines
from aegis_provision.history.run_record import open_record
from aegis_provision.history.state_dir import StateDir, prepare_state_dir
from aegis_provision.packaged_files import load_schema
from aegis_provision.rollout.events import (
    BatchStarted,
    FileChange,
    HostWritten,
    Step,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import Status
from tests.history.fleet import RUN, header, state_dir_in, write_of
from tests.history.record_lines import FINISHED_RUN, end, finished, line, write
from tests.schemas import closed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEAD = "20261126T090000Z-0d0d0d"
DAMAGED = "20261127T090001Z-0e0e0e"
DIED_IN_A_WRITE = b"".join(
    json_line(item)
    for item in (
        line(BatchStarted(0, 0, ("a",)), 0.5),
        line(StepStarted("a", Step.WRITE), 0.5),
        write("a"),
        line(HostWritten("a"), 2),
        finished("a", Status.RESTART_PENDING, 3),
        line(BatchStarted(1, 0, ("b", "c")), 3),
        line(StepStarted("b", Step.WRITE), 3),
        write("b", 4),
    )
)

LIST = """\
RUN                      STARTED (UTC)     KIND   WHO          HOSTS  STATE     WHAT HAPPENED
20261127T090001Z-0e0e0e  its record is damaged: line 1: the header is not whole
20261126T090000Z-0d0d0d  2026-11-25 10:15  apply  ada@control      4  crashed   \
1 written, restart pending, 3 without an end
20261125T101500Z-1a2b3c  2026-11-25 10:15  apply  ada@control      4  finished  \
1 applied, 1 unreachable, 1 rolled back, 1 not attempted
"""

FINISHED = """\
apply 20261125T101500Z-1a2b3c: finished, exit 4
  started    2026-11-25 10:15:00 UTC, took 9.0 s
  by         ada@control
  inventory  inventory.yml  (sha256 111111111111)
  playbook   rollout.yml  (sha256 222222222222)
  version    0.1.0
Play 1 "Canary": a (1 host), 1 of 1 batch begun, restart changed, verify health and probe, \
roll back what fails
  a  applied  2.5 s  000000000000 -> 100000000000  restarted
      secrets that changed: ANTHROPIC_AUTH_TOKEN
Play 2 "Rest": all:!a (3 hosts), 1 of 2 batches begun
  b  rolled back  2.5 s  000000000000 -> 100000000000  old file back  restarted
      health: no answer
      secrets that changed: ANTHROPIC_AUTH_TOKEN
  c  unreachable  2.5 s
      connect: refused
  not attempted (1): the budget was spent
    d
Budget spent: 1 of 4 hosts failed, 0 may
Sum: 1 applied, 1 unreachable, 1 rolled back, 1 not attempted
"""

CRASHED = """\
apply 20261126T090000Z-0d0d0d: crashed
  started    2026-11-25 10:15:00 UTC, last heard of after 4.0 s
  by         ada@control
  inventory  inventory.yml  (sha256 111111111111)
  playbook   rollout.yml  (sha256 222222222222)
  version    0.1.0
Play 1 "Canary": a (1 host), 1 of 1 batch begun, restart changed, verify health and probe, \
roll back what fails
  a  written, restart pending  2.5 s  000000000000 -> 100000000000
      secrets that changed: ANTHROPIC_AUTH_TOKEN
Play 2 "Rest": all:!a (3 hosts), 1 of 2 batches begun
  b  without an end  000000000000 -> 100000000000  old file or new: not known  restart owed
      secrets that changed: ANTHROPIC_AUTH_TOKEN
  c  without an end
  d  without an end
The run died before its end.
Sum: 1 written, restart pending, 3 without an end
Either file may be there; 'plan' tells which:
    b
"""


@pytest.fixture
def directory(tmp_path: Path) -> StateDir:
    made = state_dir_in(tmp_path)
    prepare_state_dir(made)
    return made


@pytest.fixture
def kept(directory: StateDir) -> StateDir:
    """Return a state directory with a finished, a dead and a damaged run."""
    _keep(directory, RUN, FINISHED_RUN)
    _keep(directory, DEAD, DIED_IN_A_WRITE)
    directory.record(DAMAGED).write_text("x\n")
    return directory


def _keep(directory: StateDir, run: str, lines: bytes) -> None:
    directory.record(run).write_bytes(header_lines(header(run)) + lines)


@pytest.fixture
def history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command and returns what it printed, stderr after it."""

    def say(*argv: str, code: int = 0) -> str:
        environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        assert run_program(["history", *argv], environ) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    return say


@pytest.mark.parametrize(
    ("argv", "text"), [((), LIST), ((RUN,), FINISHED), (("20261126",), CRASHED)]
)
def test_what_is_shown(
    kept: StateDir, history: Callable[..., str], argv: tuple[str, ...], text: str
) -> None:
    assert history(*argv) == text


def test_no_runs(history: Callable[..., str]) -> None:
    assert history() == "No runs yet.\n"
    assert history("last", code=3) == (
        "error: there are no runs yet\n  = 'apply' makes the first\n"
    )


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("last", f"error: the record of {DAMAGED} is damaged: line 1: the header is not whole\n"),
        ("2026112", 'error: 3 runs begin with "2026112": '),
        ("20261126T090000Z-0d0d0f", f'  = did you mean "{DEAD}"?\n'),
    ],
)
def test_a_run_that_can_not_be_shown(
    kept: StateDir, history: Callable[..., str], wanted: str, text: str
) -> None:
    assert text in history(wanted, code=3)


def test_a_run_that_goes_on_is_no_dead_one(
    directory: StateDir, history: Callable[..., str]
) -> None:
    with open_record(directory, header()) as record:
        record.before_write("a", FileChange.of(write_of("a"), record.digest))
        assert "running" in history()
        shown = history("last")
        assert shown.startswith(f"apply {RUN}: running\n")
        assert "died" not in shown
        assert "Either file" not in shown


def test_a_run_that_was_stopped_stands_as_interrupted(
    directory: StateDir, history: Callable[..., str]
) -> None:
    stopped = [line(StopRequested(1)), finished("a", Status.APPLIED), end(130, applied=1)]
    _keep(directory, RUN, b"".join(map(json_line, stopped)))
    [_, row] = history().splitlines()
    assert row == (f"{RUN}  2026-11-25 10:15  apply  ada@control      4  interrupted  1 applied")
    shown = history("last")
    assert shown.startswith(
        f"apply {RUN}: interrupted, exit 130\n  started    2026-11-25 10:15:00 UTC, took 9.0 s\n"
    )
    assert "The operator asked to stop.\n" in shown
    assert "died" not in shown
    document = json.loads(history("last", "--format", "json"))
    Draft202012Validator(closed(load_schema("history"), "properties")).validate(document)
    listed = json.loads(history("--format", "json"))
    Draft202012Validator(closed(load_schema("history"), "properties")).validate(listed)
    assert document["run"]["state"] == listed["runs"][0]["state"] == "interrupted"


def test_only_the_last_runs_are_listed_unless_all_are_wanted(
    directory: StateDir, history: Callable[..., str]
) -> None:
    for number in range(LISTED + 1):
        _keep(directory, f"20261125T1015{number:02}Z-1a2b3c", json_line(end()))
    first, *_, last = history().splitlines()
    assert last == f"The last {LISTED} of {LISTED + 1} runs; --all lists them all."
    assert len(history().splitlines()) == len((first, last)) + LISTED
    assert len(history("--quiet").splitlines()) == LISTED + 1
    assert len(history("--all").splitlines()) == LISTED + 2


def test_unchanged_hosts_stand_together_unless_all_are_wanted(
    directory: StateDir, history: Callable[..., str]
) -> None:
    lines = [
        json_line(line(StepStarted(host, Step.CONNECT), 1))
        + json_line(finished(host, Status.UNCHANGED, 3.5))
        for host in "bcd"
    ]
    _keep(directory, RUN, b"".join(lines))
    assert "  unchanged (3):\n    b, c, d\n" in history("last")
    assert "  c  unchanged  2.5 s\n" in history("last", "-v")


def test_all_with_a_run_is_a_wrong_command_line(history: Callable[..., str]) -> None:
    assert "--all" in history("last", "--all", code=64)


def test_a_directory_that_others_can_write_to_is_not_believed(
    kept: StateDir, history: Callable[..., str]
) -> None:
    kept.path.chmod(0o777)
    assert "can be written by others" in history(code=3)


def test_what_a_record_holds_can_not_drive_the_terminal(
    directory: StateDir, history: Callable[..., str]
) -> None:
    _keep(directory, RUN, json_line(finished("a", Status.FAILED, message="\x1b[2Jgone")))
    assert "\\x1b[2Jgone" in history("last")


@pytest.mark.parametrize("argv", [(), (RUN,), (DEAD,)])
def test_the_document_is_what_its_schema_says(
    kept: StateDir, history: Callable[..., str], argv: tuple[str, ...]
) -> None:
    content = json.loads(history(*argv, "--format", "json"))
    schema = load_schema("history")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(closed(schema, "properties")).validate(content)
    assert content["schema"] == "aegis-provision/history/v1"


def test_the_document_tells_how_hosts_ended(kept: StateDir, history: Callable[..., str]) -> None:
    run = json.loads(history(DEAD, "--format", "json"))["run"]
    assert (run["state"], run["exit_code"]) == ("crashed", None)
    assert (run["summary"]["unknown"], run["summary"]["restart_pending"]) == (3, 1)
    ends = {host["host"]: (host["status"], host["write_unknown"]) for host in run["hosts"]}
    assert ends == {
        "a": ("restart_pending", False),
        "b": (None, True),
        "c": (None, False),
        "d": (None, False),
    }
