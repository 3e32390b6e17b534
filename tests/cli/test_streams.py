"""What is printed where: results on stdout, all else on stderr."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from aegis_provision.cli.main import run
from aegis_provision.cli.streams import FaultTolerantDescriptor, plain_encoding
from aegis_provision.report.console import Encodable, encodable
from tests.fleet.operator import CommandResult, Operator
from tests.fleet.program import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path


def in_shell(operator: Operator, line: str) -> CommandResult:
    """Run ``line`` in bash, with the program as ``$PROGRAM``."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=operator.work,
        env={**operator.environ, "PROGRAM": " ".join(PROGRAM)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def is_written(file: Path) -> bool:
    return "defaultSessionEnv" in json.loads(file.read_text())


def test_a_reader_that_leaves_does_not_end_an_apply_half_way(operator: Operator) -> None:
    result = in_shell(operator, "$PROGRAM apply --yes | true")
    assert result.code == 0, result.err
    assert result.err.count("written, restart pending") == 3
    assert all(is_written(operator.file_of(host)) for host in "abc")


def test_the_exit_code_does_not_depend_on_the_reader(operator: Operator) -> None:
    result = in_shell(operator, "$PROGRAM plan --detailed-exitcode | head -1")
    assert result.code == 2
    assert result.out.startswith("~ update ")
    assert result.err == "Reading 3 hosts\n"


@pytest.mark.parametrize("command", ["plan", "hosts", "hosts --format json", "validate", "--help"])
def test_a_full_disk_is_told_without_a_traceback(operator: Operator, command: str) -> None:
    result = in_shell(operator, f"$PROGRAM {command} >/dev/full")
    assert result.code == 1
    assert result.err.endswith("error: the result could not be printed: No space left on device\n")
    assert "Traceback" not in result.err
    assert "bug" not in result.err


def test_a_failure_of_its_own_outweighs_a_full_disk(operator: Operator) -> None:
    operator.furnish("b", content="no JSON")
    assert in_shell(operator, "$PROGRAM plan >/dev/full").code == 4


def test_a_full_disk_under_the_progress_changes_nothing(operator: Operator) -> None:
    result = in_shell(operator, "$PROGRAM plan 2>/dev/full")
    assert result.code == 0
    assert result.out.endswith("Plan: 3 to update\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(operator: Operator, closed: str) -> None:
    open_ones = operator.run("plan")
    result = in_shell(operator, f"$PROGRAM plan {closed}")
    assert result.code == 0
    assert result.out == ("" if " >&-" in f" {closed}" else open_ones.out)
    assert result.err == ("" if "2>&-" in closed else open_ones.err)


def test_nobody_is_asked_on_a_closed_input(operator: Operator) -> None:
    result = in_shell(operator, "$PROGRAM apply <&-")
    assert result.code == 6
    assert "there is no terminal to ask on; say --yes to go ahead" in result.err


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["hosts"],
        ["hosts", "--host", "a"],
        ["providers"],
        ["providers", "glm"],
        ["plan"],
        ["apply"],
        ["apply", "--check"],
        ["apply", "--yes"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("loud", [[], ["-vvv"], ["-q"]], ids=["calm", "verbose", "quiet"])
def test_json_is_the_only_thing_on_stdout(
    operator: Operator, command: list[str], loud: list[str]
) -> None:
    operator.inventory("a", "b", "gone", unreachable=("gone",), more="timeout_ms: 900")
    operator.furnish("b", content="no JSON")
    result = operator.call(*command, *loud, "--format", "json")
    document = json.loads(result.out)
    schema = document.get("schema") or document.get("_meta", {}).get("schema")
    assert result.out.endswith("}\n")
    if command[:2] != ["hosts", "--host"]:
        kind = "plan" if "--check" in command else command[0]
        assert schema == f"aegis-provision/{kind}/v1"


def test_warnings_go_to_stderr(operator: Operator) -> None:
    operator.inventory("a", more="timeout_ms: 900")
    result = operator.call("plan")
    assert "warning: " in result.err
    assert "less than a second" in result.err
    assert "less than a second" not in result.out


def test_output_is_in_the_inventorys_order(operator: Operator) -> None:
    names = [f"n{number}" for number in (7, 3, 9, 1, 8, 2)]
    operator.furnish(*names)
    for number, name in enumerate(names):
        text = json.dumps({"port": number + 1, "defaultSessionEnv": {"API_TIMEOUT_MS": name}})
        operator.furnish(name, content=text)
    operator.inventory(*names)
    plan = operator.call("plan", "--forks", "6")
    assert [line.split()[2] for line in plan.out.splitlines() if line[0] == "~"] == names
    result = json.loads(operator.call("apply", "--yes", "--format", "json").out)
    assert [host["host"] for host in result["hosts"]] == names


@pytest.mark.parametrize("command", [["validate"], ["plan"], ["apply", "--yes"], ["hosts"]])
@pytest.mark.parametrize(
    ("args", "environ", "colourful"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {}, False),
        ([], {"AEGIS_PROVISION_COLOR": "always"}, True),
    ],
)
def test_colour_off_a_terminal_is_only_what_was_asked_for(
    operator: Operator,
    command: list[str],
    args: list[str],
    environ: dict[str, str],
    *,
    colourful: bool,
) -> None:
    (operator.work / "inventory.yml").write_text("all: {hosts: {a: {provider: gml}}}")
    result = operator.call(*command, *args, environ=environ)
    assert result.code == 3
    assert ("\x1b[" in result.err) is colourful


def test_forced_colour_draws_no_bar_into_a_file(operator: Operator) -> None:
    result = operator.call("plan", "--color", "always")
    assert result.err == "Reading 3 hosts\n"


def test_a_deadline_that_passes_at_once_leaves_nothing_open(operator: Operator) -> None:
    """Python would complain of an open socket on stderr."""
    operator.inventory("a")
    result = operator.run("plan", "--deadline", "0.000001")
    assert result.code == 5
    assert result.err == "Reading 1 host\na: unreachable\n"


@pytest.mark.parametrize(
    "command",
    ["validate", "providers", "hosts", "hosts --host a", "plan", "apply --list-hosts", "history"],
)
def test_ndjson_is_the_document_of_json_on_the_last_line(operator: Operator, command: str) -> None:
    document = json.loads(operator.call(*command.split(), "--format", "json").out)
    result = operator.call(*command.split(), environ={"AEGIS_PROVISION_FORMAT": "ndjson"})
    *events, last = [json.loads(line) for line in result.out.splitlines()]
    named = {"schema": "aegis-provision/event/v1", "event": "plan_finished", "at": last.get("at")}
    assert last == ({**document, **named} if command == "plan" else document)
    assert [event["event"] for event in events] == (
        ["reading_started", *["host_planned"] * 3] if command == "plan" else []
    )


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        (">/dev/full", 1),
        ("2>/dev/full", 0),
        (">/dev/full 2>&1", 1),
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        ("| true", 0),
        ("2>&1 | true", 0),
        ("2> >(true)", 0),
    ],
)
@pytest.mark.parametrize("command", ["apply --yes -vv", "apply --yes --format ndjson"])
def test_nothing_that_prints_stops_a_run(
    operator: Operator, streams: str, code: int, command: str
) -> None:
    result = in_shell(operator, f"PYTHONIOENCODING=ascii:strict $PROGRAM {command} {streams}")
    assert result.code == code, result.err
    assert all(is_written(operator.file_of(host)) for host in "abc")
    told = json.loads(operator.call("history", "last", "--format", "json").out)["run"]
    assert told["exit_code"] == 0
    assert [host["status"] for host in told["hosts"]] == ["restart_pending"] * 3


