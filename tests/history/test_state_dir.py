"""The state directory: where it is, that it is the operator's alone, and its key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_provision.errors import StateDirError
from aegis_provision.history.run_record import open_record
from aegis_provision.history.runs import run_names
from aegis_provision.history.state_dir import (
    StateDir,
    check,
    load_key,
    prepare_state_dir,
    state_dir,
)
from tests.history.fleet import RUN, header, state_dir_in

_PRINT_KEY = """
import sys
from pathlib import Path
from aegis_provision.history.state_dir import StateDir, load_key, prepare_state_dir
directory = StateDir(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
prepare_state_dir(directory)
print(load_key(directory).hex())
"""


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/aegis-provision"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "/s"}, "/s/aegis-provision"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": ""}, "/home/ada/.local/state/aegis-provision"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "s"}, "/home/ada/.local/state/aegis-provision"),
        ({"HOME": "nowhere", "XDG_STATE_HOME": "/s"}, "/s/aegis-provision"),
    ],
)
def test_where_it_is(environ: dict[str, str], directory: str) -> None:
    assert state_dir(environ) == StateDir(Path(directory))


def test_a_home_that_could_be_anywhere_is_refused() -> None:
    with pytest.raises(StateDirError, match="HOME") as refused:
        state_dir({"HOME": "nowhere"})
    assert refused.value.hint == "set HOME or XDG_STATE_HOME"


@pytest.fixture
def directory(tmp_path: Path) -> StateDir:
    made = state_dir_in(tmp_path)
    prepare_state_dir(made)
    return made


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    assert not check(state_dir_in(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o770])
@pytest.mark.parametrize("which", ["path", "runs"])
def test_a_directory_that_others_can_write_to_is_refused(
    directory: StateDir, which: str, mode: int
) -> None:
    path: Path = getattr(directory, which)
    path.chmod(mode)
    with pytest.raises(StateDirError) as refused:
        prepare_state_dir(directory)
    assert refused.value.message == f"{path} can be written by others (mode {mode:04o})"
    assert refused.value.hint == f"chmod 700 {path}"


def test_one_that_others_can_only_read_is_taken(directory: StateDir) -> None:
    directory.path.chmod(0o755)
    prepare_state_dir(directory)


@pytest.mark.root
def test_another_users_directory_is_refused(directory: StateDir) -> None:
    os.chown(directory.path, 12_345, -1)
    with pytest.raises(StateDirError, match="another user"):
        prepare_state_dir(directory)


def test_a_file_in_the_way_is_reported(tmp_path: Path) -> None:
    directory = state_dir_in(tmp_path)
    directory.path.parent.mkdir()
    directory.path.write_text("")
    with pytest.raises(StateDirError, match="can't be made"):
        prepare_state_dir(directory)
    with pytest.raises(StateDirError, match="not a directory"):
        check(directory)


ELSEWHERE = "set XDG_STATE_HOME to a directory of yours that can be written"


def _unwritable(directory: Path) -> None:
    """Make a directory in which no user can make anything, root neither."""
    if os.geteuid() == 0:
        directory.symlink_to("/proc")
    else:
        directory.mkdir(mode=0o500)


def test_every_way_in_which_it_can_not_be_written_points_elsewhere(tmp_path: Path) -> None:
    missing = state_dir_in(tmp_path / "missing")
    missing.path.parent.parent.mkdir()
    missing.path.parent.mkdir()
    _unwritable(missing.path)
    with pytest.raises(StateDirError) as refused:
        prepare_state_dir(missing)
    assert refused.value.message.startswith(f"the directory for records, {missing.runs}, can't be")
    assert refused.value.hint == ELSEWHERE
    with pytest.raises(StateDirError) as refused:
        load_key(missing)
    assert refused.value.message.startswith(f"{missing.key} can't be made or read: ")
    assert refused.value.hint == ELSEWHERE


def test_a_record_that_can_not_be_begun_points_elsewhere(directory: StateDir) -> None:
    directory.runs.rmdir()
    _unwritable(directory.runs)
    with pytest.raises(StateDirError) as refused:
        open_record(directory, header())
    assert refused.value.message.startswith(
        f"the run's record, {directory.record(RUN)}, can't be begun: "
    )
    assert refused.value.hint == ELSEWHERE


def test_what_is_no_directory_points_elsewhere_too(tmp_path: Path, directory: StateDir) -> None:
    directory.runs.rmdir()
    directory.runs.touch()
    with pytest.raises(StateDirError) as refused:
        check(directory)
    assert refused.value.hint == f"move it away, or {ELSEWHERE}"
    beyond = StateDir(tmp_path / "file" / "state")
    (tmp_path / "file").touch()
    with pytest.raises(StateDirError) as refused:
        run_names(beyond)
    assert refused.value.message == f"{beyond.path} can't be looked at: Not a directory"
    assert refused.value.hint == ELSEWHERE


def test_the_key_stays_the_same(directory: StateDir) -> None:
    assert load_key(directory) == load_key(directory)
    assert len(load_key(directory)) == 32


def test_two_state_directories_have_two_keys(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "two"):
        made = state_dir_in(tmp_path / name)
        prepare_state_dir(made)
        keys.add(load_key(made))
    assert len(keys) == 2


def test_a_key_that_others_can_read_is_refused(directory: StateDir) -> None:
    load_key(directory)
    directory.key.chmod(0o640)
    with pytest.raises(StateDirError, match="can be read by others"):
        load_key(directory)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_not_made_anew(directory: StateDir, content: bytes) -> None:
    directory.key.touch(0o600)
    directory.key.write_bytes(content)
    with pytest.raises(StateDirError, match="damaged"):
        load_key(directory)
    assert directory.key.read_bytes() == content


def test_what_a_dead_process_left_of_a_key_is_no_key(directory: StateDir) -> None:
    directory.key.with_suffix(".new").write_bytes(b"half")
    directory.key.with_name(f".{directory.key.name}.1.00000000").write_bytes(b"half")
    key = load_key(directory)
    assert key == directory.key.read_bytes() == load_key(directory)
    assert len(key) == 32


def test_processes_that_begin_at_once_end_with_one_key(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state" / "aegis-provision"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _PRINT_KEY, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:  # all are waiting at the line: let them go
            assert child.stdin is not None
            child.stdin.close()
            child.stdin = None
        keys = {child.communicate(timeout=30)[0] for child in children}
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert keys == {f"{load_key(StateDir(directory)).hex()}\n"}
