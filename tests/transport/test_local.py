"""Files of this machine, without SSH: the same writes by other means."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from aegis_provision.transport.local import LocalFiles, connect_local
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    leftovers,
    mode_of,
    plan_write,
    put,
    target,
    write_now,
    write_over,
)

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def _options(home: Path) -> ConnectOptions:
    return ConnectOptions(15.0, None, (), False, None, home, "anna")


def test_a_relative_path_begins_at_home(tmp_path: Path) -> None:
    put(tmp_path / "aegis.config.json")
    deadline = Deadline.after(30)
    with connect_local(target("aegis.config.json"), _options(tmp_path), deadline) as session:
        actual = session.read(deadline)
        write_over(session, plan_write(actual), deadline)
        assert session.alive(deadline)
    assert actual.path == str(tmp_path / "aegis.config.json")
    assert (tmp_path / "aegis.config.json").read_bytes() == NEW


def test_our_files_are_private_under_any_umask(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, OLD, 0o640)
    before = os.umask(0)
    try:
        write_now(LocalFiles(tmp_path), path)
    finally:
        os.umask(before)
    assert mode_of(path) == 0o640
    assert mode_of(tmp_path / DATA_DIR) == 0o700
    assert mode_of(tmp_path / DATA_DIR / "previous") == 0o600
    assert leftovers(tmp_path) == {"previous"}


def test_rename_goes_over_nothing(tmp_path: Path) -> None:
    put(tmp_path / "a", b"a")
    (tmp_path / "b").symlink_to("nowhere")
    files = LocalFiles(tmp_path)
    with pytest.raises(FileExistsError):
        files.rename(str(tmp_path / "a"), str(tmp_path / "b"))
    files.rename(str(tmp_path / "a"), str(tmp_path / "c"))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["b", "c"]


def test_modes_and_owners_are_never_set_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    files = LocalFiles(tmp_path)
    link = str(tmp_path / "link")
    with pytest.raises(NotADirectoryError):
        files.chmod(link, 0o700)
    with pytest.raises(NotADirectoryError):
        files.chown(link, os.getuid(), os.getgid())


def test_a_link_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="symbolic links"):
        LocalFiles(tmp_path).read_whole(str(tmp_path / "link"), 100)


_WRITE = """
import os, sys
from pathlib import Path
from aegis_provision.transport.local import LocalFiles
from tests.transport.targets import write_now

os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
path = Path(sys.argv[1])
print(write_now(LocalFiles(path.parent), path).warnings)
"""


@pytest.mark.root
def test_a_directory_that_its_owner_cannot_list_is_written_in_all_the_same(home: Path) -> None:
    """Such a directory can't be opened to be synced, by which time the file is in place."""
    home.chmod(0o300)
    path = home / "aegis.config.json"
    put(path)
    os.chown(path, NOBODY, NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "()\n"), done.stderr
    assert path.read_bytes() == NEW


_INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from aegis_provision.transport.local import connect_local
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.deadline import Deadline
from tests.transport.targets import plan_write, target, write_over

asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(True))
deadline = Deadline.after(30)
options = ConnectOptions(15.0, None, (), False, None, Path("/"), "anna")
there = target(sys.argv[1], become_user="nobody")
with connect_local(there, options, deadline) as session:
    write = plan_write(session.read(deadline))
    os.killpg(0, signal.SIGINT)
    write_over(session, write, deadline)
print(asked)
"""


@pytest.mark.root
def test_ctrl_c_does_not_reach_the_server_that_runs_as_another_user(home: Path) -> None:
    """A terminal sends it to the whole process group, and writes under way are to finish."""
    path = home / "aegis.config.json"
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(path)],
        cwd=ROOT,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "[True]\n"), done.stderr
    assert path.read_bytes() == NEW
    assert path.stat().st_uid == NOBODY
