"""``doctor`` without an inventory: one thing wrong in a home directory, and how it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run
from aegis_provision.diagnosis.checks import ControlNodeCheck
from aegis_provision.packaged_files import load_schema
from tests.fleet.agent import running_agent
from tests.fleet.openssh import make_key
from tests.fleet.operator import ROOT
from tests.fleet.program import PROGRAM
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY = "canary-token-4f1d"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ2wV1sZbD8k0lYqQm0m1Tn0mB7rXhXw8oZ0m1n2p3q"


@dataclass(slots=True)
class Home:
    """An operator's home in which nothing is amiss."""

    path: Path
    environ: dict[str, str]

    @property
    def ssh(self) -> Path:
        return self.path / ".ssh"

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "key"
    make_key(path)
    return path.read_text()


@pytest.fixture
def home(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    path = tmp_path / "home"
    found = Home(path, {"HOME": str(path), "USER": "anna", "OPENROUTER_API_KEY": CANARY})
    found.write(".ssh/id_ed25519", key)
    found.write(".ssh/known_hosts", f"# ours\n\nbuild-01 {KEY}\n[10.0.0.1]:22 {KEY} x\n")
    return found


def looked_at(
    home: Home, capsys: pytest.CaptureFixture[str], *args: str, code: int = 0
) -> dict[str, dict[str, str]]:
    assert run(["doctor", "--format", "json", *args], home.environ) == code
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    document: dict[str, Any] = json.loads(out)
    check_document("doctor", document)
    assert document["hosts"] == []
    assert [item["check"] for item in document["control_node"]] == list(ControlNodeCheck)
    return {item["check"]: item for item in document["control_node"]}


def test_where_nothing_is_amiss_all_is_ok_and_nothing_is_written(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(home.path.rglob("*"))
    found = looked_at(home, capsys)
    assert {item["result"] for item in found.values()} == {"ok"}
    assert found["known_hosts"]["message"] == f"{home.ssh}/known_hosts (2 keys)"
    assert found["keys"]["message"] == f"{home.ssh}/id_ed25519"
    assert found["recipes"]["message"] == (
        "usable: openrouter (OPENROUTER_API_KEY), lm-studio, ollama; "
        "not set: glm (GLM_API_KEY), azure-openai (AZURE_OPENAI_API_KEY)"
    )
    assert sorted(home.path.rglob("*")) == before


def _leads_to_a_file(home: Home) -> None:
    home.write("state", "")
    home.environ["XDG_STATE_HOME"] = str(home.path / "state")


def _damaged_record(home: Home) -> None:
    state = home.path / ".local/state/aegis-provision"
    for path in (state, state / "runs"):
        path.mkdir(mode=0o700, parents=True)
    home.write(".local/state/aegis-provision/runs/20260101T000000Z-abcdef.jsonl", "{")


CASES: dict[str, tuple[str, str, str, Callable[[Home], object]]] = {
    "syntax": (
        "ssh_config",
        "fail",
        "config:2: ",
        lambda home: home.write(".ssh/config", "\nHo st\n"),
    ),
    "keyword": (
        "ssh_config",
        "warn",
        "config:1: StrictHostKeyChecking is not honoured",
        lambda home: home.write(".ssh/config", "StrictHostKeyChecking no\n"),
    ),
    "open": (
        "ssh_config",
        "fail",
        "config",
        lambda home: home.write(".ssh/config", "Host *\n", 0o666),
    ),
    "agent": (
        "agent",
        "warn",
        "there is no ssh agent where SSH_AUTH_SOCK says: /nowhere",
        lambda home: home.environ.update(SSH_AUTH_SOCK="/nowhere"),
    ),
    "open key": (
        "keys",
        "warn",
        "can be read by others (mode 0644): chmod 600 it",
        lambda home: (home.ssh / "id_ed25519").chmod(0o644),
    ),
    "no key": (
        "keys",
        "warn",
        "no key to log in with",
        lambda home: (home.ssh / "id_ed25519").unlink(),
    ),
    "broken line": (
        "known_hosts",
        "warn",
        "known_hosts:2, 4 is not understood",
        lambda home: home.write(".ssh/known_hosts", f"a {KEY}\nb\n\nc ssh-ed25519 AAAA\n"),
    ),
    "a directory": (
        "known_hosts",
        "fail",
        "known_hosts2 can't be read: Is a directory",
        lambda home: (home.ssh / "known_hosts2").mkdir(),
    ),
    "none known": (
        "known_hosts",
        "warn",
        "no key of any host is known",
        lambda home: (home.ssh / "known_hosts").unlink(),
    ),
    "no directory": ("state_directory", "fail", "can't be", _leads_to_a_file),
    "damaged": (
        "state_directory",
        "warn",
        "1 record is damaged: 20260101T000000Z-abcdef",
        _damaged_record,
    ),
    "no token": (
        "recipes",
        "warn",
        "openrouter: ANTHROPIC_AUTH_TOKEN (from OPENROUTER_API_KEY) is refused",
        lambda home: home.environ.update(OPENROUTER_API_KEY="changeme"),
    ),
    "placeholder": (
        "recipes",
        "warn",
        "azure-openai: ANTHROPIC_BASE_URL (from AZURE_OPENAI_BASE_URL) is refused",
        lambda home: home.environ.update(AZURE_OPENAI_API_KEY=CANARY),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_thing_wrong_is_one_check(
    home: Home, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    check, result, words, spoil = CASES[case]
    spoil(home)
    found = looked_at(home, capsys, code=4 if result == "fail" else 0)
    wrong = {name: item for name, item in found.items() if item["result"] != "ok"}
    assert list(wrong) == [check]
    assert wrong[check]["result"] == result
    assert words in wrong[check]["message"]
    assert wrong[check]["remedy"]


def test_a_locked_key_beside_an_agent_is_fine(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    locked = home.ssh / "id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-N", "secret", "-P", "", "-f", str(locked)], check=True
    )
    found = looked_at(home, capsys)
    assert found["keys"]["result"] == "warn"
    assert "passphrase" in found["keys"]["message"]
    key = tmp_path / "other"
    make_key(key)
    with running_agent(tmp_path) as agent:
        agent.add(key)
        home.environ["SSH_AUTH_SOCK"] = agent.socket
        found = looked_at(home, capsys)
    assert found["agent"]["message"] == "1 key"
    assert found["keys"]["result"] == "ok"
    assert found["keys"]["message"].startswith("1 of the agent's; ")


def test_without_a_home_one_check_fails(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("aegis_provision.transport.connect_options.pwd.getpwuid", nobody)
    del home.environ["HOME"]
    found = looked_at(home, capsys, code=4)
    assert "HOME is not set" in found["ssh_config"]["message"]
    resting = [item["check"] for item in found.values() if item["rests_on"] == "ssh_config"]
    assert resting == ["keys", "known_hosts", "state_directory"]
    assert [item["check"] for item in found.values() if item["result"] == "fail"] == ["ssh_config"]


def test_a_named_config_is_looked_at_and_a_missing_one_is_an_error(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write(".ssh/config", "\nHo st\n")
    assert looked_at(home, capsys, "--ssh-config", "none")["ssh_config"]["message"] == "none"
    assert run(["doctor", "--ssh-config", "other"], home.environ) == 3
    assert "--ssh-config: no file other" in capsys.readouterr().err


def test_with_an_inventory_or_a_pattern_it_is_about_hosts(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["doctor", "web"], home.environ) == 3
    assert "no inventory" in capsys.readouterr().err
    (tmp_path / "work" / "inventory.yml").write_text("all: {hosts: [")
    assert run(["doctor"], home.environ) == 3
    assert "control node" not in capsys.readouterr().out


def test_as_text_and_in_another_locale(home: Home) -> None:
    environ = {**home.environ, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*PROGRAM, "doctor"],
        env=environ | {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "! control node"
    assert lines[1].split() == ["ok", "python", ".".join(map(str, sys.version_info[:3]))]
    assert "    warn  locale           ascii: what it lacks is printed as escapes" in lines
    assert lines[-1] == "Doctor: control node: 1 with a warning, 8 ok"


def test_as_a_stream_it_is_the_last_event(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--format", "ndjson"], home.environ) == 0
    [line] = map(json.loads, capsys.readouterr().out.splitlines())
    check_document("event", line)
    assert line["event"] == "doctor_finished"
    assert [item["check"] for item in line["control_node"]] == list(ControlNodeCheck)


def test_the_schema_names_the_checks() -> None:
    text = load_schema("doctor")["properties"]["control_node"]["description"]
    assert ", ".join(ControlNodeCheck) in text
