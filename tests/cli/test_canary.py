"""A canary token in every place a secret can be, looked for in every place it must not reach."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from aegis_provision.report import plan_report
from tests.fleet.arguments import arguments_watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.operator import CommandResult, Operator

CANARY = "canary4f1d"
MAY_HOLD_SECRETS = {"aegis.config.json", "previous"}

ON_HOSTS = {
    # Each host's file holds canaries of its own, in all the ways a file can be.
    "plain": json.dumps({"authToken": f"{CANARY}-auth", "port": 9100}),
    "old": json.dumps(
        {
            "authToken": f"{CANARY}-auth",
            "webhooks": [f"https://hooks.example.com/{CANARY}"],
            "defaultSessionEnv": {
                "ANTHROPIC_AUTH_TOKEN": f"{CANARY}-old",
                "ANTHROPIC_BASE_URL": f"https://user:{CANARY}@old.example.com/v1",
                "MY_API_KEY": f"{CANARY}-key",
            },
        }
    ),
    "broken": f'{{"authToken": "{CANARY}-auth", "defaultSessionEnv": {{"X": {CANARY}}}',
    "number": json.dumps({"defaultSessionEnv": {"ANTHROPIC_AUTH_TOKEN": 1, CANARY: "x"}}),
    "wrongtype": json.dumps({"authToken": [f"{CANARY}-auth"], "port": f"{CANARY}"}),
    "notext": f"\ufeff{CANARY}",
    "root": json.dumps([CANARY]),
    "whole": json.dumps(
        {
            "defaultSessionEnv": {
                "ANTHROPIC_BASE_URL": "https://llm.example.com/v1",
                "ANTHROPIC_AUTH_TOKEN": f"{CANARY}-whole",
                "ANTHROPIC_DEFAULT_MODEL": "m",
                "ANTHROPIC_DEFAULT_FAST_MODEL": "m",
                "API_TIMEOUT_MS": "1000",
                "MY_API_KEY": f"{CANARY}-key",
                "HEADERS": f"Authorization: Bearer {CANARY}-whole",
            }
        }
    ),
    "twice": f'{{"authToken": "{CANARY}", "authToken": "{CANARY}2"}}',
}
COMMANDS = [
    ["validate"],
    ["validate", "--format", "json"],
    ["validate", "--format", "sarif"],
    ["pin", "old", "openrouter", "--auth-token", "${MY_TOKEN}", "--dry-run"],
    ["pin", "old", "openrouter", "--dry-run", "--format", "json"],
    ["hosts"],
    ["hosts", "--graph"],
    ["hosts", "--format", "json"],
    ["hosts", "--host", "old"],
    ["hosts", "--host", "old", "--format", "json"],
    ["explain", "old"],
    ["explain", "old", "--format", "json"],
    ["providers"],
    ["providers", "openrouter"],
    ["providers", "--format", "json"],
    ["render", "old"],
    ["render", "--provider", "openrouter"],
    ["plan"],
    ["plan", "--format", "json"],
    ["plan", "--out", "plan.json"],
    ["plan", "--out", "plan.json", "--no-secrets"],
    ["plan", "--no-secrets"],
    ["plan", "--no-secrets", "--format", "json"],
    ["status", "--no-secrets"],
    ["apply"],
    ["apply", "--check", "--diff"],
    ["apply", "--check", "--format", "json"],
    ["apply", "--list-hosts"],
    ["apply", "--yes"],
    ["apply", "--yes", "--diff", "--format", "json"],
    ["apply", "--yes", "--forks", "1", "--timeout", "5"],
    ["apply", "--yes", "--workers", "2", "--host-key", "accept-new"],
    ["status"],
    ["status", "--by", "secret"],
    ["status", "--by", "provider", "--format", "json"],
    ["status", "--format", "ndjson"],
    ["session", "start", "old", "--work-dir", "/tmp"],
    ["session", "start", "all", "--work-dir", "/tmp", "--format", "json"],
    ["session", "start", "old", "--work-dir", "/tmp", "--print", "json"],
    ["session", "start", "old", "--work-dir", "/tmp", "--print", "curl"],
    ["session", "list", "all"],
    ["session", "stop", "old", "1"],
    ["doctor", "-v"],
    ["doctor", "--format", "json", "--probe"],
    ["doctor", "--format", "ndjson"],
    ["history"],
    ["import", "--out", "new.yml"],
    ["import", "--out", "new.yml", "--format", "json"],
]


@pytest.fixture
def fleet(operator: Operator) -> Operator:
    """An operator with a canary in the environment, the env file, and every host's file."""
    operator.environ.pop("OPENROUTER_API_KEY")
    for host, content in ON_HOSTS.items():
        operator.furnish(host, content=content)
    operator.furnish("new", content=None)
    operator.inventory(*ON_HOSTS, "new", "gone", unreachable=("gone",))
    inventory = operator.work / "inventory.yml"
    text = inventory.read_text(encoding="utf-8")
    env = "    env: {GATEWAY_API_KEY: '${MY_KEY}', X_HEADER_TOKEN: '${MY_TOKEN:-}'}\n"
    inventory.write_text(text.replace("  hosts:\n", f"{env}  hosts:\n"), encoding="utf-8")
    tokens = operator.work / "tokens.env"
    tokens.touch(mode=0o600)
    tokens.write_text(f"OPENROUTER_API_KEY={CANARY}-file\nMY_KEY='{CANARY} key'\n")
    operator.environ |= {
        "OPENROUTER_BASE_URL": f"http://127.0.0.1:{operator.sshd.port}/v1",  # it stays here
        "MY_TOKEN": f"{CANARY}-environment",
        "UNRELATED_SECRET": f"{CANARY}-unrelated",
        "AEGIS_PROVISION_ENV_FILE": "tokens.env",
    }
    return operator


