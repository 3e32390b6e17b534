"""A file that a host's Aegis does not read never counts as applied; 'auto' is the one it reads."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, running_hosts
from tests.fleet.users import user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAYBOOK = """\
- hosts: all
  restart: changed
  verify: {health: true, timeout: 20s}
  on_failure: rollback
"""
NOT_CHECKED = "that Aegis reads this file was not checked"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a directory with a file in it that no server reads."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    file = directory / "aegis.config.json"
    file.write_text(json.dumps({"authToken": "x", "defaultSessionEnv": dict(OLD_ENV)}))
    file.chmod(0o600)
    return file


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Run one host whose path is 'auto'."""
    common, own = {"config_path": "auto"}, {"host-01": {"config_path": None}}
    with running_hosts(tmp_path / "fleet", 1, common=common, settings=own) as found:
        yield found


def set_path(fleet: Fleet, path: Path | str) -> None:
    """Let the inventory say another ``config_path``."""
    document = json.loads(fleet.inventory.read_text())
    document["all"]["vars"]["config_path"] = str(path)
    fleet.inventory.write_text(json.dumps(document))


def planned(fleet: Fleet) -> dict[str, Any]:
    said = fleet.call("plan", "--format", "json")
    [entry] = said.json["hosts"]
    found: dict[str, Any] = {**entry, "exit": said.exit_code}
    return found


def status(fleet: Fleet) -> dict[str, Any]:
    said = fleet.call("status", "--format", "json")
    [entry] = said.json["hosts"]
    found: dict[str, Any] = {**entry, "exit": said.exit_code}
    return found


def test_a_file_in_another_directory_is_an_error_that_names_the_right_one(
    fleet: Fleet, elsewhere: Path
) -> None:
    host, before = fleet["host-01"], elsewhere.read_bytes()
    set_path(fleet, elsewhere)
    plan = planned(fleet)
    assert (plan["action"], plan["exit"]) == ("error", 4)
    assert plan["message"] == (
        f"Aegis reads {host.config_path} instead of it; "
        f"try: set config_path: auto, or config_path: {host.config_path}"
    )
    applied = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
    assert (applied.exit_code, applied.statuses) == (4, {"host-01": "refused"})
    assert elsewhere.read_bytes() == before
    found = status(fleet)
    assert (found["state"], found["exit"]) == (["not_read"], 4)
    assert found["message"] == plan["message"]


def test_a_new_file_before_the_one_that_is_read(fleet: Fleet) -> None:
    host = fleet["host-01"]
    home = host.place.directory / "home" / ".aegis"
    home.mkdir()
    shutil.move(host.config_path, home / "config.json")
    host.restart()
    set_path(fleet, host.config_path)
    plan = planned(fleet)
    assert (plan["action"], plan["exit"]) == ("error", 4)
    assert plan["message"].startswith(
        f"Aegis reads {home / 'config.json'} today, and would lose its settings to the new file; "
        "try: set config_path: auto, or"
    )
    assert status(fleet)["state"] == ["not_read"]
    set_path(fleet, "auto")
    assert (planned(fleet)["action"], planned(fleet)["path"]) == (
        "update",
        str(home / "config.json"),
    )


def test_auto_writes_the_file_that_is_read(fleet: Fleet) -> None:
    host = fleet["host-01"]
    plan = planned(fleet)
    assert (plan["action"], plan["path"]) == ("update", str(host.config_path))
    assert NOT_CHECKED not in json.dumps(plan)
    applied = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
    assert (applied.exit_code, applied.statuses) == (0, {"host-01": "applied"}), applied.stderr
    assert host.loaded_env()["ANTHROPIC_AUTH_TOKEN"] == TOKEN
    assert (status(fleet)["state"], status(fleet)["exit"]) == (["in_sync"], 0)
    assert status(fleet)["message"] == ""
    back = fleet.call("rollback", "--yes", "--format", "json")
    assert back.exit_code == 0, back.stderr
    assert host.session_env() == OLD_ENV


