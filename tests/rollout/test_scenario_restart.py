"""How Aegis is restarted: by its unit, by a command, and as root where the file is another's."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.inventory.host import Service
from aegis_provision.rollout.restart_command import BecomeRefusal, become_refusal
from tests.fleet.clients import need, target
from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, running_hosts
from tests.fleet.long_way import long_way
from tests.fleet.relay import turning_away
from tests.fleet.users import sudoers, user
from tests.rollout.fleet_reset import with_settings
from tests.rollout.fleet_state import is_new, left_behind, logins, message_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.hosts import CommandResult

BOOK = (
    "- name: P\n  hosts: all\n  restart: changed\n  on_failure: {on_failure}\n"
    "  verify: {{health: true, timeout: 10s}}\n"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_hosts(tmp_path_factory.mktemp("fleet"), ["a"]) as fleet:
        yield fleet


def apply(fleet: Fleet, *flags: str, on_failure: str = "keep") -> CommandResult:
    book = fleet.playbook(BOOK.format(on_failure=on_failure))
    return fleet.call("apply", book, "--yes", "--format", "json", *flags)


def test_it_is_restarted_a_long_way_off_though_the_first_connection_is_dropped(
    fleet: Fleet,
) -> None:
    sshd = fleet.sshd
    with (
        turning_away(sshd.port, b"", times=1) as door,
        long_way(door.port, round_trip=0.3) as way,
    ):
        known = fleet.directory / "known_a_long_way_off"
        known.write_text(f"[{sshd.address}]:{way.port} {sshd.host_key.read_text()}")
        far = with_settings(fleet, {"a": {"port": way.port}})
        result = apply(fleet, *far, "--known-hosts", str(known), on_failure="rollback")
    assert (result.exit_code, result.statuses) == (0, {"a": "applied"})
    assert fleet["a"].loaded_env() == fleet["a"].session_env()
    assert len(way.trips) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"service": "a", "restart_command": None},
        {"service": "a.service", "restart_command": None},
        # Which of the two counts shows in that no such unit is there.
        {"service": "no-such-unit"},
    ],
    ids=["unit", "unit-in-full", "command-over-unit"],
)
def test_it_is_restarted_as_the_inventory_says(fleet: Fleet, settings: dict[str, object]) -> None:
    host, old = fleet["a"], fleet["a"].pid()
    result = apply(fleet, *with_settings(fleet, {"a": settings}))
    assert (result.exit_code, result.statuses) == (0, {"a": "applied"})
    assert host.pid() not in {None, old}
    assert host.loaded_env() == host.session_env()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"service": "no-such-unit", "restart_command": None},
            "restart: the command ended with status 5 (it says: Failed to restart no-such-unit",
        ),
        ({"restart_command": "kill -9 $$"}, "restart: the command was killed"),
        ({"restart_command": "exit 3"}, "restart: the command ended with status 3 (it says noth"),
        (
            {"restart_command": f"echo 'on {TOKEN[:8]}''{TOKEN[8:]}'; exit 3"},
            "restart: the command ended with status 3 (it says: on (secret))",
        ),
    ],
    ids=["no-unit", "killed", "silent", "talks"],
)
def test_a_restart_that_fails_is_reported_and_the_file_restored(
    fleet: Fleet, settings: dict[str, object], words: str
) -> None:
    host = fleet["a"]
    content = host.config_path.read_bytes()
    result = apply(fleet, *with_settings(fleet, {"a": settings}), on_failure="rollback")
    # The way back restarts in the same way, and so fails in the same way.
    assert (result.exit_code, result.statuses) == (4, {"a": "rollback_failed"})
    assert message_of(result, "a").startswith(words)
    assert host.config_path.read_bytes() == content
    assert left_behind(host) == set()


def test_without_a_way_to_restart_it_is_an_error_before_any_connection(fleet: Fleet) -> None:
    inventory = with_settings(fleet, {"a": {"restart_command": None}})
    earlier = logins(fleet)
    result = apply(fleet, *inventory)
    assert result.exit_code == 3
    assert "the inventory does not say how" in result.stderr
    assert logins(fleet) == earlier


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user of this machine may look into."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.root
@pytest.mark.parametrize("fails", [False, True], ids=["well", "rolled-back"])
def test_as_another_user_files_are_theirs_and_units_roots(
    public_directory: Path, *, fails: bool
) -> None:
    with user("aegis") as aegis:
        common: dict[str, object] = {"become_user": aegis, "service": "a"}
        settings: dict[str, dict[str, object]] = {"a": {"restart_command": None}}
        with running_hosts(
            public_directory / "fleet", ["a"], common=common, settings=settings
        ) as fleet:
            host = fleet["a"]
            shutil.chown(host.config_path.parent, aegis, aegis)
            shutil.chown(host.config_path, aegis, aegis)
            was = host.config_path.read_bytes()
            commands = fleet.directory / "bin"
            if fails:
                host.misbehave("dies", times=1)
            with sudoers(f"Defaults:root secure_path={commands}:/usr/bin:/bin"):
                result = apply(fleet, on_failure="rollback")
            owner = host.config_path.stat().st_uid
            assert owner == pwd.getpwnam(aegis).pw_uid != os.getuid()
            assert host.loaded_env() == host.session_env()
            assert left_behind(host) == set()
            if fails:
                assert (result.exit_code, result.statuses) == (4, {"a": "rolled_back"}), (
                    result.stdout
                )
                assert host.config_path.read_bytes() == was
            else:
                assert (result.exit_code, result.statuses) == (0, {"a": "applied"}), result.stdout
                assert is_new(host)


NO_SYSTEMCTL = "sudo does not let root become root"


@pytest.mark.root
def test_a_restart_that_sudo_refuses_is_reported_with_its_rule(
    public_directory: Path,
) -> None:
    """One host has a unit, one a command, one a command of which not all is sudo's."""
    need("sudo", "sudo")
    settings: dict[str, dict[str, object]] = {
        "a": {"restart_command": None, "service": "a", "become_user": "root"},
        "b": {"restart_command": "sudo -n -u root /usr/bin/false 1"},
        "c": {"restart_command": "echo; sudo -n /usr/bin/false 1"},
    }
    with running_hosts(public_directory / "fleet", ["a", "b", "c"], settings=settings) as fleet:
        systemctl = fleet.directory / "bin" / "systemctl"
        with sudoers(
            f"Defaults:root secure_path={systemctl.parent}:/usr/bin:/bin\n"
            f"root ALL=(ALL) !{systemctl}, !/usr/bin/false"
        ):
            result = apply(fleet, on_failure="rollback")
        # Where nothing but sudo was to run, the host is as it was.
        assert result.statuses == {"a": "rolled_back", "b": "rolled_back", "c": "rollback_failed"}
        rules = {
            "a": "/usr/bin/systemctl --no-ask-password restart -- a",
            "b": "/usr/bin/false 1",
            "c": "/usr/bin/false 1",
        }
        for name, rule in rules.items():
            message = message_of(result, name)
            assert message.startswith(f"restart: {NO_SYSTEMCTL}; ")
            assert f"allow it with: root ALL=(root) NOPASSWD: {rule}" in message
            assert fleet[name].loaded_env() == OLD_ENV == fleet[name].session_env()


