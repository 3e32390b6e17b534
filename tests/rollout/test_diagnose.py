"""Looking at a host: its clock, and what goes by it, over a real sshd."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from aegis_provision.diagnosis.checks import CheckResult
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.connection_pool import ConnectionSettings
from aegis_provision.rollout.diagnose import Operator, diagnose_fleet
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.transport.connect import connect
from tests.fleet.clients import options
from tests.fleet.openssh import running_sshd
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.diagnosis.checks import Check

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
        inventory, specs = specified(
            "providers:\n  here: {extends: ollama, base_url: http://127.0.0.1:9/v1}\n"
            f"all:\n  vars: {{provider: here, address: {sshd.address}, port: {sshd.port},\n"
            f"    user: {sshd.user}, identity_file: {sshd.client_key}, config_path: {config}}}\n"
            "  hosts: {a: {}}\n"
        )
        job = HostJob(inventory.hosts["a"], resolve_env(specs["a"], {}))
        settings = ConnectionSettings(connect, options(tmp_path, sshd.known_hosts), 1, 60.0)
        [found] = diagnose_fleet([job], {"a": Operator()}, settings, lambda _: None, probe=False)
    return {check.check: check for check in found.checks}


def test_a_clock_that_is_ahead_is_told_and_a_locks_age_goes_by_it(checks: dict[str, Check]) -> None:
    assert checks["clock"].result is CheckResult.WARN
    assert checks["clock"].message.startswith("the host's clock is 1 h 0 min ahead of") or (
        checks["clock"].message.startswith("the host's clock is 59 min ")
    )
    assert checks["lock"].message == "another run is writing there (ben since noon)"
    assert "is broken in 8 min" in checks["lock"].remedy or "in 9 min 0 s" in checks["lock"].remedy
