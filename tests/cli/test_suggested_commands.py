"""Command lines that messages suggest: typed word by word into a shell they do what they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import SUMMARIES
from aegis_provision.cli.suggested_commands import command_line, completed, operand, piped
from tests.docs.reference import command_paths

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.operator import CommandResult, Operator

CONNECTION = {
    "known_hosts": ("kh", "more hosts"),
    "ssh_config": ("none",),
    "host_key": ("accept-new",),
    "timeout": ("5",),
    "deadline": ("60",),
    "forks": ("3",),
}


@pytest.fixture
def bare(operator: Operator) -> Operator:
    """An operator without variables that say how hosts are reached, and with a shell."""
    for name in ("AEGIS_PROVISION_SSH_CONFIG", "AEGIS_PROVISION_KNOWN_HOSTS", "OPENROUTER_API_KEY"):
        del operator.environ[name]
    shutil.copy(operator.sshd.known_hosts, operator.work / "kh")
    bin_ = operator.root / "bin"
    bin_.mkdir()
    program = bin_ / "aegis-provision"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m aegis_provision "$@"\n')
    program.chmod(0o755)
    operator.environ["PATH"] = f"{bin_}{os.pathsep}{operator.environ['PATH']}"
    _env_file(operator, "tokens.env")
    return operator


def _env_file(operator: Operator, name: str) -> Path:
    path = operator.work / name
    path.write_text("OPENROUTER_API_KEY=token-of-an-env-file\n")
    path.chmod(0o600)
    return path


def _typed(operator: Operator, line: str) -> subprocess.CompletedProcess[str]:
    return operator.execute("sh", "-c", line)


def _suggested(result: CommandResult | subprocess.CompletedProcess[str]) -> str:
    text = result.stderr if isinstance(result, subprocess.CompletedProcess) else result.err
    [line] = re.findall(r"with: (aegis-provision .*)$", text, re.MULTILINE)
    return str(line)


def _token_of(operator: Operator, host: str) -> bool:
    return "token-of-an-env-file" in operator.file_of(host).read_text()


def test_a_saved_plan_is_carried_out_by_the_line_that_is_suggested(bare: Operator) -> None:
    result = _typed(
        bare,
        "aegis-provision plan -l a --known-hosts kh --ssh-config none --env-file ./tokens.env "
        "--timeout=7.5 --deadline 60 --forks=2 --host-key strict --out plan.json",
    )
    assert result.returncode == 0, result.stderr
    assert _suggested(result) == (
        "aegis-provision apply plan.json --known-hosts kh --ssh-config none "
        "--env-file ./tokens.env --timeout 7.5 --deadline 60 -f 2 --host-key strict"
    )
    done = _typed(bare, f"{_suggested(result)} --yes")
    assert done.returncode == 0, done.stderr
    assert _token_of(bare, "a")
    assert not _token_of(bare, "b")


def test_names_are_quoted_for_the_shell(bare: Operator) -> None:
    kh, env, out = "known $HOME 'hosts'", "to kens;.env", "-a plan & more.json"
    (bare.work / "kh").rename(bare.work / kh)
    _env_file(bare, env)
    result = _typed(
        bare,
        shlex.join(
            ["aegis-provision", "plan", "--out", out, "--env-file", env, "--known-hosts", kh]
        )
        + " --known-hosts also-this --ssh-config none",
    )
    assert result.returncode == 0, result.stderr
    done = _typed(bare, f"{_suggested(result)} --yes")
    assert done.returncode == 0, done.stderr
    assert all(_token_of(bare, host) for host in "abc")


def test_what_variables_say_is_not_repeated(bare: Operator) -> None:
    bare.environ |= {
        "AEGIS_PROVISION_KNOWN_HOSTS": "kh",
        "AEGIS_PROVISION_SSH_CONFIG": "none",
        "AEGIS_PROVISION_ENV_FILE": "tokens.env",
        "AEGIS_PROVISION_LIMIT": "a:b",
    }
    result = _typed(bare, "aegis-provision plan --out plan.json")
    assert _suggested(result) == "aegis-provision apply plan.json"
    assert _typed(bare, f"{_suggested(result)} --yes").returncode == 0
    assert _token_of(bare, "b")
    assert not _token_of(bare, "c")


def test_what_can_not_be_opened_again_is_named_and_not_repeated(bare: Operator) -> None:
    (bare.work / "empty").touch()
    result = _typed(
        bare,
        "aegis-provision plan --ssh-config /dev/fd/3 --known-hosts kh --env-file tokens.env "
        "--out plan.json 3<empty",
    )
    assert "Saved to plan.json; carry it out (and --ssh-config again) with: " in result.stderr
    assert _suggested(result) == (
        "aegis-provision apply plan.json --known-hosts kh --env-file tokens.env"
    )


def test_a_plan_in_a_playbook_s_place_tells_how_it_is_looked_at(bare: Operator) -> None:
    flags = "--known-hosts kh --ssh-config none --env-file tokens.env"
    assert _typed(bare, f"aegis-provision plan --out 'my plan' {flags}").returncode == 0
    result = _typed(bare, f"aegis-provision plan 'my plan' {flags}")
    assert result.returncode == 64
    [line] = re.findall(r"still holds: (.*)$", result.stderr, re.MULTILINE)
    assert line == f"aegis-provision apply --check 'my plan' {flags}"
    shown = _typed(bare, line)
    assert (shown.returncode, "3 to update" in shown.stdout) == (0, True)


def test_a_plan_that_can_not_be_used_tells_how_it_is_made_anew(bare: Operator) -> None:
    (bare.work / "my plan").write_text('{"schema": "aegis-provision/saved-plan/v1"}')
    result = bare.call("apply", "my plan", "--known-hosts", "kh", "-f", "2")
    assert result.code == 3
    assert result.err.endswith(
        "make it anew with: aegis-provision plan --out 'my plan' --known-hosts kh -f 2\n"
    )


@pytest.mark.parametrize("name", ["fleet.yml", "my fleet's $1.yml"])
def test_a_hint_works_with_the_inventory_that_was_named(bare: Operator, name: str) -> None:
    (bare.work / "inventory.yml").rename(bare.work / name)
    result = bare.call("explain", "nowhere", "-i", name)
    assert result.code == 3
    [line] = re.findall(r"list them with '(aegis-provision hosts .*)'$", result.err, re.MULTILINE)
    shown = _typed(bare, line)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [host in shown.stdout for host in "abc"] == [True] * 3


def test_a_diagnostic_s_hint_names_the_inventory_too(bare: Operator) -> None:
    pinned = "all: {hosts: {a: {provider: ollama, model: m, pin_until: 2020-01-01}}}\n"
    (bare.work / "old.yml").write_text(pinned)
    in_text = bare.call("validate", "-i", "old.yml")
    as_json = bare.call("validate", "-i", "old.yml", "--format", "json")
    as_sarif = bare.call("validate", "-i", "old.yml", "--format", "sarif")
    for text in (in_text.err, as_json.out, as_sarif.out):
        assert "'aegis-provision unpin HOST -i old.yml'" in text
        assert "'aegis-provision pin HOST PROVIDER --until DATE -i old.yml'" in text


def test_every_command_takes_what_is_repeated_to_it() -> None:
    given = {"inventory": ("i.yml",), "limit": ("a",), "env_file": ("e",), **CONNECTION}
    given["workers"] = ("2",)
    connection = (
        " --known-hosts kh --known-hosts 'more hosts' --ssh-config none --host-key accept-new"
        " --timeout 5 --deadline 60 -f 3"
    )
    of_one_process = f" -i i.yml -l a --env-file e{connection}"
    everything = f"{of_one_process} --workers 2"
    flags = {
        "plan": everything,
        "apply": everything,
        "status": everything,
        "doctor": everything,
        "run": " -i i.yml --env-file e",
        "rollback": everything,
        "import": of_one_process,
        "render": " -i i.yml --env-file e",
        "providers": " -i i.yml --env-file e",
        "validate": " -i i.yml",
        "hosts": " -i i.yml -l a",
        "explain": " -i i.yml --env-file e",
        "pin": " -i i.yml",
        "unpin": " -i i.yml",
        "init": "",
        "history": "",
        "demo": "",
        "session": "",
        "session start": f" -i i.yml --env-file e{connection}",
        "session list": f" -i i.yml --env-file e{connection}",
        "session stop": f" -i i.yml --env-file e{connection}",
    }
    paths = tuple(map(" ".join, command_paths()))
    assert set(SUMMARIES) <= set(paths)
    for command in paths:
        line = command_line(given, *command.split())
        assert line.removeprefix(f"aegis-provision {command}") == flags.get(command), command


def test_flags_that_are_decided_are_left_out() -> None:
    given = {"inventory": ("i",), "limit": ("a",), "forks": ("2",)}
    line = command_line(given, "apply", "x y", without=("limit", "inventory"))
    assert line == "aegis-provision apply 'x y' -f 2"


def test_a_text_is_completed_wherever_it_quotes_a_command() -> None:
    given = {"inventory": ("a'b c.yml",)}
    assert completed("see 'aegis-provision history', or 'aegis-provision hosts x'.", given) == (
        r"see 'aegis-provision history', or 'aegis-provision hosts x -i a\'b\ c.yml'."
    )
    assert completed("'aegis-provision session stop h 1'", {"limit": ("a",), "forks": ("2",)}) == (
        "'aegis-provision session stop h 1 -f 2'"
    )
    assert (
        completed("'aegis-provision hosts' and 'plan'", {}) == "'aegis-provision hosts' and 'plan'"
    )
    assert shlex.split(r"-i a\'b\ c.yml") == ["-i", "a'b c.yml"]


@pytest.mark.parametrize("path", ["-", "/dev/stdin", "/dev/fd/63", "/proc/self/fd/0"])
def test_standard_input_is_a_pipe(path: str) -> None:
    given = {"env_file": (path,), "known_hosts": ("kh",), "inventory": ("/dev/null",)}
    assert piped(given) == ("--env-file",)
    assert command_line(given, "status") == "aegis-provision status --known-hosts kh -i /dev/null"


@pytest.mark.parametrize("path", ["plan.json", "/dev/null", "a\0b", "proc/self/fd/0"])
def test_any_other_file_is_none(path: str) -> None:
    assert piped({"env_file": (path,)}) == ()


def test_an_operand_is_never_a_flag() -> None:
    assert operand("-x") == "./-x"
    assert operand("x-") == "x-"
