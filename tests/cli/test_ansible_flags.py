"""Flags that an Ansible user types: each is answered with where that is set here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.ansible_flags import meaning_to_ansible
from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = {
    "-u": "the login: write 'user: NAME' in the inventory",
    "-uroot": "the login: write 'user: NAME' in the inventory",
    "--user=root": "the login: write 'user: NAME'",
    "--private-key": "'identity_file: PATH'",
    "-b": "'become: true'",
    "--become": "'become: true'",
    "--become-user": "'become_user: NAME'",
    "--become-method": "always 'sudo -n'",
    "-e": "--env-file",
    "--extra-vars": "--env-file",
    "-k": "'password: ${NAME}'",
    "--ask-pass": "'password: ${NAME}'",
    "-K": "NOPASSWD",
    "-kK": "'password: ${NAME}'",
    "--ask-become-pass": "NOPASSWD",
    "-t": "--limit",
    "--skip-tags": "--limit",
    "--ask-vault-pass": "ANSIBLE_VAULT_PASSWORD_FILE",
    "--vault-password-file": "ANSIBLE_VAULT_PASSWORD_FILE",
    "--syntax-check": "'aegis-provision validate'",
    "--start-at-task": "'aegis-provision apply --retry last'",
    "-c": "'connection: ssh'",
    "--ssh-common-args": "'jump: BASTION'",
}


@pytest.mark.parametrize(("flag", "answer"), ANSWERS.items())
def test_each_is_answered_with_where_that_is_set(
    flag: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["plan", "-i", "inventory.yml", flag, "x"], {})
    out, err = capsys.readouterr()
    assert (code, out) == (64, "")
    last = err.splitlines()[-1]
    assert last.startswith("Error: No such option '-")
    assert answer in last
    assert "Did you mean" not in last


def test_it_is_so_before_the_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-b", "apply"], {}) == 64
    assert "'become: true'" in capsys.readouterr().err


def test_other_flags_are_none_of_ansibles(capsys: pytest.CaptureFixture[str]) -> None:
    assert meaning_to_ansible("--limt") is None
    assert run(["plan", "--limt", "x"], {}) == 64
    assert "Did you mean one of: '--limit'" in capsys.readouterr().err


def test_a_retry_file_of_ansibles_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yml").write_text(
        "all: {vars: {provider: glm}, hosts: {a: , b: , c.example.com: }}"
    )
    (tmp_path / "site.retry").write_text("b\nc.example.com\n")
    assert run(["hosts", "--limit", "@site.retry"], {}) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "b",
        "c.example.com",
    ]
