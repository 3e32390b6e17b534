"""What is printed where: results on stdout, all else on stderr, whatever becomes of either."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fleet.operator import PROGRAM, Operator, Said

if TYPE_CHECKING:
    from pathlib import Path


def in_shell(operator: Operator, line: str) -> Said:
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
    return Said(done.returncode, done.stdout, done.stderr)


def is_written(file: Path) -> bool:
    return "defaultSessionEnv" in json.loads(file.read_text())


def test_a_reader_that_leaves_does_not_end_an_apply_half_way(operator: Operator) -> None:
    said = in_shell(operator, "$PROGRAM apply --yes | true")
    assert said.code == 0, said.err
    assert said.err.count("written, restart pending") == 3
    assert all(is_written(operator.file_of(host)) for host in "abc")


def test_the_exit_code_does_not_depend_on_the_reader(operator: Operator) -> None:
    said = in_shell(operator, "$PROGRAM plan --detailed-exitcode | head -1")
    assert said.code == 2
    assert said.out.startswith("~ update ")
    assert said.err == "Reading 3 hosts\n"


@pytest.mark.parametrize("command", ["plan", "hosts", "hosts --format json", "validate", "--help"])
def test_a_full_disk_is_told_without_a_traceback(operator: Operator, command: str) -> None:
    said = in_shell(operator, f"$PROGRAM {command} >/dev/full")
    assert said.code == 1
    assert said.err.endswith("error: the result could not be printed: No space left on device\n")
    assert "Traceback" not in said.err
    assert "bug" not in said.err


def test_a_failure_of_its_own_outweighs_a_full_disk(operator: Operator) -> None:
    operator.furnish("b", content="no JSON")
    assert in_shell(operator, "$PROGRAM plan >/dev/full").code == 4


def test_a_full_disk_under_the_progress_changes_nothing(operator: Operator) -> None:
    said = in_shell(operator, "$PROGRAM plan 2>/dev/full")
    assert said.code == 0
    assert said.out.endswith("Plan: 3 to update\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(operator: Operator, closed: str) -> None:
    open_ones = in_shell(operator, "$PROGRAM plan")
    said = in_shell(operator, f"$PROGRAM plan {closed}")
    assert said.code == 0
    assert said.out == ("" if " >&-" in f" {closed}" else open_ones.out)
    assert said.err == ("" if "2>&-" in closed else open_ones.err)


def test_nobody_is_asked_on_a_closed_input(operator: Operator) -> None:
    said = in_shell(operator, "$PROGRAM apply <&-")
    assert said.code == 6
    assert "there is no terminal to ask on; say --yes to go ahead" in said.err


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
    said = operator.call(*command, *loud, "--format", "json")
    document = json.loads(said.out)
    schema = document.get("schema") or document.get("_meta", {}).get("schema")
    assert said.out.endswith("}\n")
    if command[:2] != ["hosts", "--host"]:
        kind = "plan" if "--check" in command else command[0]
        assert schema == f"aegis-provision/{kind}/v1"


def test_warnings_go_to_stderr(operator: Operator) -> None:
    operator.inventory("a", more="timeout_ms: 900")
    said = operator.call("plan")
    assert "warning: " in said.err
    assert "less than a second" in said.err
    assert "less than a second" not in said.out


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
    said = operator.call(*command, *args, environ=environ)
    assert said.code == 3
    assert ("\x1b[" in said.err) is colourful


def test_forced_colour_draws_no_bar_into_a_file(operator: Operator) -> None:
    said = operator.call("plan", "--color", "always")
    assert said.err == "Reading 3 hosts\n"


def test_a_deadline_that_passes_at_once_leaves_nothing_open(operator: Operator) -> None:
    """Python would complain of an open socket on stderr."""
    operator.inventory("a")
    said = operator.run("plan", "--deadline", "0.000001")
    assert said.code == 5
    assert said.err == "Reading 1 host\na: unreachable\n"


@pytest.mark.parametrize(
    "command",
    ["validate", "providers", "hosts", "hosts --host a", "plan", "apply --list-hosts", "history"],
)
def test_ndjson_is_the_document_of_json_on_the_last_line(operator: Operator, command: str) -> None:
    document = json.loads(operator.call(*command.split(), "--format", "json").out)
    said = operator.call(*command.split(), environ={"AEGIS_PROVISION_FORMAT": "ndjson"})
    *events, last = [json.loads(line) for line in said.out.splitlines()]
    named = {"schema": "aegis-provision/event/v1", "event": "plan_finished", "at": last.get("at")}
    assert last == ({**document, **named} if command == "plan" else document)
    assert [event["event"] for event in events] == (
        ["reading_started", *["host_planned"] * 3] if command == "plan" else []
    )