@pytest.mark.parametrize(
    ("config", "path"), [("", "work/aegis.config.json"), ("../new.json", "new.json")]
)
def test_auto_where_there_is_no_file_yet(config: str, path: str, fleet: Fleet) -> None:
    host = fleet["host-01"]
    host.config_path.unlink()
    if config:
        (host.place.directory / "config").write_text(config)
    host.restart()
    plan = planned(fleet)
    assert (plan["action"], plan["path"]) == ("create", str(host.place.directory / path))
    applied = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
    assert (applied.exit_code, applied.statuses) == (0, {"host-01": "applied"}), applied.stderr
    assert host.loaded_env()["ANTHROPIC_AUTH_TOKEN"] == TOKEN


def test_auto_where_nothing_runs_says_what_to_set(fleet: Fleet) -> None:
    host = fleet["host-01"]
    host.place.stop(5)
    plan = planned(fleet)
    assert (plan["action"], plan["path"], plan["exit"]) == ("error", "auto", 4)
    reason = f"nothing listens at 127.0.0.1:{host.port}"
    words = f"the file that Aegis reads can't be told ({reason}); try: set config_path to that file"
    assert plan["message"].startswith(words)
    assert status(fleet)["state"] == ["error"]


def test_what_is_not_known_is_one_warning(fleet: Fleet) -> None:
    host = fleet["host-01"]
    set_path(fleet, host.config_path)
    host.place.stop(5)
    plan = planned(fleet)
    assert plan["action"] == "update"
    warnings = [words for words in plan["warnings"] if NOT_CHECKED in words]
    assert warnings == [f"{NOT_CHECKED}: nothing listens at 127.0.0.1:{host.port}"]
    assert status(fleet)["message"] == warnings[0]


def test_a_server_that_is_restarted_with_another_file_fails_verify(
    fleet: Fleet, elsewhere: Path
) -> None:
    host = fleet["host-01"]
    before = host.config_path.read_bytes()
    # Its restart is what starts it with --config; the file there has the same API token.
    elsewhere.write_bytes(before)
    document = json.loads(fleet.inventory.read_text())
    config = host.place.directory / "config"
    command = f"echo {elsewhere} >'{config}'; exec {host.restart_command}"
    document["all"]["hosts"]["host-01"]["restart_command"] = command
    fleet.inventory.write_text(json.dumps(document))
    applied = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
    [entry] = applied.json["hosts"]
    assert entry["message"].startswith(f"verify: Aegis reads {elsewhere} instead of it")
    assert applied.exit_code == 4
    assert "config_path: auto" in entry["message"]
    assert host.config_path.read_bytes() == before


def test_a_host_that_runs_no_commands_goes_on_working(tmp_path: Path) -> None:
    settings = {"host-01": {"restart_command": None}}
    forced = ["ForceCommand internal-sftp"]
    with running_hosts(tmp_path, 1, settings=settings, sshd_settings=forced) as fleet:
        plan = planned(fleet)
        assert plan["action"] == "update"
        words = f"{NOT_CHECKED}: the host runs no commands for this login"
        assert words in plan["warnings"]
        before = fleet["host-01"].config_path.read_bytes()
        document = json.loads(fleet.inventory.read_text())
        document["all"]["hosts"]["host-01"]["restart_command"] = "restart-aegis"
        fleet.inventory.write_text(json.dumps(document))
        refused = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
        assert (refused.exit_code, refused.statuses) == (4, {"host-01": "refused"})
        [entry] = refused.json["hosts"]
        assert "Aegis can't be restarted there: the host runs no commands" in entry["message"]
        assert fleet["host-01"].config_path.read_bytes() == before
        applied = fleet.call("apply", "--yes", "--format", "json")
        assert applied.exit_code == 0
        assert applied.statuses == {"host-01": "restart_pending"}


def test_a_host_of_which_the_inventory_says_nothing_is_not_asked(tmp_path: Path) -> None:
    settings = {"host-01": {"restart_command": None, "api": None}}
    with running_hosts(tmp_path, 1, settings=settings) as fleet:
        assert NOT_CHECKED not in json.dumps(planned(fleet))


def test_without_an_api_the_port_in_the_hosts_own_file_counts(tmp_path: Path) -> None:
    settings: dict[str, dict[str, object]] = {"host-01": {"api": None}, "host-02": {"api": None}}
    with running_hosts(tmp_path, 2, settings=settings) as fleet:
        for host in fleet:
            host.write_config({**host.config(), "port": host.port})
        said = fleet.call("plan", "--format", "json")
        assert NOT_CHECKED not in said.stdout
        assert said.statuses == {"host-01": "update", "host-02": "update"}
        assert said.exit_code == 0


