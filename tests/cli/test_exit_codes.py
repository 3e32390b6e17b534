"""The public table of exit codes: the first that applies, and never a traceback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aegis_provision.operations.exit_codes import ExitCode, plan_exit_code, run_exit_code
from aegis_provision.planning.plan import Action, HostPlan
from aegis_provision.rollout.results import HostResult, RunResult, Status

if TYPE_CHECKING:
    from tests.fleet.operator import Operator

DONE, BUG, PENDING, INVALID, FAILED, UNREACHABLE, REFUSED, USAGE = 0, 1, 2, 3, 4, 5, 6, 64

# What is wrong, by the letters below, and the exit code of each command then.
#   u  a flag that does not exist        s  a secret is missing      b  a host's file is broken
#   i  the inventory has an error        g  a host is not reachable  c  changes are pending
CASES = [
    ("", {"plan": DONE, "plan -": DONE, "check -": DONE, "apply": DONE, "apply yes": DONE}),
    (
        "c",
        {"plan": DONE, "plan -": PENDING, "check -": PENDING, "apply": REFUSED, "apply yes": DONE},
    ),
    ("g", {"plan": UNREACHABLE, "plan -": UNREACHABLE, "apply": UNREACHABLE}),
    ("b", {"plan": FAILED, "plan -": FAILED, "check -": FAILED, "apply": FAILED}),
    ("gc", {"plan -": UNREACHABLE, "apply": REFUSED, "apply yes": UNREACHABLE}),
    ("bc", {"plan -": FAILED, "check -": FAILED, "apply": REFUSED, "apply yes": FAILED}),
    ("bg", {"plan": FAILED, "plan -": FAILED, "apply": FAILED, "apply yes": FAILED}),
    ("bgc", {"plan": FAILED, "apply": REFUSED, "apply yes": FAILED}),
    ("sbgc", {"plan": INVALID, "plan -": INVALID, "apply": INVALID, "apply yes": INVALID}),
    ("isbgc", {"plan": INVALID, "apply": INVALID, "apply yes": INVALID}),
    ("uisbgc", {"plan": USAGE, "check -": USAGE, "apply": USAGE, "apply yes": USAGE}),
]
COMMANDS = {
    "plan": ["plan"],
    "plan -": ["plan", "--detailed-exitcode"],
    "check -": ["apply", "--check", "--detailed-exitcode"],
    "apply": ["apply"],
    "apply yes": ["apply", "--yes"],
}


@pytest.mark.parametrize(
    ("wrong", "command", "code"),
    [(wrong, command, code) for wrong, codes in CASES for command, code in codes.items()],
)
def test_the_first_that_applies_is_the_exit_code(
    operator: Operator, wrong: str, command: str, code: int
) -> None:
    hosts = ["a", *(["b"] if "b" in wrong else []), *(["g"] if "g" in wrong else [])]
    operator.inventory(*hosts, unreachable=("g",))
    if "c" not in wrong:
        assert operator.call("apply", "--yes", "--limit", "a").code == DONE
    if "b" in wrong:
        operator.furnish("b", content="{")
    if "s" in wrong:
        operator.environ.pop("OPENROUTER_API_KEY")
    if "i" in wrong:
        inventory = operator.work / "inventory.yml"
        inventory.write_text(inventory.read_text() + "    x: {modle: y}\n")
    result = operator.call(*COMMANDS[command], *(["--no-such-flag"] if "u" in wrong else []))
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    if code in {INVALID, USAGE}:
        assert result.out == ""
        assert "Reading" not in result.err


def plan_of(action: Action) -> HostPlan:
    return HostPlan("h", "glm", "/f", action)


@pytest.mark.parametrize("detailed", [False, True])
def test_a_plans_code_is_that_of_its_worst_host(*, detailed: bool) -> None:
    codes = {
        Action.UNCHANGED: ExitCode.DONE,
        Action.CREATE: ExitCode.CHANGES_PENDING if detailed else ExitCode.DONE,
        Action.UPDATE: ExitCode.CHANGES_PENDING if detailed else ExitCode.DONE,
        Action.UNREACHABLE: ExitCode.HOST_UNREACHABLE,
        Action.ERROR: ExitCode.HOST_FAILED,
    }
    worst = [
        ExitCode.DONE,
        ExitCode.CHANGES_PENDING,
        ExitCode.HOST_UNREACHABLE,
        ExitCode.HOST_FAILED,
    ]
    assert set(codes) == set(Action)
    for one in Action:
        for other in Action:
            expected = max(codes[one], codes[other], key=worst.index)
            assert plan_exit_code([plan_of(one), plan_of(other)], detailed=detailed) is expected


def test_a_runs_code_is_that_of_its_worst_host() -> None:
    codes = {
        Status.FAILED: ExitCode.HOST_FAILED,
        Status.REFUSED: ExitCode.HOST_FAILED,
        Status.ROLLED_BACK: ExitCode.HOST_FAILED,
        Status.ROLLBACK_FAILED: ExitCode.HOST_FAILED,
        Status.UNREACHABLE: ExitCode.HOST_UNREACHABLE,
    }
    worst = [ExitCode.DONE, ExitCode.HOST_UNREACHABLE, ExitCode.HOST_FAILED]
    for one in codes.keys() | {Status.APPLIED, Status.RESTART_PENDING, Status.UNCHANGED}:
        for other in codes.keys() | {Status.APPLIED}:
            results = (HostResult("x", one), HostResult("y", other))
            both = (codes.get(one, ExitCode.DONE), codes.get(other, ExitCode.DONE))
            assert run_exit_code(RunResult(results)) is max(both, key=worst.index)
            assert run_exit_code(RunResult(results, budget_spent=True)) is ExitCode.HOST_FAILED
            assert run_exit_code(RunResult(results, all_locked=True)) is ExitCode.REFUSED
            assert (
                run_exit_code(RunResult(results, interrupted=True, all_locked=True))
                is ExitCode.INTERRUPTED
            )


def test_the_document_holds_the_exit_code(operator: Operator) -> None:
    operator.inventory("a", "g", unreachable=("g",))
    result = operator.call("apply", "--yes", "--format", "json")
    assert result.code == json.loads(result.out)["exit_code"] == UNREACHABLE


@pytest.mark.parametrize(
    "argv",
    [
        ["plan", "--forks", "0"],
        ["plan", "--forks", "1001"],
        ["plan", "--forks", "many"],
        ["plan", "--timeout", "0"],
        ["plan", "--timeout", "nan"],
        ["plan", "--deadline", "-1"],
        ["plan", "--deadline", "nan"],
        ["plan", "--deadline", "inf"],
        ["plan", "--format", "yaml"],
        ["plan", "--color", "sometimes"],
        ["plan", "--host-key", "ignore"],
        ["plan", "--limit"],
        ["plan", "one", "two"],
        ["render"],
        ["render", "a", "--provider", "glm"],
        ["hosts", "--graph", "--host", "a"],
        ["hosts", "--graph", "--format", "json"],
        ["hosts", "--host", "a", "--limit", "a"],
        ["hosts", "all", "--host", "a"],
        ["init", "one", "two"],
        ["session"],
        ["session", "strt"],
        ["session", "start", "a"],
        ["session", "stop", "a"],
        ["--no-such-flag"],
        ["plam"],
        [],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_usage(operator: Operator, argv: list[str]) -> None:
    result = operator.call(*argv)
    assert (result.code, result.out) == (USAGE, "")
    assert "Usage: aegis-provision" in result.err or result.err.startswith("Error: ")


def test_a_mistyped_command_is_suggested(operator: Operator) -> None:
    assert 'no command is called "plam"; did you mean "plan"?' in operator.call("plam").err


@pytest.mark.parametrize("flag", ["--ssh-config", "--known-hosts"])
def test_a_directory_in_a_files_place_is_told_before_any_connection(
    operator: Operator, flag: str
) -> None:
    result = operator.call("plan", flag, ".")
    assert (result.code, result.out) == (INVALID, "")
    assert result.err.startswith(f"error: {flag}: ")


@pytest.mark.parametrize("flag", ["--env-file", "--inventory", "--ssh-config", "--limit"])
def test_what_was_typed_can_not_drive_the_terminal(operator: Operator, flag: str) -> None:
    result = operator.call("plan", flag, "no\x1b[2Jwhere")
    assert result.code == INVALID
    assert "\x1b" not in result.err
    assert "no\\x1b[2Jwhere" in result.err
