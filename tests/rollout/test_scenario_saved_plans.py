"""``plan --out`` and ``apply PLANFILE`` on hosts that really run: that plan, or nothing at all."""

from __future__ import annotations

import json
import shlex
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from aegis_provision.packaged_files import load_schema
from tests.fleet.hosts import TOKEN, Fleet
from tests.rollout.fleet_reset import as_new
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.fleet.hosts import CommandResult

NAMES = ("a", "b", "c")
PLAYBOOK = "- {hosts: 'all', serial: [1, 100%]}\n"


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    running.playbook(PLAYBOOK)
    (running.directory / "plan.json").unlink(missing_ok=True)
    with as_new(running):
        yield running


def _save(
    fleet: Fleet, *words: str, env: Mapping[str, str] | None = None, code: int = 0
) -> CommandResult:
    result = fleet.call("plan", *words, "--out", "plan.json", "--format", "json", env=env)
    assert result.exit_code == code, result.stderr
    check_document("saved-plan", _saved(fleet))
    return result


def _saved(fleet: Fleet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((fleet.directory / "plan.json").read_text())
    return found


def _apply(fleet: Fleet, *words: str, env: Mapping[str, str] | None = None) -> CommandResult:
    return fleet.call("apply", "plan.json", "--yes", "--format", "json", *words, env=env)


def _edit_inventory(fleet: Fleet, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(fleet.inventory.read_text())
    change(document)
    fleet.inventory.write_text(json.dumps(document))


def _files(fleet: Fleet) -> dict[str, bytes]:
    return {name: host.config_path.read_bytes() for name, host in fleet.hosts.items()}


@pytest.mark.parametrize("words", [[], ["playbook.yml"], ["--limit", "a:b"]])
def test_a_plan_that_holds_is_carried_out_as_it_was_shown(fleet: Fleet, words: list[str]) -> None:
    shown = _save(fleet, *words)
    result = _apply(fleet)
    assert result.exit_code == 0, result.stderr
    assert set(result.statuses) == set(shown.statuses)
    assert set(result.statuses.values()) == {"restart_pending"}
    again = fleet.call("plan", *words, "--format", "json")
    assert set(again.statuses.values()) == {"unchanged"}


def test_the_file_is_for_its_owner_and_holds_no_token(fleet: Fleet) -> None:
    _save(fleet)
    path = fleet.directory / "plan.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    tokens = [TOKEN, *(host.api_token for host in fleet.hosts.values()), "old-token-not-real"]
    assert not [token for token in tokens if token in text]
    assert len(_saved(fleet)["token_digests"]) == 1, "one for each distinct token"


def _append(text: str) -> Callable[[Fleet], object]:
    def change(fleet: Fleet) -> None:
        fleet.inventory.write_text(fleet.inventory.read_text() + text)

    return change


def _edit_a(fleet: Fleet) -> None:
    fleet.hosts["a"].write_config({**fleet.hosts["a"].config(), "note": "edited"})


def _loosen_b(fleet: Fleet) -> None:
    fleet.hosts["b"].config_path.chmod(0o640)


def _lose_c(fleet: Fleet) -> None:
    fleet.hosts["c"].config_path.unlink()


def _break_a(fleet: Fleet) -> None:
    fleet.hosts["a"].write_config(b"{")


def _other_model(fleet: Fleet) -> None:
    _edit_inventory(fleet, lambda it: it["all"]["vars"].update(model="other"))


def _other_provider(fleet: Fleet) -> None:
    _edit_inventory(fleet, lambda it: it["all"]["hosts"]["b"].update(provider="ollama", model="m"))


def _one_host_less(fleet: Fleet) -> None:
    _edit_inventory(fleet, lambda it: it["all"]["hosts"].pop("c"))


def _one_host_more(fleet: Fleet) -> None:
    _edit_inventory(fleet, lambda it: it["all"]["hosts"].update(d=it["all"]["hosts"]["c"]))


def _other_playbook(fleet: Fleet) -> None:
    fleet.playbook(PLAYBOOK + "# a word\n")


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (_edit_a, ["a: the file, its mode or its owner has changed"]),
        (_loosen_b, ["b: the file, its mode or its owner has changed"]),
        (_lose_c, ["c: the file is gone"]),
        (_break_a, ["a: it can't be written any more: Aegis ignores the whole file"]),
        (_append("\n"), ["inventory.yml has changed"]),
        (_other_model, ["inventory.yml has changed", "a, b, c: ANTHROPIC_DEFAULT_MODEL is to be"]),
        (_other_provider, ["b: its provider is ollama now, not gateway"]),
        (_one_host_less, ["c: it is no part of what the plan is about any more"]),
        (_one_host_more, ["d: it has come since the plan was made"]),
        (_other_playbook, ["playbook.yml has changed"]),
    ],
)
def test_any_change_refuses_the_whole(
    fleet: Fleet, change: Callable[[Fleet], object], reasons: list[str]
) -> None:
    _save(fleet, "playbook.yml")
    change(fleet)
    before = {name: host.config_path for name, host in fleet.hosts.items()}
    held = {name: path.read_bytes() for name, path in before.items() if path.exists()}
    for words in ([], ["--check"]):
        result = _apply(fleet, *words)
        assert result.exit_code == 6, result.stderr
        assert (
            "the saved plan plan.json does not hold any more; nothing was written" in result.stderr
        )
        for reason in reasons:
            assert reason in result.stderr
    assert held == {name: path.read_bytes() for name, path in before.items() if path.exists()}


