"""Which files beside an inventory belong to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = "all: {vars: {provider: glm}, hosts: {eu-01.example.com: }, children: {eu.west: }}"


@pytest.fixture(autouse=True)
def beside_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    (tmp_path / "host_vars").mkdir()


def user_of_the_host(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["hosts", "--host", "eu-01.example.com", "--format", "json"], {}) == 0
    out, said = capsys.readouterr()
    assert said == ""
    user: str = json.loads(out).get("ansible_user", "")
    return user


@pytest.mark.parametrize("ending", ["", ".yml", ".yaml", ".json", "/connection.yml"])
def test_a_file_named_after_a_host_with_dots_is_read(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "host_vars" / f"eu-01.example.com{ending}"
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"user": "deploy"}')
    assert user_of_the_host(capsys) == "deploy"


@pytest.mark.parametrize("name", ["README.md", "eu-01.example.com.bak", ".hidden", "notes.txt"])
def test_other_files_are_passed_over(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host_vars" / name).write_bytes(b"user: [\xff")
    assert run(["validate"], {}) == 0
    assert "error" not in capsys.readouterr().err


def test_a_name_that_is_nearly_a_hosts_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host_vars" / "eu-01.exampel.com").write_text("user: deploy")
    assert run(["validate"], {}) == 0
    said = capsys.readouterr().err
    assert 'warning: no host is called "eu-01.exampel.com"' in said
    assert "so nobody uses host_vars/eu-01.exampel.com" in said
    assert '= did you mean "eu-01.example.com"?' in said