class _Breaking(io.StringIO):
    """A stream with a bug: it breaks in the middle of a run."""

    def write(self, text: str, /) -> int:
        if "host_written" in text:
            raise RuntimeError("canary-5d2f")
        return super().write(text)


def test_a_bug_in_what_shows_a_run_does_not_stop_it(operator: Operator) -> None:
    out, err = _Breaking(), io.StringIO()
    with chdir(operator.work), redirect_stdout(out), redirect_stderr(err):
        code = run(["apply", "--yes", "--format", "ndjson"], operator.environ)
    assert code == 1
    assert "internal error: RuntimeError in aegis-provision" in err.getvalue()
    assert "canary" not in err.getvalue()
    assert all(is_written(operator.file_of(host)) for host in "abc")
    told = json.loads(operator.call("history", "last", "--format", "json").out)["run"]
    assert told["exit_code"] == 0


def test_a_full_pipe_that_does_not_block_loses_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    whole = b"x" * 1_000_000
    got = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            got.extend(piece)

    reader = threading.Thread(target=read)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += os.write(writing, whole)
    reader.start()
    with io.BufferedWriter(FaultTolerantDescriptor(writing)) as stream:
        raw = stream.raw
        stream.write(whole)
    os.close(writing)
    reader.join(timeout=30)
    os.close(reading)
    assert len(got) == filled + len(whole)
    assert isinstance(raw, FaultTolerantDescriptor)
    assert raw.lost is None


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("utf-8", "utf-8"),
        ("ascii", "ascii"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("idna", "ascii"),
        ("cp037", "cp037"),
    ],
)
def test_an_encoding_that_can_not_write_plain_text_is_not_taken(name: str, taken: str) -> None:
    assert plain_encoding(name) == taken


def test_what_is_drawn_is_escaped_before_columns_are_counted() -> None:
    under = io.BytesIO()
    out = io.TextIOWrapper(under, encoding="latin-1")
    console = Console(file=out, width=12, color_system=None)
    console.print(Encodable(Text("é モデル", overflow="crop", no_wrap=True)), end="")
    out.flush()
    drawn = under.getvalue().decode("latin-1")
    assert drawn.startswith("é \\u30e2")
    assert encodable("é モ", "latin-1") == "é \\u30e2"
    assert encodable("é モ", "utf-8") == "é モ"
    assert encodable("plain", "no-such-encoding") == "plain"
