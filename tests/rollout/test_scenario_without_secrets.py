"""``plan`` and ``status`` without the secrets: for a reviewer, or a check of a change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, running_hosts
from tests.rollout.fleet_reset import reset
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "ANTHROPIC_AUTH_TOKEN"
UNSET = {"GATEWAY_TOKEN": "", "API_OPENER": ""}
PLAYBOOK = "- {hosts: all, restart: changed, verify: {health: true}}\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    common = {"api_token": "${API_OPENER}"}
    with running_hosts(tmp_path_factory.mktemp("fleet"), ("a", "b"), common=common) as fleet:
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    reset(running)
    without = {key: value for key, value in OLD_ENV.items() if key != NAME}
    held = running.hosts["b"].config()
    running.hosts["b"].write_config({**held, "defaultSessionEnv": without})
    return running


@pytest.mark.parametrize("command", [["plan"], ["plan", "PLAYBOOK"], ["status"]])
@pytest.mark.parametrize("output_format", ["text", "json"])
def test_the_output_is_the_same_whether_the_secrets_are_set_or_not(
    fleet: Fleet, command: list[str], output_format: str
) -> None:
    fleet.playbook(PLAYBOOK)
    words = ["playbook.yml" if word == "PLAYBOOK" else word for word in command]
    words += ["--no-secrets", "--format", output_format]
    bare = fleet.call(*words, env=UNSET)
    full = fleet.call(*words, env={"GATEWAY_TOKEN": TOKEN, "API_OPENER": "x"})
    assert (bare.exit_code, bare.stderr) == (0, full.stderr)
    assert bare.stdout == full.stdout
    assert TOKEN not in bare.stdout
    if output_format == "json":
        check_document(words[0], json.loads(bare.stdout))


def test_a_token_there_is_unknown_and_one_that_is_not_there_is_added(fleet: Fleet) -> None:
    result = fleet.call("plan", "--no-secrets", "--format", "json", env=UNSET)
    hosts = {entry["host"]: entry for entry in result.json["hosts"]}
    assert (hosts["a"]["unknown"], hosts["b"]["unknown"]) == ([NAME], [])
    changes = {name: [item["key"] for item in hosts[name]["changes"]] for name in "ab"}
    assert NAME not in changes["a"]
    assert NAME in changes["b"]
    text = fleet.call("plan", "--no-secrets", env=UNSET).stdout
    assert f"? {NAME:<30}(secret) unknown until apply" in text
    assert "1 with tokens unknown until apply" in text


def test_hosts_that_are_right_but_for_an_unknown_token_are_unchanged(fleet: Fleet) -> None:
    fleet.playbook("- {hosts: all}\n")
    assert fleet.call("apply", "--yes", env={"API_OPENER": "x"}).exit_code == 0
    result = fleet.call("plan", "--no-secrets", "--detailed-exitcode", env=UNSET)
    assert result.exit_code == 0, result.stdout
    status = fleet.call("status", "--no-secrets", "--detailed-exitcode", env=UNSET)
    assert status.exit_code == 0
    assert f"unknown until apply: {NAME}" in status.stdout
    by_secret = fleet.call("status", "--no-secrets", "--by", "secret", env=UNSET).stdout
    assert "${GATEWAY_TOKEN}: 2 not known" in by_secret


def test_a_file_that_the_login_may_not_write_is_reported_all_the_same(fleet: Fleet) -> None:
    directory = fleet.hosts["a"].config_path.parent
    directory.chmod(0o555)
    try:
        full = fleet.call("plan", "--format", "json", env={"GATEWAY_TOKEN": TOKEN})
        bare = fleet.call("plan", "--no-secrets", "--format", "json", env=UNSET)
    finally:
        directory.chmod(0o755)
    assert full.statuses == bare.statuses


def test_no_such_thing_as_an_apply_without_secrets(fleet: Fleet) -> None:
    assert fleet.call("apply", "--no-secrets", "--yes").exit_code == 64
