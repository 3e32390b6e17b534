"""Secrets for logging in that the inventory names: needed to connect alone, and never shown."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fleet.openssh import make_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.operator import Operator

PASSPHRASE = "a-passphrase-that-is-long-not-real"
OFFLINE = (["validate"], ["hosts"], ["hosts", "--format", "json"], ["explain", "a"])


def _locked(operator: Operator, tmp_path: Path) -> Path:
    key = tmp_path / "locked"
    shutil.copy(operator.sshd.client_key, key)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", key],
        check=True,
        capture_output=True,
    )
    return key


def _inventory(operator: Operator, key: Path, *settings: str) -> None:
    operator.inventory("a", "b", more="\n    ".join(settings))
    path = operator.work / "inventory.yml"
    path.write_text(path.read_text().replace(str(operator.sshd.client_key), str(key)))


def test_a_passphrase_out_of_the_environment(operator: Operator, tmp_path: Path) -> None:
    key = _locked(operator, tmp_path)
    _inventory(operator, key, "identity_passphrase: ${KEY_PASSPHRASE}")
    known = {"KEY_PASSPHRASE": PASSPHRASE}
    for command in (["plan", "-v"], ["plan", "--format", "json"], ["status"], ["doctor"]):
        told = operator.call(*command, environ=known)
        assert "has a passphrase" not in told.out + told.err
        assert "login:" not in told.out + told.err
        assert PASSPHRASE not in told.out + told.err
    told = operator.call("apply", "--yes", environ=known)
    assert told.code == 0, told.err
    assert PASSPHRASE not in told.out + told.err
    state = [path for path in (operator.root / "home").rglob("*") if path.is_file()]
    assert state
    assert not any(PASSPHRASE.encode() in path.read_bytes() for path in state)
    wrong = operator.call("plan", environ={"KEY_PASSPHRASE": "another-long-one-not-real"})
    assert wrong.code == 5
    assert f"{key} is not opened by the passphrase in ${{KEY_PASSPHRASE}}" in wrong.out
    assert "another-long-one" not in wrong.out + wrong.err


def test_what_is_unset_is_told_at_once_and_where_nothing_connects_it_does_not_matter(
    operator: Operator, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "key")
    _inventory(
        operator, key, "identity_passphrase: ${KEY_PASSPHRASE}", "password: ${LOGIN_PASSWORD}"
    )
    for command in (["plan"], ["apply", "--yes"], ["status"]):
        told = operator.call(*command, environ={"OPENROUTER_API_KEY": ""})
        assert told.code == 3
        told_names = "KEY_PASSPHRASE (needed by 2 hosts, a first), "
        told_names += "LOGIN_PASSWORD (needed by 2 hosts, a first), OPENROUTER_API_KEY"
        assert told_names in told.err, told.err
    told = operator.call("plan", "--no-secrets")
    assert told.code == 3
    assert "2 environment variables are unset or empty: KEY_PASSPHRASE" in told.err
    for command in OFFLINE:
        assert operator.call(*command).code == 0
    doctor = operator.call("doctor")
    assert "KEY_PASSPHRASE (needed by 2 hosts, a first), LOGIN_PASSWORD" in doctor.err


def test_neither_is_shown(operator: Operator, tmp_path: Path) -> None:
    _inventory(operator, make_key(tmp_path / "key"), "password: ${LOGIN_PASSWORD}")
    known = {"LOGIN_PASSWORD": PASSPHRASE}
    for command in (*OFFLINE, ["plan", "-v"]):
        told = operator.call(*command, environ=known)
        assert PASSPHRASE not in told.out + told.err
    assert "${LOGIN_PASSWORD}" in operator.call("explain", "a", "password", environ=known).out


@pytest.mark.parametrize("key", ["password", "identity_passphrase"])
@pytest.mark.parametrize("value", ["hunter2-not-real", "x${A}", "${A}${B}", "${A:-hunter2}"])
def test_only_one_reference_may_stand_there(key: str, value: str, operator: Operator) -> None:
    operator.inventory("a", more=f'{key}: "{value}"')
    told = operator.call("validate")
    assert told.code == 3
    assert f'"{key}" ' in told.err
    assert "a secret" in told.err or "a secret in the inventory" in told.err
    assert "hunter2" not in told.err