def test_a_file_that_is_only_renamed_says_it_of_another_host(fleet: Fleet) -> None:
    """Not a byte is another one, and no host gets another value: b is reached otherwise."""
    directory = fleet.directory / "host_vars"
    directory.mkdir()
    try:
        of_a = directory / "a.yml"
        of_a.write_text("read_via: explicit\n")
        _save(fleet)
        of_a.rename(directory / "b.yml")
        before = _files(fleet)
        result = _apply(fleet)
        assert result.exit_code == 6
        assert "a, b: how it is reached or restarted is not what it was" in result.stderr
        assert _files(fleet) == before
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"GATEWAY_TOKEN": "another-not-real"}, "AUTH_TOKEN: ${GATEWAY_TOKEN} is not what it was"),
        ({"GATEWAY_MODEL": "huge"}, "a, b, c: ANTHROPIC_DEFAULT_MODEL is to be another value"),
    ],
)
def test_another_value_in_the_environment_refuses_the_whole(
    fleet: Fleet, env: Mapping[str, str], reason: str
) -> None:
    _save(fleet)
    before = _files(fleet)
    result = _apply(fleet, env=env)
    assert result.exit_code == 6
    assert reason in result.stderr
    assert "another-not-real" not in result.stderr
    assert _files(fleet) == before
    assert _apply(fleet).exit_code == 0, "with the values from before it holds"


def test_a_host_that_could_not_be_reached_is_no_part_of_it(fleet: Fleet) -> None:
    def away(document: dict[str, Any]) -> None:
        document["all"]["hosts"]["b"]["port"] = 1

    fleet.hosts["c"].write_config(b"{")
    _edit_inventory(fleet, away)
    _save(fleet, code=4)
    left = {entry["host"]: entry["action"] for entry in _saved(fleet)["left_out"]}
    assert left == {"b": "unreachable", "c": "error"}
    result = _apply(fleet)
    assert (result.exit_code, result.statuses) == (0, {"a": "restart_pending"})
    assert "b is no part of the saved plan: it was unreachable" in result.stderr
    assert "c is no part of the saved plan: it could not be written" in result.stderr


