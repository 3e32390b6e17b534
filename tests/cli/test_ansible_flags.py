"""Flags that an Ansible user types: each is answered with where that is set here."""

from __future__ import annotations

import importlib
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
    "--become-method": "'become_method: doas'",
    "--sudo-user=x": "'become_user: NAME'",
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
    "--step": "asks once",
    "-C": "'aegis-provision plan' never does",
    "-P5": "--deadline",
    "--list": "hosts --format json",
    "--host": "hosts --host HOST",
    "--graph": "hosts --graph",
    "--task-timeout=5": "--timeout",
    "-o": "--report",
    "--accept-host-key": "--host-key accept-new",
    "--playbook-dir": "ANSIBLE_PLAYBOOK_DIR",
    "--extra-var=x": "--env-file",
    "--ask-vault": "ANSIBLE_VAULT_PASSWORD_FILE",
    "--list-h": "'aegis-provision hosts PATTERN'",
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


@pytest.mark.parametrize("flag", ["-i", "--inventory", "-l", "-f", "-C", "-D", "-v", "--limit=a"])
def test_a_flag_of_commands_goes_behind_the_command(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([flag, "x", "plan"], {}) == 64
    name = flag.partition("=")[0]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"Error: No such option '{name}'. It goes behind the command: "
        f"'aegis-provision COMMAND {name} ...'."
    )


def test_each_flag_of_ansibles_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the programs' own ``--help``, so that a new one is noticed."""
    for name in ("adhoc.AdHocCLI", "playbook.PlaybookCLI", "inventory.InventoryCLI"):
        module, _, kind = name.partition(".")
        pytest.importorskip("ansible", reason="this needs Ansible: pip install ansible-core")
        program = getattr(importlib.import_module(f"ansible.cli.{module}"), kind)([module])
        program.init_parser()
        flags = [flag for action in program.parser._actions for flag in action.option_strings]  # noqa: SLF001
        assert len(flags) > 20
        for flag in flags:
            code = run(["plan", flag], {})
            err = capsys.readouterr().err
            assert "To Ansible it is" in err or "No such option" not in err, (flag, code)


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