def holders(operator: Operator) -> Iterator[Path]:
    """Yield every file that holds the canary, or is named by it, the operator's own apart."""
    for path in operator.root.rglob("*"):
        if CANARY in path.name or (path.is_file() and CANARY.encode() in path.read_bytes()):
            yield path


def check_files(operator: Operator) -> None:
    given = {operator.work / "tokens.env"}
    for path in set(holders(operator)) - given:
        assert path.is_relative_to(operator.root / "hosts"), path
        assert path.name in MAY_HOLD_SECRETS, path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        if path.parent.name == ".aegis-provision":
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, path
    assert CANARY not in operator.sshd.known_hosts.read_text()
    assert CANARY not in operator.sshd.log.read_text(errors="replace")


def check(operator: Operator, result: CommandResult) -> None:
    assert CANARY not in result.out
    assert CANARY not in result.err
    check_files(operator)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_or_leaves_a_secret(fleet: Operator, command: list[str]) -> None:
    result = fleet.call(*command, "-vvv")
    assert result.code in {0, 4, 5, 6}, result.err
    check(fleet, result)


def test_secrets_do_get_to_the_hosts(fleet: Operator) -> None:
    """The other tests would pass where nothing was ever written."""
    result = fleet.call("apply", "--yes", "-vvv")
    assert "Recap: 5 written, restart pending" in result.out
    written = json.loads(fleet.file_of("old").read_text())["defaultSessionEnv"]
    assert written["ANTHROPIC_AUTH_TOKEN"] == f"{CANARY}-file"
    assert written["GATEWAY_API_KEY"] == f"{CANARY} key"
    assert written["X_HEADER_TOKEN"] == f"{CANARY}-environment"
    check(fleet, result)
    for words, *flags in (
        ("in sync",),
        ("current", "--by", "secret"),
        ("in_sync", "--format", "json"),
    ):
        stands = fleet.call("status", "-vvv", *flags)
        assert words in stands.out, stands.out
        check(fleet, stands)


