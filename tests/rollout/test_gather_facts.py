"""Looking at a host: its clock, and what goes by it, over a real sshd."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from aegis_provision.diagnosis.checks import Check, CheckResult
from aegis_provision.diagnosis.input_checks import InputFindings
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.connection_pool import ConnectionSettings
from aegis_provision.rollout.gather_facts import diagnose_fleet
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.transport.connect import connect
from tests.fleet.clients import options
from tests.fleet.needs import missing
from tests.fleet.openssh import ADDRESS, running_sshd
from tests.fleet.provider_server import running_provider
from tests.fleet.specs import specified
from tests.fleet.users import sshd_for, sudoers, user

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fleet.openssh import Sshd

AHEAD = 3600
FILE = '{"defaultSessionEnv": {}}'


@pytest.fixture
def checks(tmp_path: Path) -> dict[str, Check]:
    """The checks of a host whose clock is an hour ahead, and whose lock was taken a minute ago."""
    programs = tmp_path / "bin"
    programs.mkdir()
    date = programs / "date"
    date.write_text(f'#!/bin/sh\necho "Welcome, 17 users"\necho $(($(/bin/date +%s) + {AHEAD}))\n')
    date.chmod(0o755)
    config = tmp_path / "host" / "aegis.config.json"
    lock = config.parent / ".aegis-provision" / "lock"
    lock.parent.mkdir(parents=True)
    config.write_text(FILE)
    config.chmod(0o600)
    lock.write_text(json.dumps({"owner": "ben", "since": "noon"}))
    then = time.time() + AHEAD - 60
    os.utime(lock, (then, then))
    path = f"SetEnv PATH={programs}:/usr/bin:/bin"
    with running_sshd(tmp_path / "sshd", settings=[path]) as sshd:
        found = _checks(sshd, tmp_path, {"a": {"config_path": str(config)}})["a"]
    return {check.check: check for check in found}


def _checks(
    sshd: Sshd,
    home: Path,
    hosts: Mapping[str, Mapping[str, str]],
    login: str | None = None,
    *,
    refused: Mapping[str, str] = MappingProxyType({}),
    deadline: float = 60.0,
    probe: bool = False,
    base_url: str = "",
) -> dict[str, tuple[Check, ...]]:
    everywhere = {
        "provider": "here",
        "address": sshd.address,
        "port": sshd.port,
        "user": login or sshd.user,
        "identity_file": str(sshd.client_key),
    }
    recipe = {"extends": "ollama", "base_url": base_url or f"http://{ADDRESS}:{sshd.port}/v1"}
    document = {"providers": {"here": recipe}, "all": {"vars": everywhere, "hosts": hosts}}
    inventory, specs = specified(json.dumps(document))
    jobs = [HostJob(host, resolve_env(specs[host.name], {})) for host in inventory.hosts.values()]
    settings = ConnectionSettings(connect, options(home, sshd.known_hosts), 8, deadline)
    findings = {
        name: InputFindings(
            {refused[name]: Check(refused[name], CheckResult.FAIL)} if name in refused else {}
        )
        for name in hosts
    }
    with host_worker(jobs, settings) as worker:
        found = diagnose_fleet(jobs, findings, worker, lambda _: None, probe=probe)
    return {host.host: host.checks for host in found}


def test_a_clock_that_is_ahead_is_told_and_a_locks_age_goes_by_it(checks: dict[str, Check]) -> None:
    assert checks["clock"].result is CheckResult.WARN
    assert checks["clock"].message.startswith("the host's clock is 1 h ahead of") or (
        checks["clock"].message.startswith("the host's clock is 59 min ")
    )
    assert checks["lock"].message == "another run is writing there (ben since noon)"
    assert "is broken in 8 min" in checks["lock"].remedy or "in 9 min" in checks["lock"].remedy


@pytest.mark.parametrize("probe", [False, True])
def test_nothing_goes_to_a_provider_with_what_is_refused(tmp_path: Path, probe: bool) -> None:
    refused = {"b": "variables", "c": "provider", "d": "token"}
    with (
        socket.create_server((ADDRESS, 0)) as listener,
        running_sshd(tmp_path / "sshd") as sshd,
    ):
        listener.setblocking(False)
        base_url = f"http://{ADDRESS}:{listener.getsockname()[1]}/v1"
        hosts = {name: {"config_path": str(tmp_path / f"{name}.json")} for name in refused}
        found = _checks(sshd, tmp_path, hosts, refused=refused, probe=probe, base_url=base_url)
        with pytest.raises(BlockingIOError):
            listener.accept()
    for name, check in refused.items():
        rests = {item.check: item.rests_on for item in found[name] if item.rests_on == check}
        assert rests.keys() == {"provider", "token", "model"} - {check}


def test_all_questions_to_a_provider_are_within_the_hosts_deadline(tmp_path: Path) -> None:
    """Five questions, each answered just in time, would take five times as long."""
    (tmp_path / "aegis.config.json").write_text(FILE)
    (tmp_path / "aegis.config.json").chmod(0o600)
    file = {"config_path": str(tmp_path / "aegis.config.json")}
    with running_provider() as provider, running_sshd(tmp_path / "sshd") as sshd:
        url = provider.base_url("slow-2")
        found = _checks(sshd, tmp_path, {"a": file}, deadline=5.0, probe=True, base_url=url)["a"]
    [failed] = [check for check in found if check.result is CheckResult.FAIL]
    assert failed.check == "provider"
    assert "within 1 s" in failed.message
    assert len(provider.asked) == 1


@pytest.mark.root
def test_what_a_login_may_not_do_is_one_fault_where_it_first_matters(
    tmp_path: Path, public_path: Path
) -> None:
    if os.geteuid() != 0:
        missing("this needs root: it makes users and sudo rules")
    hosts: dict[str, dict[str, str]] = {}
    for name in ("closed", "unreadable", "unwritable", "no-sudo", "well"):
        directory = public_path / name
        directory.mkdir(mode=0o755)
        (directory / "aegis.config.json").write_text(FILE)
        (directory / "aegis.config.json").chmod(0o600)
        hosts[name] = {"config_path": str(directory / "aegis.config.json")}
    with (
        user("login") as login,
        user("aegis", "/usr/sbin/nologin") as aegis,
        sudoers(f"{login} ALL=({aegis}) ALL"),
        sshd_for(login, tmp_path / "sshd") as sshd,
    ):
        (public_path / "closed").chmod(0o700)
        shutil.chown(public_path / "unwritable" / "aegis.config.json", login)
        shutil.chown(public_path / "well", login)
        shutil.chown(public_path / "well" / "aegis.config.json", login)
        hosts["no-sudo"]["become_user"] = aegis
        found = _checks(sshd, tmp_path, hosts, login)
    failed = {
        name: [(check.check, check.message) for check in checks if check.result is CheckResult.FAIL]
        for name, checks in found.items()
    }
    assert failed == {
        "closed": [("directory", "no permission to look into it (0700, uid 0, gid 0)")],
        "unreadable": [("file", "no permission to read it")],
        "unwritable": [
            ("permissions", "it can't be written: no permission to write in its directory")
        ],
        "no-sudo": [("become", f"sudo wants a password to become {aegis}")],
        "well": [],
    }
    [become] = [check for check in found["no-sudo"] if check.check == "become"]
    assert f"{login} ALL=({aegis}) NOPASSWD: /usr/lib/openssh/sftp-server" in become.remedy