def test_a_file_that_shadows_the_target_names_the_settings_to_carry_over(fleet: Fleet) -> None:
    host = fleet["host-01"]
    yaml = host.config_path.with_name(".aegis") / "config.yaml"
    yaml.parent.mkdir()
    yaml.write_text('{"clientAuthToken": "not-real", "port": 9100}')
    host.restart()
    set_path(fleet, host.config_path)
    plan = planned(fleet)
    assert plan["message"] == (
        f"Aegis reads {yaml} instead of it; try: set config_path: auto, or config_path: {yaml}; "
        f"or carry its other settings over (clientAuthToken, port) and move {yaml} away"
    )


def test_a_saved_plan_of_the_file_that_is_read(fleet: Fleet) -> None:
    host = fleet["host-01"]
    saved = fleet.directory / "saved.json"
    assert fleet.call("plan", "--out", saved).exit_code == 0
    home = host.place.directory / "home" / ".aegis"
    home.mkdir()
    shutil.move(host.config_path, home / "config.json")
    host.restart()
    stale = fleet.call("apply", saved, "--yes")
    assert stale.exit_code == 6
    assert f"the file is {home / 'config.json'} now, not {host.config_path}" in stale.stderr
    shutil.move(home / "config.json", host.config_path)
    host.restart()
    done = fleet.call("apply", saved, "--yes", "--format", "json")
    assert (done.exit_code, done.statuses) == (0, {"host-01": "restart_pending"}), done.stderr
    assert host.session_env()["ANTHROPIC_AUTH_TOKEN"] == TOKEN


def test_import_finds_the_file_that_is_read(fleet: Fleet, tmp_path: Path) -> None:
    out = tmp_path / "imported"
    done = fleet.call("import", "--out", out, "--format", "json")
    assert done.exit_code == 0, done.stderr + done.stdout
    assert [host["result"] for host in done.json["hosts"]] == ["imported"]
    assert "config_path: auto" in out.read_text()


@pytest.mark.root
@pytest.mark.parametrize("become", [True, False], ids=["become", "root"])
def test_auto_counts_as_absolute_and_the_file_stays_its_owners(
    become: bool,
    public_path: Path,
) -> None:
    with user("aegis") as aegis:
        common = {"config_path": "auto", **({"become_user": aegis} if become else {})}
        own = {"host-01": {"config_path": None}}
        directory = public_path / "fleet"
        with running_hosts(directory, 1, common=common, settings=own) as fleet:
            host = fleet["host-01"]
            (host.place.directory / "work" / ".aegis").mkdir()
            for path in (directory, directory / "hosts", host.place.directory):
                path.chmod(0o755)
            for path in (host.config_path.parent, *host.config_path.parent.iterdir()):
                shutil.chown(path, aegis, aegis)
            applied = fleet.call("apply", fleet.playbook(PLAYBOOK), "--yes", "--format", "json")
            assert (applied.exit_code, applied.statuses) == (0, {"host-01": "applied"}), (
                applied.stdout
            )
            assert host.config_path.owner() == aegis
            assert host.loaded_env()["ANTHROPIC_AUTH_TOKEN"] == TOKEN


def test_a_unit_that_does_not_run_tells_which_file_it_will_read(tmp_path: Path) -> None:
    common, own = {"config_path": "auto"}, {"host-01": {"config_path": None, "service": "host-01"}}
    with running_hosts(tmp_path, 1, common=common, settings=own) as fleet:
        host = fleet["host-01"]
        host.place.stop(5)
        node = "path=/usr/bin/node ; argv[]=/usr/bin/node dist/server.js ; ignore_errors=no"
        lines = (
            "LoadState=loaded",
            "MainPID=0",
            f"ExecStart={{ {node} }}",
            f"WorkingDirectory={host.config_path.parent}",
            "User=root",
        )
        (host.place.directory / "show").write_text("\n".join(lines))
        document = json.loads(fleet.inventory.read_text())
        del document["all"]["hosts"]["host-01"]["restart_command"]
        del document["all"]["hosts"]["host-01"]["api"]
        fleet.inventory.write_text(json.dumps(document))
        plan = planned(fleet)
        assert (plan["action"], plan["path"]) == ("update", str(host.config_path))
        assert NOT_CHECKED not in json.dumps(plan)
