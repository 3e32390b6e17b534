"""The text of a range, wherever a command takes a host pattern."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aegis_provision.cli.main import run

INVENTORY = """\
all:
  vars: {provider: ollama}
  hosts:
    gpu-[1:9].example.com:
"""
RANGE = "gpu-[2:3].example.com"
BEYOND = "gpu-[8:10].example.com"
REFUSED = '"gpu-[8:10].example.com": of its 3 hosts "gpu-10.example.com" is not in the inventory'


@pytest.fixture(autouse=True)
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yml").write_text(INVENTORY)


def result(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(args, {"PATH": os.environ["PATH"], "HOME": str(Path.cwd())})
    out, err = capsys.readouterr()
    return code, out, err


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()]


GPUS = [f"gpu-{number}.example.com" for number in range(1, 10)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gpu-[1:9].example.com"], GPUS),
        (["all:!gpu-[1:3].example.com"], GPUS[3:]),
        (["--limit", RANGE], GPUS[1:3]),
        (["--limit", f"!{RANGE}"], [GPUS[0], *GPUS[3:]]),
        (["--limit", "@names"], GPUS[1:3]),
    ],
)
def test_hosts(
    arguments: list[str],
    expected: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "names").write_text(f"{RANGE}\n")
    code, out, err = result(capsys, "hosts", *arguments)
    assert (code, err) == (0, "")
    assert names(out) == expected


def test_pin_and_unpin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "pin", RANGE, "glm")[0] == 0
    _, out, _ = result(capsys, "hosts", "provider=glm")
    assert names(out) == GPUS[1:3]
    assert result(capsys, "unpin", RANGE)[0] == 0
    assert (tmp_path / "inventory.yml").read_text() == INVENTORY


def test_a_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "playbook.yml").write_text(f"- hosts: {RANGE}\n- hosts: 'all:!{RANGE}'\n")
    code, out, _ = result(capsys, "apply", "playbook.yml", "--list-hosts")
    assert code == 0
    listed = [line.strip() for line in out.splitlines() if line.strip().startswith("gpu-")]
    assert listed == [*GPUS[1:3], GPUS[0], *GPUS[3:]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["hosts", BEYOND],
        ["hosts", "--limit", f"all:!{BEYOND}"],
        ["pin", BEYOND, "glm"],
        ["unpin", BEYOND],
        ["status", "--limit", BEYOND],
        ["plan", "--limit", BEYOND],
        ["validate", "playbook.yml"],
    ],
)
def test_hosts_that_are_not_there_are_refused_everywhere(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "playbook.yml").write_text(f"- hosts: {BEYOND}\n")
    code, out, err = result(capsys, *arguments)
    assert (code, out) == (3, "")
    assert REFUSED in err
    assert (tmp_path / "inventory.yml").read_text() == INVENTORY
