"""``status`` on hosts that really run: what was written, edited, and is desired now."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision import __version__
from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, FleetHost
from tests.rollout.fleet_reset import age, as_new
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleet.hosts import CommandResult

NAMES = ("a", "b", "c")
PLAYBOOK = "- {hosts: all, restart: changed}\n"


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    with as_new(running):
        age(running)
        yield running


def _set(fleet: Fleet, **settings: object) -> None:
    """Change the inventory: settings of all hosts, ``None`` for none of that name."""
    document: dict[str, Any] = json.loads(fleet.inventory.read_text())
    found = {**document["all"]["vars"], **settings}
    document["all"]["vars"] = {name: value for name, value in found.items() if value is not None}
    fleet.inventory.write_text(json.dumps(document))


def _apply(fleet: Fleet, *flags: str, playbook: str = PLAYBOOK) -> CommandResult:
    result = fleet.call("apply", fleet.playbook(playbook), "--yes", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result


def _edit(host: FleetHost, **env: str | None) -> None:
    found = {**host.session_env(), **env}
    kept = {name: value for name, value in found.items() if value is not None}
    host.write_config({**host.config(), "defaultSessionEnv": kept})


def _receipt(host: FleetHost) -> Path:
    return host.config_path.parent / ".aegis-provision" / "receipt.json"


def _status(fleet: Fleet, *flags: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    result = fleet.call("status", "--format", "json", *flags, env=env)
    check_document("status", result.json)
    for token in (TOKEN, OLD_ENV["ANTHROPIC_AUTH_TOKEN"]):
        assert token not in result.stdout + result.stderr
    return {entry["host"]: entry for entry in result.json["hosts"]}


def _states(fleet: Fleet, *flags: str) -> dict[str, list[str]]:
    return {name: entry["state"] for name, entry in _status(fleet, *flags).items()}


def test_a_file_without_a_receipt_is_never_provisioned(fleet: Fleet) -> None:
    entry = _status(fleet)["a"]
    assert entry["state"] == ["never_provisioned"]
    assert entry["pending"] == list(OLD_ENV)
    assert (entry["written"], entry["runs_on_kind"]) == (None, "other")


def test_a_write_leaves_a_receipt_and_is_in_sync(fleet: Fleet) -> None:
    run = _apply(fleet).json["run"]
    for name, entry in _status(fleet).items():
        assert entry["state"] == ["in_sync"]
        assert (entry["written"]["run"], entry["written"]["version"]) == (run, __version__)
        assert (entry["runs_on"], entry["tokens"]) == ("gateway", {"GATEWAY_TOKEN": "current"})
        receipt = _receipt(fleet[name])
        assert stat.S_IMODE(receipt.stat().st_mode) == 0o600
        assert TOKEN not in receipt.read_text()
        assert set(json.loads(receipt.read_text())["variables"]) == set(OLD_ENV)


def test_edits_on_hosts_and_of_the_inventory_are_distinguished(fleet: Fleet) -> None:
    _apply(fleet)
    _edit(fleet["a"], API_TIMEOUT_MS="1")
    _set(fleet, model="bigger")
    _edit(fleet["c"], ANTHROPIC_DEFAULT_MODEL="bigger")
    status = _status(fleet)
    assert status["a"]["state"][:2] == ["drifted", "pending"]
    assert status["a"]["drifted"] == ["API_TIMEOUT_MS"]
    assert status["a"]["pending"] == ["ANTHROPIC_DEFAULT_MODEL"]
    assert (status["b"]["state"], status["b"]["pending"]) == (
        ["pending"],
        ["ANTHROPIC_DEFAULT_MODEL"],
    )
    assert "in_sync" in status["c"]["state"], "the edit is what is desired"
    _apply(fleet)
    assert set(map(tuple, _states(fleet).values())) <= {
        ("in_sync",),
        ("in_sync", "restart_pending"),
    }


def _change(host: FleetHost, **keys: object) -> None:
    found = {**host.config(), **keys}
    host.write_config({key: value for key, value in found.items() if value is not None})


def _codes(fleet: Fleet, command: str = "status") -> int:
    return fleet.call(command, "--detailed-exitcode").exit_code


def test_other_keys_that_were_edited_are_named_and_are_the_hosts_business(fleet: Fleet) -> None:
    _apply(fleet)
    assert _status(fleet)["a"]["edited"] == []
    _change(fleet["a"], allowedWorkDirs=["/"], webhooks=None, note="canary-of-a-value")
    _edit(fleet["b"], THEIRS="x")
    status = _status(fleet)
    assert status["a"]["state"] == ["in_sync", "edited"]
    assert {"allowedWorkDirs", "note"} <= set(status["a"]["edited"])
    assert status["b"]["edited"] == ["defaultSessionEnv.THEIRS"]
    assert (status["c"]["state"], status["c"]["edited"]) == (["in_sync"], [])
    assert _codes(fleet) == 0
    result = fleet.call("status")
    assert "edited by hand: allowedWorkDirs, note" in result.stdout
    assert "canary-of-a-value" not in result.stdout + result.stderr
    assert "canary-of-a-value" not in _receipt(fleet["a"]).read_text()


def test_a_lost_lock_is_told_loudly(fleet: Fleet) -> None:
    _apply(fleet)
    _change(fleet["a"], authToken=None)
    status = _status(fleet)
    assert (status["a"]["state"], status["a"]["edited"]) == (["edited"], ["authToken"])
    assert _codes(fleet) == 2
    assert "authToken was removed by hand: Aegis' API there answers" in fleet.call("status").stdout


def test_variables_that_decide_over_the_provider_are_no_sync(fleet: Fleet) -> None:
    _edit(fleet["a"], ANTHROPIC_MODEL="another")
    _apply(fleet)
    _edit(fleet["b"], CLAUDE_CODE_USE_BEDROCK="1")
    status = _status(fleet)
    assert (status["a"]["state"], status["a"]["overriding"]) == (["edited"], ["ANTHROPIC_MODEL"])
    assert status["a"]["edited"] == [], "it was there when the file was written"
    assert status["b"]["overriding"] == ["CLAUDE_CODE_USE_BEDROCK"]
    assert status["b"]["edited"] == ["defaultSessionEnv.CLAUDE_CODE_USE_BEDROCK"]
    assert status["c"]["state"] == ["in_sync"]
    assert _codes(fleet) == 2
    assert "sessions follow ANTHROPIC_MODEL and not the provider" in fleet.call("status").stdout
    assert "to remove it there say 'env: {ANTHROPIC_MODEL: null}'" in fleet.call("plan").stdout


def test_what_the_inventory_chose_itself_overrides_nothing(fleet: Fleet) -> None:
    _set(fleet, env={"ANTHROPIC_MODEL": "chosen"})
    _apply(fleet)
    assert _status(fleet)["a"]["overriding"] == []
    _set(fleet, env=None)
    status = _status(fleet)
    assert status["a"]["state"] == ["pending"], "it is removed by the next write"
    assert status["a"]["overriding"] == []


def test_a_null_removes_what_someone_else_wrote(fleet: Fleet) -> None:
    _edit(fleet["a"], ANTHROPIC_MODEL="another", OTHER_KEY="canary-of-a-secret", KEPT="x")
    _apply(fleet)
    as_it_was = fleet["a"].config_path.read_bytes()
    nulls = {"ANTHROPIC_MODEL": None, "OTHER_KEY": None}
    _set(fleet, env=nulls)
    status = _status(fleet)
    assert status["a"]["state"] == ["pending"]
    assert status["a"]["pending"] == list(nulls)
    assert (status["a"]["edited"], status["a"]["overriding"]) == ([], [])
    assert (status["b"]["state"], status["b"]["pending"]) == (["in_sync"], [])

    saved = fleet.directory / "null.plan"
    result = fleet.call("plan", "--format", "json", "--out", saved)
    plan = {entry["host"]: entry for entry in result.json["hosts"]}
    assert [change["key"] for change in plan["a"]["changes"]] == list(nulls)
    assert [change["change"] for change in plan["a"]["changes"]] == ["removed"] * 2
    assert [change["before"] for change in plan["a"]["changes"]] == ["another", None]
    assert {plan[name]["action"] for name in ("b", "c")} == {"unchanged"}
    assert not any("sessions follow" in item for item in plan["a"]["warnings"])
    assert "canary-of-a-secret" not in result.stdout + saved.read_text()
    text = fleet.call("plan", "--limit", "a").stdout
    assert "- ANTHROPIC_MODEL               another removed" in text

    done = fleet.call("apply", saved, "--yes", "--format", "json")
    assert done.statuses["a"] in {"applied", "restart_pending"}
    assert set(fleet["a"].session_env()) == {*OLD_ENV, "KEPT"}
    assert set(fleet.call("plan", "--format", "json").statuses.values()) == {"unchanged"}
    assert _states(fleet)["a"][0] == "in_sync"
    _edit(fleet["a"], ANTHROPIC_MODEL="again")
    status = _status(fleet)
    assert (status["a"]["state"][0], status["a"]["pending"]) == ("pending", ["ANTHROPIC_MODEL"])
    assert (status["a"]["drifted"], status["a"]["edited"]) == ([], [])

    _edit(fleet["a"], ANTHROPIC_MODEL=None)
    assert fleet.call("rollback", done.json["run"], "--yes").exit_code == 0
    assert fleet["a"].config_path.read_bytes() == as_it_was
    status = _status(fleet)["a"]
    assert (status["state"][0], status["pending"]) == ("pending", list(nulls))


def test_a_write_takes_the_edits_as_they_are(fleet: Fleet) -> None:
    _apply(fleet)
    _change(fleet["a"], port=9123)
    _set(fleet, model="bigger")
    assert _status(fleet)["a"]["edited"] == ["port"]
    _apply(fleet)
    assert _status(fleet)["a"]["edited"] == []


@pytest.mark.parametrize("known_from", ["api", "record"])
def test_a_restart_is_pending_until_it_is_done(fleet: Fleet, known_from: str) -> None:
    _apply(fleet, "--limit", "a", playbook="- {hosts: all}\n")
    if known_from == "record":
        document: dict[str, Any] = json.loads(fleet.inventory.read_text())
        document["all"]["hosts"]["a"]["api"] = "127.0.0.1:1"
        fleet.inventory.write_text(json.dumps(document))
    assert _states(fleet, "--limit", "a") == {"a": ["in_sync", "restart_pending"]}
    _apply(fleet, "--limit", "a")
    assert _states(fleet, "--limit", "a") == {"a": ["in_sync"]}


def test_a_name_that_is_dropped_goes_where_it_is_ours_and_stays_elsewhere(fleet: Fleet) -> None:
    _edit(fleet["b"], FOREIGN="theirs")
    _set(fleet, env={"EXTRA": "ours", "OTHER": "ours"})
    _apply(fleet)
    _edit(fleet["c"], EXTRA="theirs")
    _set(fleet, env=None)
    status = _status(fleet)
    assert [status[name]["pending"] for name in NAMES] == [["EXTRA", "OTHER"]] * 2 + [["OTHER"]]
    assert status["c"]["drifted"] == ["EXTRA"]
    plan = fleet.call("plan")
    assert "- EXTRA                         ours removed" in plan.stdout
    assert "EXTRA: no longer in the inventory, but changed on the host" in plan.stdout
    _apply(fleet)
    extra = [set(fleet[name].session_env()) - set(OLD_ENV) for name in NAMES]
    assert extra == [set(), {"FOREIGN"}, {"EXTRA"}]
    assert fleet["c"].session_env()["EXTRA"] == "theirs"
    assert set(fleet.call("plan", "--format", "json").statuses.values()) == {"unchanged"}


def test_a_rollback_restores_the_receipt(fleet: Fleet) -> None:
    _apply(fleet)
    first = json.loads(_receipt(fleet["a"]).read_text())
    _set(fleet, env={"EXTRA": "ours"}, model="bigger")
    _apply(fleet)
    assert fleet.call("rollback", "--yes").exit_code == 0
    receipt = json.loads(_receipt(fleet["a"]).read_text())
    assert set(receipt["variables"]) == set(first["variables"])
    assert receipt["before"]["variables"] == [*OLD_ENV, "EXTRA"]
    status = _status(fleet)["a"]
    assert (status["drifted"], status["pending"]) == ([], ["ANTHROPIC_DEFAULT_MODEL", "EXTRA"])
    _set(fleet, env=None, model=None)
    assert _states(fleet)["a"] == ["in_sync"]


def test_a_rollback_to_a_file_without_receipt_leaves_none(fleet: Fleet) -> None:
    _apply(fleet)
    assert fleet.call("rollback", "--yes").exit_code == 0
    assert not _receipt(fleet["a"]).exists()
    assert _states(fleet)["a"] == ["never_provisioned"]


def test_a_write_that_is_taken_back_leaves_the_receipt_from_before(fleet: Fleet) -> None:
    _apply(fleet)
    _set(fleet, env={"EXTRA": "ours"})
    fleet["a"].misbehave("lost_file", times=1)
    gates = "restart: changed, verify: {health: true, timeout: 5s}, on_failure: rollback"
    book = fleet.playbook(f"- {{hosts: a, {gates}}}\n")
    result = fleet.call("apply", book, "--yes", "--format", "json")
    assert result.statuses == {"a": "rolled_back"}, result.stdout
    assert set(json.loads(_receipt(fleet["a"]).read_text())["variables"]) == set(OLD_ENV)
    _set(fleet, env=None)
    assert "in_sync" in _states(fleet)["a"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema": "aegis-provision/receipt/v9"}', None])
def test_a_rejected_receipt_is_reported_and_replaced(fleet: Fleet, damage: bytes | None) -> None:
    _apply(fleet)
    receipt = _receipt(fleet["a"])
    if damage is None:
        receipt.chmod(0o666)
    else:
        receipt.write_bytes(damage)
    _edit(fleet["a"], API_TIMEOUT_MS="1", EXTRA="x")
    entry = _status(fleet)["a"]
    assert (entry["state"], entry["drifted"]) == (["pending"], [])
    assert "does not count" in entry["message"]
    _apply(fleet)
    assert fleet["a"].session_env()["EXTRA"] == "x"
    assert "in_sync" in _states(fleet)["a"]
    assert stat.S_IMODE(receipt.stat().st_mode) == 0o600


def test_a_receipt_of_another_place_is_foreign(fleet: Fleet) -> None:
    _apply(fleet)
    _receipt(fleet["a"]).write_bytes(_receipt(fleet["b"]).read_bytes())
    entry = _status(fleet)["a"]
    assert entry["state"] == ["in_sync"]
    assert "it is about another file" in entry["message"]


def test_a_receipt_that_can_not_be_written_is_a_warning(fleet: Fleet) -> None:
    _apply(fleet)
    receipt = _receipt(fleet["a"])
    receipt.unlink()
    (receipt / "in the way").mkdir(parents=True)
    _set(fleet, model="bigger")
    result = _apply(fleet, "--limit", "a")
    (entry,) = result.json["hosts"]
    assert entry["status"] == "applied"
    assert any(
        "the receipt beside the file is not this write's" in item for item in entry["warnings"]
    )
    assert "not a regular file" in _status(fleet)["a"]["message"]
    (receipt / "in the way").rmdir()
    receipt.rmdir()


def test_rotation_at_a_glance(fleet: Fleet) -> None:
    _apply(fleet)
    rotated = {"GATEWAY_TOKEN": "the-next-token-not-real"}
    assert fleet.call("apply", "--yes", "--limit", "a", env=rotated).exit_code == 0
    _edit(fleet["c"], ANTHROPIC_AUTH_TOKEN="edited token")
    result = fleet.call("status", "--by", "secret", "--format", "json", env=rotated)
    assert result.json["secrets"] == [
        {
            "variable": "GATEWAY_TOKEN",
            "current": 1,
            "older": 1,
            "another": 1,
            "none": 0,
            "unknown": 0,
        }
    ]
    text = fleet.call("status", "--by", "secret", env=rotated).stdout
    assert text == (
        "${GATEWAY_TOKEN}: 1 current, 1 an older one, 1 another\n"
        "  an older one:\n    b\n  another:\n    c\n"
    )


def test_hosts_by_provider(fleet: Fleet) -> None:
    _apply(fleet, "--limit", "a")
    _set(fleet, provider="ollama")
    result = fleet.call("status", "--by", "provider", "--format", "json")
    assert result.json["providers"] == {
        "named": [
            {"provider": "ollama", "hosts": 0, "wanted": 3},
            {"provider": "gateway", "hosts": 1, "wanted": 0},
        ],
        "other": 2,
        "none": 0,
        "unknown": 0,
    }


@pytest.mark.parametrize(
    ("flags", "code"), [((), 0), (("--detailed-exitcode",), 2)], ids=["plain", "detailed"]
)
def test_what_is_pending_has_an_exit_code_of_its_own(
    fleet: Fleet, flags: tuple[str, ...], code: int
) -> None:
    assert fleet.call("status", *flags).exit_code == code
    _apply(fleet)
    assert fleet.call("status", *flags).exit_code == 0
    _edit(fleet["a"], API_TIMEOUT_MS="1")
    assert fleet.call("status", *flags).exit_code == code


def test_a_host_in_error_goes_before_one_that_is_unreachable(fleet: Fleet) -> None:
    document: dict[str, Any] = json.loads(fleet.inventory.read_text())
    document["all"]["hosts"]["b"]["port"] = 1
    fleet.inventory.write_text(json.dumps(document))
    result = fleet.call("status", "--detailed-exitcode")
    assert result.exit_code == 5
    assert "b: unreachable" in result.stderr
    fleet["a"].write_config(b"{")
    assert fleet.call("status").exit_code == 4


def test_events_end_with_the_document(fleet: Fleet) -> None:
    result = fleet.call("status", "--format", "ndjson", "--by", "provider")
    for line in result.lines:
        check_document("event", line)
    assert [line["event"] for line in result.lines] == [
        "reading_started",
        *["host_checked"] * 3,
        "status_finished",
    ]
    assert result.lines[-1]["providers"]["other"] == 3
