"""The operator's home directory, and what works where nothing names one."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.operations.connection import ConnectionOptions, connection_settings
from aegis_provision.transport.connect_options import home_directory
from tests.fleet.clients import need

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = 54321
NOWHERE = f"HOME is not set, and uid {UID} has no entry in passwd"

pytestmark = pytest.mark.root


@pytest.fixture
def fleet() -> Iterator[Path]:
    """Yield an inventory of one host, this machine, in a directory of the uid's."""
    with pytest.raises(KeyError):
        pwd.getpwuid(UID)
    # Not pytest's own directory, which only root may look into.
    with tempfile.TemporaryDirectory(prefix="aegis-provision-test-") as name:
        there = Path(name)
        (there / "aegis.config.json").write_text('{"authToken": "0123456789abcdef"}')
        inventory = there / "inventory.yml"
        inventory.write_text(
            "all:\n"
            "  vars:\n"
            "    provider: ollama\n"
            "    connection: local\n"
            f"    config_path: {there}/aegis.config.json\n"
            "  hosts: {h1: }\n"
        )
        for path in [there, *there.iterdir()]:
            os.chown(path, UID, UID)
        yield inventory


def run_as_the_uid(
    inventory: Path, *words: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    # The interpreter may lie where the uid may not look, so it keeps root's right to read.
    become = ["--reuid", str(UID), "--regid", str(UID), "--clear-groups"]
    become += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return subprocess.run(
        [need("setpriv", "util-linux"), *become, sys.executable, "-m", "aegis_provision", *words],
        env={"PATH": os.defpath, "AEGIS_PROVISION_INVENTORY": str(inventory), **environ},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    "words", [["plan"], ["status"], ["import", "--out", "{there}"], ["doctor", "h1"]]
)
def test_without_a_home_what_reads_hosts_works(words: list[str], fleet: Path) -> None:
    completed = run_as_the_uid(fleet, *(word.format(there=fleet.parent / "new") for word in words))
    assert completed.returncode in {0, 4}, completed.stderr
    assert "HOME" not in completed.stderr
    assert "internal" not in completed.stderr


@pytest.mark.parametrize("words", [["apply", "--yes"], ["history"], ["rollback", "--yes"]])
def test_without_a_home_what_needs_records_says_what_to_set(words: list[str], fleet: Path) -> None:
    completed = run_as_the_uid(fleet, *words)
    assert completed.returncode in {3, 6}
    assert f"{NOWHERE}, so there is no place for records\n" in completed.stderr
    assert completed.stderr.endswith("\n  = set HOME or XDG_STATE_HOME\n")
    assert "ANTHROPIC" not in (fleet.parent / "aegis.config.json").read_text()


def test_without_a_home_a_place_for_records_is_enough(fleet: Path) -> None:
    state = str(fleet.parent)
    for words in (["apply", "--yes"], ["history"], ["rollback", "--yes"]):
        completed = run_as_the_uid(fleet, *words, XDG_STATE_HOME=state)
        assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize("words", [["validate"], ["hosts"], ["render", "h1"], ["explain", "h1"]])
def test_without_a_home_what_stays_here_works(words: list[str], fleet: Path) -> None:
    completed = run_as_the_uid(fleet, *words)
    assert (completed.returncode, completed.stderr) == (0, "")


def test_with_home_set_all_of_it_works_without_an_entry_in_passwd(fleet: Path) -> None:
    home = str(fleet.parent)
    for words in (["plan"], ["apply", "--yes"], ["status"], ["history"], ["rollback", "--yes"]):
        completed = run_as_the_uid(fleet, *words, HOME=home)
        assert completed.returncode == 0, completed.stderr
    assert f" {UID}@" in run_as_the_uid(fleet, "history", HOME=home).stdout


def test_home_wins_over_the_passwd_entry_and_is_no_variable_where_it_is_not_set(
    tmp_path: Path,
) -> None:
    entry = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert home_directory({"HOME": str(tmp_path)}) == tmp_path
    assert home_directory({}) == home_directory({"HOME": ""}) == entry
    flags = ConnectionOptions(
        forks=32,
        timeout=15.0,
        deadline=120.0,
        ssh_config=None,
        known_hosts=(),
        accept_new=False,
    )
    named, unnamed = (
        connection_settings(flags, {"HOME": str(tmp_path)}, ()),
        connection_settings(flags, {}, ()),
    )
    assert (named.options.home, named.options.environ.get("HOME")) == (tmp_path, str(tmp_path))
    assert (unnamed.options.home, unnamed.options.environ.get("HOME")) == (entry, None)