UNIT = Service(unit="aegis", command=None, api="127.0.0.1:9100", api_token=None)
BY_HAND = replace(UNIT, command="sudo -n /opt/restart token=sk-0f1e2d3c4b5a69788796")
REFUSED = b"odd words\nsudo: a password is required\n"


@pytest.mark.parametrize(
    ("service", "become_user", "output"),
    [
        (UNIT, None, REFUSED),
        (UNIT, "aegis", b"systemctl: operation not allowed: a password is required\n"),
        (UNIT, "aegis", b""),
        (replace(UNIT, command="systemctl restart aegis"), "aegis", REFUSED),
        (BY_HAND, None, REFUSED),
    ],
    ids=["no-sudo", "not-sudos-words", "silent", "a-command-without", "a-command-with-a-secret"],
)
def test_what_is_not_sudos_refusal_gets_no_rule(
    service: Service, become_user: str | None, output: bytes
) -> None:
    assert become_refusal(service, target("h", become_user=become_user), "me", output) is None


def test_a_refusal_names_the_login() -> None:
    found = become_refusal(UNIT, target("h", become_user="aegis"), "deploy", REFUSED)
    assert found == BecomeRefusal(
        "sudo wants a password to become root",
        "allow it with: deploy ALL=(root) NOPASSWD: "
        "/usr/bin/systemctl --no-ask-password restart -- aegis",
        nothing_ran=True,
    )