@pytest.mark.parametrize(
    "value",
    [
        f"{CANARY}\n{CANARY}",
        f"{CANARY}\x7f",
        CANARY * 1000,
        f"<{CANARY}>",
        f"{CANARY}\udcff",
    ],
    ids=["newline", "delete", "long", "placeholder", "surrogate"],
)
@pytest.mark.parametrize("variable", ["OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "MY_TOKEN"])
@pytest.mark.parametrize("command", [["plan"], ["render", "old"], ["apply", "--yes"]], ids=" ".join)
def test_a_value_that_is_refused_is_not_repeated(
    fleet: Operator, command: list[str], variable: str, value: str
) -> None:
    result = fleet.call(*command, "-vvv", environ={variable: value})
    assert result.code == 3
    check(fleet, result)


@pytest.mark.parametrize(
    "line",
    [
        f"OPENROUTER_API_KEY={CANARY} {CANARY}",
        f"{CANARY}",
        f'OPENROUTER_API_KEY="{CANARY}',
        f"{CANARY}=x y",
    ],
)
def test_a_wrong_line_of_the_env_file_is_not_repeated(fleet: Operator, line: str) -> None:
    (fleet.work / "tokens.env").write_text(f"{line}\n")
    result = fleet.call("plan", "-vvv")
    assert result.code == 3
    check(fleet, result)


@pytest.mark.parametrize(
    "setting",
    [
        f"auth_token: {CANARY}",
        f"auth_token: '{CANARY}-${{MY_KEY}}'",
        f"auth_token: '${{MY_KEY:-{CANARY}}}'",
        f"auth_token: [{CANARY}]",
        f"api_token: {CANARY}",
        f"env: {{SOME_TOKEN: {CANARY}}}",
        f"auth_tokn: {CANARY}",
        f"auth_token: {CANARY}: x",
        f"auth_token: &{CANARY} {CANARY}",
        f"base_url: https://user:{CANARY}@example.com/v1",
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_literal_in_the_inventory_is_not_repeated(
    fleet: Operator, setting: str, form: str
) -> None:
    inventory = fleet.work / "inventory.yml"
    text = inventory.read_text(encoding="utf-8").replace("  hosts:\n", f"    {setting}\n  hosts:\n")
    inventory.write_text(text, encoding="utf-8")
    result = fleet.call("validate", "-vvv", "--format", form)
    assert result.code == 3
    assert CANARY not in result.out + result.err


@pytest.mark.parametrize("command", [["plan"], ["plan", "--format", "json"], ["render", "old"]])
@pytest.mark.parametrize(
    "setting",
    [
        "model: '${GATEWAY}'",
        "base_url: 'https://llm.example.com/${GATEWAY}/v1'",
        "env: {HEADERS: 'Authorization: Bearer ${GATEWAY}'}",
    ],
)
def test_a_token_is_masked_where_no_name_says_that_it_is_one(
    fleet: Operator, command: list[str], setting: str
) -> None:
    inventory = fleet.work / "inventory.yml"
    text = inventory.read_text(encoding="utf-8").replace("    env: ", f"    {setting} # ")
    inventory.write_text(
        text.replace("  hosts:\n", "    auth_token: '${GATEWAY}'\n  hosts:\n"), encoding="utf-8"
    )
    result = fleet.call(*command, environ={"GATEWAY": f"{CANARY}-gateway"})
    assert result.code in {0, 4}, result.err
    check(fleet, result)


def test_a_bug_is_told_without_what_it_holds(
    fleet: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"{CANARY} in an exception")

    monkeypatch.setattr(plan_report, "plan_lines", broken)
    result = fleet.call("plan", "-vvv")
    assert result.code == 1
    assert "internal error: RuntimeError" in result.err
    check(fleet, result)


def test_a_write_that_fails_half_way_leaves_no_secret_about(fleet: Operator) -> None:
    """Directories stand where the previous file would be kept, so the write can't go through."""
    kept = fleet.file_of("old").parent / ".aegis-provision"
    for name in ("previous", "previous.old"):
        (kept / name / "x").mkdir(parents=True, mode=0o700)
    kept.chmod(0o700)
    result = fleet.call("apply", "--yes", "-vvv", "--limit", "old")
    assert result.code == 4
    assert json.loads(fleet.file_of("old").read_text()) == json.loads(ON_HOSTS["old"])
    check(fleet, result)


def test_no_process_has_a_secret_among_its_arguments(fleet: Operator) -> None:
    with arguments_watched() as seen:
        result = fleet.run("apply", "--yes", "-vvv", own_python=True)
    assert any(b"aegis_provision" in line for line in seen)
    assert not [line for line in seen if CANARY.encode() in line]
    check(fleet, result)
