"""Flags out of the environment, and the secrets that a run needs."""

from __future__ import annotations

import io
import json
import os
from contextlib import chdir, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import SUMMARIES, program, run
from tests.fleet.openssh import running_sshd
from tests.fleet.operator import Operator

if TYPE_CHECKING:
    from pathlib import Path

MUST_BE_SAID = {"yes", "host_key"}
OF_ONE_COMMAND = {
    *("by", "every", "graph", "one", "provider", "reveal", "count", "keep"),
    *("model", "fast_model", "base_url", "timeout_ms", "auth_token", "until", "reason", "dry_run"),
    *("force", "out", "base", "host", "names", "sarif_root", "page", "ready_made"),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_each_common_flag_has_a_variable_and_no_other_has(name: str) -> None:
    with program.make_context("aegis-provision", [name], resilient_parsing=True) as context:
        command = program.get_command(context, name)
    assert command is not None
    for flag in command.params:
        if flag.param_type_name == "option":
            excepted = flag.name in MUST_BE_SAID | OF_ONE_COMMAND
            longest = max(flag.opts, key=len)
            variable = f"AEGIS_PROVISION_{longest.lstrip('-').upper().replace('-', '_')}"
            assert flag.envvar == (None if excepted else variable), flag.name


@pytest.mark.parametrize(
    ("variable", "value", "flags"),
    [
        ("LIMIT", "b", ["--limit", "b"]),
        ("FORMAT", "json", ["--format", "json"]),
        ("COLOR", "always", ["--color", "always"]),
        ("VERBOSE", "1", ["-v"]),
        ("QUIET", "1", ["-q"]),
        ("DETAILED_EXITCODE", "1", ["--detailed-exitcode"]),
        ("FORKS", "0", ["--forks", "0"]),
        ("TIMEOUT", "soon", ["--timeout", "soon"]),
        ("DEADLINE", "-1", ["--deadline", "-1"]),
        ("SSH_CONFIG", "/nowhere", ["--ssh-config", "/nowhere"]),
        ("KNOWN_HOSTS", "/nowhere", ["--known-hosts", "/nowhere"]),
        ("ENV_FILE", "/nowhere", ["--env-file", "/nowhere"]),
        ("INVENTORY", "nowhere.yml", ["--inventory", "nowhere.yml"]),
    ],
)
def test_a_variable_does_what_its_flag_does(
    operator: Operator, variable: str, value: str, flags: list[str]
) -> None:
    operator.inventory("a", "b")
    plain = operator.call("plan", "--forks", "1") if variable != "FORKS" else operator.call("plan")
    one_at_a_time = {} if variable == "FORKS" else {"AEGIS_PROVISION_FORKS": "1"}
    by_flag = operator.call("plan", *flags, environ=one_at_a_time)
    result = operator.call("plan", environ={**one_at_a_time, f"AEGIS_PROVISION_{variable}": value})
    assert result == by_flag
    assert result != plain


@pytest.mark.parametrize(
    ("variable", "flag"), [("CHECK", "--check"), ("DIFF", "--diff"), ("LIST_HOSTS", "--list-hosts")]
)
def test_flags_of_apply_that_only_show_have_variables_too(
    operator: Operator, variable: str, flag: str
) -> None:
    result = operator.call("apply", environ={f"AEGIS_PROVISION_{variable}": "1"})
    assert result == operator.call("apply", flag)
    assert result != operator.call("apply")


def test_yes_must_be_said(operator: Operator) -> None:
    result = operator.call("apply", environ={"AEGIS_PROVISION_YES": "1"})
    assert result.code == 6


def test_trust_in_new_host_keys_must_be_said(operator: Operator, tmp_path: Path) -> None:
    environ = {
        "AEGIS_PROVISION_HOST_KEY": "accept-new",
        "AEGIS_PROVISION_KNOWN_HOSTS": str(tmp_path / "none"),
    }
    result = operator.call("plan", environ=environ)
    assert result.code == 5
    assert not (tmp_path / "none").exists()


def test_a_flag_is_stronger_than_its_variable(operator: Operator) -> None:
    result = operator.call(
        "apply", "--list-hosts", "-l", "a", environ={"AEGIS_PROVISION_LIMIT": "b"}
    )
    assert result.out == "a\n"


def test_an_empty_variable_is_unset(operator: Operator) -> None:
    result = operator.call("apply", "--list-hosts", environ={"AEGIS_PROVISION_LIMIT": ""})
    assert result.out == "a\nb\nc\n"


def test_variables_hold_several_paths_where_flags_may_be_repeated(operator: Operator) -> None:
    second = operator.work / "second.yml"
    second.write_text("all: {hosts: {d: {provider: ollama}}}")
    variable = {"AEGIS_PROVISION_INVENTORY": f"inventory.yml:{second}"}
    result = operator.call("apply", "--list-hosts", environ=variable)
    assert result.out == "a\nb\nc\nd\n"


def test_all_missing_secrets_are_one_error_before_any_connection(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "own-sshd") as server:
        person = Operator(tmp_path / "operator", server)
        person.furnish("a", "b", "c")
        person.inventory("a", "b", "c")
        inventory = person.work / "inventory.yml"
        inventory.write_text(
            inventory.read_text().replace(
                "    c: {", "    c: {provider: glm, env: {MY_TOKEN: '${A_SECRET}'}, "
            )
        )
        person.environ["OPENROUTER_API_KEY"] = ""
        for command in (
            ["plan"],
            ["plan", "--format", "json"],
            ["apply", "--yes"],
            ["apply", "-C"],
        ):
            result = person.call(*command)
            assert (result.code, result.out) == (3, "")
            assert result.err == (
                "error: 3 environment variables are unset or empty: A_SECRET (needed by c), "
                "GLM_API_KEY (needed by c), OPENROUTER_API_KEY (needed by 2 hosts, a first)\n"
                "  = export them, or put them into a file that only you can read and name it "
                "with --env-file\n1 error\n"
            )
        assert (
            "Connection from"
            not in server.log.read_text().partition("listening")[2].partition("Connection from")[2]
        )


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["hosts"],
        ["explain", "a"],
        ["providers"],
        ["hosts", "--graph"],
        ["apply", "--list-hosts"],
    ],
)
def test_what_only_looks_at_the_inventory_needs_no_secrets(
    operator: Operator, command: list[str]
) -> None:
    operator.environ.pop("OPENROUTER_API_KEY")
    assert operator.call(*command).code == 0