def test_what_is_listed_are_the_plans_own_hosts_and_no_secret_is_needed(fleet: Fleet) -> None:
    fleet.hosts["b"].write_config(b"{")
    _save(fleet, "playbook.yml", code=4)
    words = ("apply", "plan.json", "--list-hosts")
    result = fleet.call(*words, "--format", "json", env={"GATEWAY_TOKEN": ""})
    assert result.exit_code == 0, result.stderr
    assert [play["batches"] for play in result.json["plays"]] == [[["a"], ["c"]]]
    assert "b is no part of the saved plan" in result.stderr
    fleet.playbook(PLAYBOOK + "# a word\n")
    result = fleet.call(*words)
    assert (result.exit_code, result.stdout) == (6, "")
    assert "playbook.yml has changed" in result.stderr


def test_a_host_that_is_unreachable_now_is_reported_and_the_rest_goes_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    then, now = tmp_path / "then", tmp_path / "now"
    for config, port in ((then, fleet.sshd.port), (now, 1)):
        config.write_text(f"Host alias\n  HostName 127.0.0.1\n  Port {port}\n")

    def by_alias(document: dict[str, Any]) -> None:
        host = document["all"]["hosts"]["b"]
        host["address"] = "alias"
        host.pop("port", None)
        document["all"]["vars"].pop("port", None)
        for name in "ac":
            document["all"]["hosts"][name]["port"] = fleet.sshd.port

    _edit_inventory(fleet, by_alias)
    _save(fleet, "--ssh-config", str(then))
    result = _apply(fleet, "--ssh-config", str(now))
    assert result.exit_code == 5, result.stderr
    assert result.statuses == {"a": "restart_pending", "b": "unreachable", "c": "restart_pending"}


def test_flags_that_the_plan_has_decided_are_refused(fleet: Fleet) -> None:
    _save(fleet)
    for words in (["-i", "x.yml"], ["-l", "a"], ["--serial", "1"], ["--max-fail", "1"]):
        result = _apply(fleet, *words)
        assert result.exit_code == 64
        assert "a saved plan has decided that already" in result.stderr
    env = {"AEGIS_PROVISION_LIMIT": "a", "AEGIS_PROVISION_INVENTORY": "x.yml"}
    assert set(_apply(fleet, env=env).statuses) == set(NAMES)


def test_a_plan_without_secrets_lets_the_tokens_change_and_nothing_else(fleet: Fleet) -> None:
    _save(fleet, "--no-secrets", env={"GATEWAY_TOKEN": ""})
    assert _saved(fleet)["token_digests"] == {}
    result = _apply(fleet)
    assert result.exit_code == 0, result.stderr
    assert {host.session_env()["ANTHROPIC_AUTH_TOKEN"] for host in fleet.hosts.values()} == {TOKEN}


def test_a_plan_of_nothing_is_kept_too(fleet: Fleet) -> None:
    assert fleet.call("apply", "--yes").exit_code == 0
    _save(fleet)
    result = _apply(fleet)
    assert (result.exit_code, set(result.statuses.values())) == (0, {"unchanged"})


def test_the_record_names_the_plan(fleet: Fleet) -> None:
    _save(fleet)
    _apply(fleet)
    result = fleet.call("history", "last", "--format", "json")
    Draft202012Validator(load_schema("history")).validate(result.json)
    assert result.json["run"]["sources"]["saved_plan"]["path"] == "plan.json"
    assert "plan       plan.json  (sha256 " in fleet.call("history", "last").stdout


def test_it_is_found_from_another_directory(fleet: Fleet, tmp_path: Path) -> None:
    relative = fleet.inventory.relative_to(fleet.directory)
    result = fleet.call("plan", "-i", relative, "--out", "plan.json")
    assert result.exit_code == 0, result.stderr
    moved = replace(fleet, directory=tmp_path)
    (tmp_path / "plan.json").write_bytes((fleet.directory / "plan.json").read_bytes())
    assert _apply(moved, "--check").exit_code == 0
    (fleet.directory / "group_vars").mkdir()
    try:
        (fleet.directory / "group_vars" / "all.yml").write_text("read_via: search\n")
        fleet.inventory.write_text(fleet.inventory.read_text() + "\n")
        result = _apply(moved)
    finally:
        shutil.rmtree(fleet.directory / "group_vars")
    assert result.exit_code == 6
    reasons = [line.strip() for line in result.stderr.splitlines() if line.startswith("  ")]
    assert reasons[:2] == ["inventory.yml has changed", "group_vars/all.yml has come"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "does not exist"),
        (b'{"schema": "aegis-provision/saved-plan/v2"}', "another version of the tool made it"),
        (b'{"schema": "aegis-provision/saved-plan/v1"', "it is damaged: it is no JSON"),
        (b'{"schema": "aegis-provision/saved-plan/v1"}', '"seal" is not text'),
        (b'{"schema": "aegis-provision/saved-plan/v1", "seal": "x"}', "it was edited"),
    ],
)
def test_what_is_no_plan_is_refused(fleet: Fleet, content: bytes, says: str) -> None:
    path = fleet.directory / "plan.json"
    if content:
        path.write_bytes(content)
    before = _files(fleet)
    result = _apply(fleet)
    assert result.exit_code == 3
    assert says in result.stderr
    assert _files(fleet) == before


