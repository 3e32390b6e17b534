"""Names for completion are kept for large inventories, and right after any edit."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from aegis_provision.cli import completion_cache
from aegis_provision.cli.completion_cache import SMALLEST, Names, names_of
from aegis_provision.cli.main import COMPLETE, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INVENTORY = """\
all:
  vars: {{provider: openrouter, config_path: /c, auth_token: "${{CANARY_OF_A_REFERENCE}}"}}
  hosts: {{"h[1:{count}]": {{env: {{MY_VARIABLE: canary-of-a-value}}}}}}
"""


class Shell:
    """A shell some time after the last edit; ``read`` counts how often the inventory was read."""

    def __init__(self, directory: Path) -> None:
        self.inventory = directory / "inventory.yml"
        self.cache = directory / "cache"
        self.read = 0
        self.names = Names((), (), (), (), {})

    def write(self, text: str) -> None:
        self.inventory.write_text(text, encoding="utf-8")

    def complete(self, after: float = 10.0) -> Names | None:
        environ = {"XDG_CACHE_HOME": str(self.cache)}
        return names_of([self.inventory], environ, self._load, lambda: time.time() + after)

    def _load(self) -> Names:
        self.read += 1
        lines = self.inventory.read_text(encoding="utf-8").split()
        return Names(lines, (), (), (), {})


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.write("\n".join(f"h{number}" for number in range(SMALLEST)))
    return shell


def test_a_large_inventory_is_read_once(shell: Shell) -> None:
    first, second = shell.complete(), shell.complete()
    assert first is not None
    assert second is not None
    assert list(second.hosts) == list(first.hosts)
    assert shell.read == 1


def test_a_small_one_is_read_each_time_and_leaves_nothing(shell: Shell) -> None:
    shell.write("a b c")
    shell.complete()
    shell.complete()
    assert shell.read == 2
    assert not shell.cache.exists()


def edit_in_place(shell: Shell) -> None:
    shell.write(shell.inventory.read_text().replace("h7", "g7"))


def keep_the_time(shell: Shell) -> None:
    before = shell.inventory.stat()
    edit_in_place(shell)
    os.utime(shell.inventory, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(shell: Shell) -> None:
    other = shell.inventory.with_name("other")
    other.write_text(shell.inventory.read_text())
    other.replace(shell.inventory)


def add_variables(shell: Shell) -> None:
    directory = shell.inventory.with_name("group_vars")
    directory.mkdir()
    (directory / "all.yml").write_text("model: m")


@pytest.mark.parametrize("edit", [edit_in_place, keep_the_time, replace, add_variables])
def test_it_is_right_after_an_edit(shell: Shell, edit: Callable[[Shell], None]) -> None:
    shell.complete()
    edit(shell)
    shell.complete()
    assert shell.read == 2


def test_a_file_that_was_just_changed_is_not_trusted(shell: Shell) -> None:
    shell.complete(after=0.0)
    shell.complete(after=0.0)
    assert shell.read == 2


def test_what_changes_while_it_is_read_is_not_kept(shell: Shell) -> None:
    load = shell._load  # noqa: SLF001 - the test's own class

    def load_and_edit() -> Names:
        found = load()
        edit_in_place(shell)
        return found

    environ = {"XDG_CACHE_HOME": str(shell.cache)}
    names_of([shell.inventory], environ, load_and_edit, lambda: time.time() + 10)
    assert not shell.cache.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff"])
def test_a_broken_cache_is_as_good_as_none(shell: Shell, content: bytes) -> None:
    shell.complete()
    [file] = (shell.cache / "aegis-provision").iterdir()
    file.write_bytes(content)
    assert shell.complete() is not None
    assert shell.read == 2


def test_what_was_not_used_for_long_goes(shell: Shell) -> None:
    shell.complete()
    [file] = (shell.cache / "aegis-provision").iterdir()
    old = file.with_name("completion-0.json")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    edit_in_place(shell)
    shell.complete()
    assert not old.exists()
    assert file.exists()


def test_the_file_holds_names_alone_and_is_the_users_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion_cache, "_SETTLED", -10.0)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY.format(count=SMALLEST), encoding="utf-8")
    environ = {
        "HOME": str(tmp_path),
        COMPLETE: "bash_complete",
        "_AEGIS_PROVISION_LINE": f"aegis-provision explain -i {inventory} h100 env.",
    }
    for _ in range(2):
        assert run([], environ) == 0
        assert capsys.readouterr().out == "plain\tenv.MY_VARIABLE\n"
    [file] = (tmp_path / ".cache" / "aegis-provision").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "CANARY" not in file.read_text().upper()


COMPLETE_IN_ITS_OWN_PROCESS = """
import sys
from aegis_provision.cli import completion_cache
from aegis_provision.cli.main import run
completion_cache._SETTLED = -10.0
for words in ("hosts", "plan --limit", "apply --limit", "pin", "explain", "doctor", "status -l"):
    line = f"aegis-provision {words} h99"
    run([], {"HOME": sys.argv[1], "_AEGIS_PROVISION_COMPLETE": "bash_complete",
             "_AEGIS_PROVISION_LINE": line})
    print(sorted({"yaml", "jsonschema", "paramiko", "aegis_provision.operations.load"}
                 & sys.modules.keys()))
"""


def test_kept_names_are_offered_without_loading_what_reads_an_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(completion_cache, "_SETTLED", -10.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yml").write_text(INVENTORY.format(count=SMALLEST), encoding="utf-8")
    line = {COMPLETE: "bash_complete", "_AEGIS_PROVISION_LINE": "aegis-provision hosts h99"}
    assert run([], {"HOME": str(tmp_path), **line}) == 0
    offered = capsys.readouterr().out
    assert offered.count("h99") == 11
    argv = [sys.executable, "-c", COMPLETE_IN_ITS_OWN_PROCESS, str(tmp_path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == 7 * f"{offered}[]\n"
