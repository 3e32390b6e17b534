"""Writing where login and owner differ, and where the owner is not to be trusted.

These files are written by path: what the session has root do instead in such a directory is in
``test_host_session_root``.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import WriteRefused
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.local import LocalFiles
from tests.fleet.sftp_wire import wired
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    attempt,
    leftovers,
    mode_of,
    plan_write,
    put,
    read_state,
    write_now,
    write_under_lock,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

NOBODY, DAEMON, GROUP = 65534, 1, 33
SECRET = b'{"password": "of root alone"}'
MOST_REQUESTS = 60


def _config(home: Path, uid: int = NOBODY, gid: int = NOBODY, mode: int = 0o600) -> Path:
    path = home / "aegis.config.json"
    put(path, OLD, mode)
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


def _owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
@pytest.mark.parametrize(
    ("uid", "gid", "mode"), [(NOBODY, NOBODY, 0o600), (0, GROUP, 0o640), (DAEMON, GROUP, 0o440)]
)
def test_root_keeps_owner_group_and_mode(
    home: Path, uid: int, gid: int, mode: int, local: bool
) -> None:
    path = _config(home, uid, gid, mode)
    with wired() as (sftp, _):
        files = LocalFiles(home) if local else sftp
        write_under_lock(files, replace(plan_write(read_state(files, path)), receipt=b"{}"))
    assert (path.read_bytes(), _owner(path), mode_of(path)) == (NEW, (uid, gid), mode)
    receipt = home / DATA_DIR / "receipt.json"
    assert (_owner(receipt), mode_of(receipt)) == ((uid, gid), 0o600)
    previous = home / DATA_DIR / "previous"
    assert (previous.read_bytes(), _owner(previous)) == (OLD, (uid, gid))
    assert mode_of(previous) == mode & 0o600
    assert mode_of(home / DATA_DIR) == 0o700


@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_our_directory_keeps_its_owner(home: Path, local: bool) -> None:
    """It could only be by its path, at which there may be something else by then."""
    path = _config(home)
    with wired() as (sftp, _):
        write_now(LocalFiles(home) if local else sftp, path)
    assert _owner(path) == (NOBODY, NOBODY)
    assert (_owner(home / DATA_DIR), mode_of(home / DATA_DIR)) == ((0, 0), 0o700)
    with wired(user=NOBODY) as (files, _):
        result = attempt(files, plan_write(read_state(files, path), OLD))
    assert isinstance(result, WriteRefused)
    assert "which an earlier run made as another user" in result.reason
    assert path.read_bytes() == NEW


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (DAEMON, NOBODY), (NOBODY, GROUP)])
def test_an_owner_that_the_login_cannot_keep_is_refused(home: Path, uid: int, gid: int) -> None:
    path = _config(home, uid, gid, 0o644)
    with wired(user=NOBODY) as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert f"(uid {uid}, gid {gid})" in result.reason
    assert "become_user" in result.hint
    assert (path.read_bytes(), _owner(path)) == (OLD, (uid, gid))
    assert os.listdir(home) == [path.name]  # noqa: PTH208 - names are wanted


def test_a_directory_that_the_login_cannot_write_in_is_refused(home: Path) -> None:
    path = _config(home)
    os.chown(home, 0, 0)
    home.chmod(0o755)
    with wired(user=NOBODY) as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert "no permission to write in its directory" in result.reason
    assert os.listdir(home) == [path.name]  # noqa: PTH208 - names are wanted


@pytest.mark.parametrize(("uid", "shut"), [(0, False), (NOBODY, True)])
def test_the_mode_of_our_directory_is_changed_where_no_one_else_can_exchange_it(
    home: Path, uid: int, shut: bool
) -> None:
    path = _config(home)
    (home / DATA_DIR).mkdir(mode=0o755)
    os.chown(home / DATA_DIR, uid, uid)
    with wired(user=None if uid == 0 else uid) as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteResult if shut else WriteRefused)
    assert (mode_of(home / DATA_DIR), _owner(home / DATA_DIR)) == (
        0o700 if shut else 0o755,
        (uid, uid),
    )


def test_our_directory_must_not_be_a_third_ones(home: Path) -> None:
    path = _config(home)
    (home / DATA_DIR).mkdir(mode=0o700)
    os.chown(home / DATA_DIR, DAEMON, DAEMON)
    with wired() as (files, _):
        result = attempt(files, plan_write(read_state(files, path)))
    assert isinstance(result, WriteRefused)
    assert f"uid {DAEMON}" in result.reason
    assert leftovers(home) == set()


def test_an_owner_who_swaps_our_directory_for_a_link_is_given_nothing(
    home: Path, public_path: Path
) -> None:
    victim = public_path / "victim"
    victim.mkdir(mode=0o755)
    put(victim / "precious", SECRET)
    before = (_owner(victim), mode_of(victim))

    def swap() -> None:
        own = home / DATA_DIR
        if own.is_dir() and not own.is_symlink():
            own.rename(home / "aside")
        if not os.path.lexists(own):
            own.symlink_to(victim)

    for number in range(1, MOST_REQUESTS):
        path = _config(home)
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={number: swap}) as (files, wire):
            attempt(files, write)
        assert (_owner(victim), mode_of(victim)) == before, number
        assert _owner(victim / "precious") == (0, 0)
        assert (victim / "precious").read_bytes() == SECRET
        _clear(home)
        for name in ("lock", "staging", "previous", "previous.new"):
            (victim / name).unlink(missing_ok=True)
        if len(wire.requests) < number:
            return
    pytest.fail("a write takes more requests than this test is ready for")


def _clear(home: Path) -> None:
    subprocess.run(["find", str(home), "-mindepth", "1", "-delete"], check=True)


@pytest.mark.parametrize("back", [True, False], ids=["and swaps it back", "for good"])
def test_an_owner_who_swaps_the_file_for_a_link_learns_nothing(
    home: Path, public_path: Path, back: bool
) -> None:
    secret = public_path / "secret.json"
    put(secret, SECRET, 0o600)
    path = home / "aegis.config.json"

    def swap() -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(secret)

    def swap_back() -> None:
        _config(home)

    # The link is there for every stretch of requests that begins at one and ends at another.
    for begin in range(1, 14):
        for result in range(begin + 1, begin + 4):
            _config(home)
            steps = {begin: swap, result: swap_back} if back else {begin: swap}
            with wired(meanwhile=steps) as (files, _):
                actual = read_state(files, path)
                if actual.problem is None:
                    content = actual.file.content + b"\n" if actual.file else NEW
                    attempt(files, plan_write(actual, content))
            assert secret.read_bytes() == SECRET
            assert (_owner(secret), mode_of(secret)) == ((0, 0), 0o600)
            for found in home.rglob("*"):
                if found.is_file() and not found.is_symlink() and SECRET in found.read_bytes():
                    assert _owner(found)[0] == 0, (begin, result, found)
                    assert mode_of(found) & 0o077 == 0
            _clear(home)