def test_only_a_saved_plan_is_written_over(fleet: Fleet) -> None:
    inventory = fleet.inventory.read_bytes()
    (fleet.directory / "place").mkdir(exist_ok=True)
    for place, says in (
        (fleet.inventory.name, "it is no saved plan"),
        ("place", "is a directory"),
        ("nowhere/plan.json", "there is no directory nowhere"),
        ("n" * 300, "can't be written: File name too long"),
    ):
        result = fleet.call("plan", "--out", place)
        assert result.exit_code == 3
        assert says in result.stderr
        assert not result.stdout, "no host was read"
    assert fleet.inventory.read_bytes() == inventory
    _save(fleet)
    _save(fleet, "--limit", "a")
    assert [entry["host"] for entry in _saved(fleet)["hosts"]] == ["a"]


@pytest.mark.parametrize("place", ["many/p.json", "many/group_vars/p", "many/host_vars/a/p.json"])
def test_no_plan_is_put_where_it_would_be_read_as_inventory(fleet: Fleet, place: str) -> None:
    many = fleet.directory / "many"
    try:
        (fleet.directory / place).parent.mkdir(parents=True)
        (many / "inventory.yml").write_bytes(fleet.inventory.read_bytes())
        result = fleet.call("plan", "-i", "many", "--out", place)
        assert result.exit_code == 3
        assert f"{place} would be read as a part of the inventory many" in result.stderr
        assert fleet.call("plan", "-i", "many", "--out", "many/saved.plan").exit_code == 0
        assert fleet.call("apply", "many/saved.plan", "--check").exit_code == 0
    finally:
        shutil.rmtree(many)


@pytest.mark.parametrize("name", ["the plan.json", "n" * 255])
def test_the_hint_can_be_pasted_into_a_shell(fleet: Fleet, name: str) -> None:
    try:
        result = fleet.call("plan", "--out", name)
        assert f"aegis-provision apply {shlex.quote(name)}\n" in result.stderr
    finally:
        (fleet.directory / name).unlink(missing_ok=True)


def test_a_link_to_a_saved_plan_stays_one(fleet: Fleet, tmp_path: Path) -> None:
    _save(fleet)
    link, real = fleet.directory / "link.json", tmp_path / "real.json"
    (fleet.directory / "plan.json").rename(real)
    link.symlink_to(real)
    try:
        assert fleet.call("plan", "--out", "link.json", "--limit", "a").exit_code == 0
        assert link.is_symlink()
        assert [host["host"] for host in json.loads(real.read_text())["hosts"]] == ["a"]
    finally:
        link.unlink()


def test_nothing_is_kept_of_input_that_is_wrong(fleet: Fleet) -> None:
    result = fleet.call("plan", "--out", "plan.json", env={"GATEWAY_TOKEN": ""})
    assert result.exit_code == 3
    assert not (fleet.directory / "plan.json").exists()


def test_to_plan_a_plan_is_a_slip(fleet: Fleet) -> None:
    _save(fleet)
    result = fleet.call("plan", "plan.json")
    assert result.exit_code == 64
    assert "apply --check plan.json" in result.stderr
