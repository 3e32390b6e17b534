"""Hosts whose Aegis reads YAML, through the command line: edited in place, all else as for JSON."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from aegis_provision.cli.main import run
from tests.fleet.openssh import running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.openssh import Sshd

TOKEN = "canary-of-the-provider"
LOCK = "canary-of-the-lock"
FILE = f"""\
# written by 'ag init'
baseUrl: http://127.0.0.1:9100   # where it listens
dashboardEnabled: true
authToken: {LOCK}
defaultSessionEnv:
  # the operator's own
  THEIRS: 'keep me'
allowedWorkDirs: [/srv/work,
  /home/aegis/work]
"""
FIVE = {
    "ANTHROPIC_BASE_URL": "https://llm.example.com/v1",
    "ANTHROPIC_AUTH_TOKEN": TOKEN,
    "ANTHROPIC_DEFAULT_MODEL": "big",
    "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
    "API_TIMEOUT_MS": "60000",
}
LINES = "".join(f'  {name}: "{value}"\n' for name, value in FIVE.items())


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@dataclass
class Host:
    """One host with a YAML file, and the inventory that names it."""

    root: Path
    sshd: Sshd

    @property
    def file(self) -> Path:
        return self.root / "host" / ".aegis" / "config.yaml"

    def put(self, text: str) -> None:
        self.file.write_bytes(text.encode())
        self.file.chmod(0o600)

    def want(self, **settings: object) -> None:
        recipe = {
            "base_url": FIVE["ANTHROPIC_BASE_URL"],
            "auth_token": "${YAML_TOKEN}",
            "model": "big",
            "fast_model": "small",
            "timeout_ms": "60000",
        }
        host = {
            "address": self.sshd.address,
            "port": self.sshd.port,
            "user": self.sshd.user,
            "identity_file": str(self.sshd.client_key),
            "config_path": str(self.file),
            "provider": "gateway",
            **settings,
        }
        document = {"providers": {"gateway": recipe}, "all": {"hosts": {"a": host}}}
        (self.root / "inventory.yml").write_text(json.dumps(document))

    def tell(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        """Run a command and return what it says of the host."""
        [entry] = self.call(*words, exit_code=exit_code)["hosts"]
        found: dict[str, Any] = entry
        return found

    def call(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        environ = {
            "HOME": str(self.root),
            "YAML_TOKEN": TOKEN,
            "AEGIS_PROVISION_SSH_CONFIG": "none",
            "AEGIS_PROVISION_KNOWN_HOSTS": str(self.sshd.known_hosts),
        }
        inventory = ("-i", str(self.root / "inventory.yml"))
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*words, *inventory, "--format", "json"], environ)
        printed = out.getvalue() + err.getvalue()
        assert code == exit_code, printed
        assert TOKEN not in printed
        assert LOCK not in printed
        found: dict[str, Any] = json.loads(out.getvalue())
        return found


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> Host:
    (tmp_path / "host" / ".aegis").mkdir(parents=True, mode=0o700)
    found = Host(tmp_path, sshd)
    found.want()
    return found


def test_only_what_is_ours_changes_and_comes_back_byte_for_byte(host: Host) -> None:
    host.put(FILE)
    assert host.tell("plan")["action"] == "update"
    assert host.tell("apply", "--yes")["status"] == "restart_pending"
    expected = FILE.replace("  THEIRS: 'keep me'\n", "  THEIRS: 'keep me'\n" + LINES)
    assert host.file.read_text() == expected
    assert host.tell("plan")["action"] == "unchanged"
    assert "in_sync" in host.tell("status")["state"]
    assert host.tell("rollback", "--yes")["status"] == "rolled_back"
    assert host.file.read_text() == FILE


def test_a_new_file_is_yaml_with_quoted_values(host: Host) -> None:
    assert host.tell("plan")["action"] == "create"
    host.tell("apply", "--yes")
    assert host.file.read_text() == "defaultSessionEnv:\n" + LINES
    assert host.tell("plan")["action"] == "unchanged"


def test_hand_edits_drift_and_nulls_are_told_as_in_json(host: Host) -> None:
    host.put(FILE)
    host.tell("apply", "--yes")
    text = (
        host.file.read_text().replace('"big"', '"bigger"').replace("dashboardEnabled: true\n", "")
    )
    host.put(text.replace(f"authToken: {LOCK}\n", ""))
    status = host.tell("status", exit_code=0)
    assert status["drifted"] == ["ANTHROPIC_DEFAULT_MODEL"]
    assert status["edited"] == ["authToken", "dashboardEnabled"]
    host.want(env={"THEIRS": None})
    host.tell("apply", "--yes")
    assert "THEIRS" not in host.file.read_text()
    assert "# the operator's own" in host.file.read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defaultSessionEnv:\n  API_TIMEOUT_MS: 60000\n", "defaultSessionEnv.API_TIMEOUT_MS"),
        ("defaultSessionEnv:\n  THEIRS: 1\n", "defaultSessionEnv.THEIRS"),
        ("port: '9100'\n", '"port" must be a whole number'),
        ("a: 1\na: 2\n", "ignores the whole file"),
        ("- a\n", "its root is no object"),
    ],
)
def test_a_file_that_aegis_ignores_is_told_as_what_it_is(host: Host, text: str, words: str) -> None:
    host.put(text)
    plan = host.tell("plan", exit_code=4)
    assert plan["action"] == "error"
    assert words in plan["message"]
    assert "JSON" not in plan["message"]
    assert host.tell("apply", "--yes", exit_code=4)["status"] == "refused"
    assert host.file.read_text() == text


def test_a_file_that_can_not_be_edited_in_place_is_refused(host: Host) -> None:
    text = "shared: &env\n  THEIRS: x\ndefaultSessionEnv: *env\n"
    host.put(text)
    plan = host.tell("plan", exit_code=4)
    assert "the file can't be edited in place" in plan["message"]
    assert host.file.read_text() == text


def test_a_lost_file_is_written_anew_with_its_other_keys(host: Host) -> None:
    host.put(FILE)
    host.tell("apply", "--yes")
    host.file.unlink()
    assert host.tell("plan", exit_code=4)["action"] == "error"
    host.tell("apply", "--yes", "--recreate")
    expected = FILE.replace("  THEIRS: 'keep me'\n", "  THEIRS: 'keep me'\n" + LINES)
    assert host.file.read_text() == expected


def test_import_reads_yaml(host: Host) -> None:
    host.put("defaultSessionEnv:\n" + LINES)
    [entry] = host.call("import", "--out", str(host.root / "imported"))["hosts"]
    assert entry["provider"] == "gateway"