def test_only_selected_hosts_need_their_secrets(operator: Operator) -> None:
    inventory = operator.work / "inventory.yml"
    inventory.write_text(inventory.read_text().replace("    c: {", "    c: {provider: glm, "))
    assert operator.call("plan").code == 3
    assert operator.call("plan", "--limit", "all:!c").code == 0


def test_the_env_file_lies_beneath_the_environment(operator: Operator) -> None:
    tokens = operator.work / "tokens.env"
    tokens.touch(mode=0o600)
    tokens.write_text("OPENROUTER_API_KEY=from-the-file\nOPENROUTER_MODEL=model-of-the-file\n")
    result = operator.call("render", "a", "--reveal", "--env-file", "tokens.env")
    values = json.loads(result.out)["defaultSessionEnv"]
    assert values["ANTHROPIC_AUTH_TOKEN"] == operator.environ["OPENROUTER_API_KEY"]
    assert values["ANTHROPIC_DEFAULT_MODEL"] == "model-of-the-file"


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("a", "a"),
        ("a:b", "ab"),
        ("a,c", "ac"),
        ("c:a", "ac"),
        ("all:!b", "ac"),
        ("!b", "ac"),
        ("all:&~^[ab]$", "ab"),
        ("?", "abc"),
        ("[ab]", "ab"),
        ("all[0]", "a"),
        ("all[1:2]", "bc"),
        ("all[-1]", "c"),
        ("@names", "bc"),
        ("provider=openrouter", "abc"),
        ("provider=openrouter:!a", "bc"),
    ],
)
def test_limits(operator: Operator, pattern: str, hosts: str) -> None:
    (operator.work / "names").write_text("c\nb\n")
    result = operator.call("apply", "--list-hosts", "--limit", pattern)
    assert (result.code, result.out.split()) == (0, list(hosts)), result.err
    by_pattern = operator.call("hosts", pattern, "--format", "json")
    assert list(json.loads(by_pattern.out)["_meta"]["hostvars"]) == list(hosts)


@pytest.mark.parametrize(
    "command", [["plan"], ["apply", "--yes"], ["hosts"], ["apply", "--list-hosts"]]
)
@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "an empty pattern selects nothing"),
        ("build-1", '"build-1" matches no host and no group; did you mean "build-01"?'),
        ("biulders", '"biulders" matches no host and no group; did you mean "builders"?'),
        ("x*", '"x*" matches no host and no group'),
        ("build-01:nope", '"nope" matches no host and no group'),
        ("~(", '"~(" is no regular expression'),
        ("@nowhere", "@nowhere can't be read: No such file or directory"),
        ("all[9]", '"all[9]"'),
    ],
)
def test_a_limit_that_matches_nothing_is_an_error_of_its_own(
    operator: Operator, command: list[str], pattern: str, words: str
) -> None:
    (operator.work / "inventory.yml").write_text(
        "all: {vars: {provider: ollama}, children: {builders: {hosts: {build-01: }}}}"
    )
    result = operator.call(*command, "--limit", pattern)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"error: --limit: {words}")


def test_a_working_directory_that_is_gone_is_told(operator: Operator) -> None:
    """A command works if it needs no name of the directory; others say why they can't go on."""
    inventory = operator.work / "local.yml"
    inventory.write_text("all: {hosts: {h: {provider: ollama}}}\n")
    script = operator.work / "hosts.sh"
    script.write_text('#!/bin/sh\necho \'{"all": {"hosts": ["h"]}}\'\n')
    script.chmod(0o755)
    given = ["-i", str(inventory)]
    gone = operator.work / "gone"

    def call(*args: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        gone.mkdir()
        with chdir(gone), redirect_stdout(out), redirect_stderr(err):
            gone.rmdir()
            code = run(args, operator.environ)
            os.chdir(operator.work)
        return code, err.getvalue()

    assert call("validate", *given) == (0, "")
    assert call("hosts", *given)[0] == 0
    assert call("plan", "-i", str(operator.work / "inventory.yml"))[0] == 0
    code, told = call("validate", *given, "--format", "sarif")
    assert code == 3
    assert told.startswith("error: the directory that this was started in is gone\n")
    assert call("pin", "h", "glm", "-i", "local.yml")[0] == 3
    for command in (["validate", "-i", str(script)], ["hosts", "-i", "./hosts.sh"]):
        code, err = call(*command)
        assert (code, "internal error" in err) == (3, False), err
