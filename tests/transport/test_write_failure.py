"""Faults of a host's disk in the middle of a write: the old file stays, and the cause is named."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import TransportError, WriteFailed, WriteRefused
from aegis_provision.transport.atomic_write import WriteResult
from aegis_provision.transport.connect_options import ConnectOptions
from aegis_provision.transport.data_dir import DataDir
from aegis_provision.transport.file_attributes import parse_attributes
from aegis_provision.transport.local import LocalFiles, connect_local
from aegis_provision.transport.remote_read import read_previous
from aegis_provision.transport.write_failure import why_not_written
from tests.fleet.sftp_wire import Trouble, wired
from tests.transport.targets import (
    DATA_DIR,
    NEW,
    OLD,
    OWNER,
    age_lock,
    attempt,
    deadline,
    leftovers,
    plan_write,
    put,
    read_state,
    target,
    write_now,
    write_over,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = b" " * 6000
READ_ONLY = "its file system is mounted read-only"


def _run(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True)


@contextmanager
def _disk(directory: Path, options: str) -> Iterator[Path]:
    """Mount a small disk, and give out the path of a file on it."""
    directory.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", directory)
    try:
        path = directory / "aegis.config.json"
        put(path)
        yield path
    finally:
        _run("umount", directory)


@contextmanager
def _attribute(letter: str, path: Path) -> Iterator[None]:
    _run("chattr", f"+{letter}", path)
    try:
        yield
    finally:
        _run("chattr", f"-{letter}", path)


@pytest.mark.root
@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_a_disk_without_room_is_named_and_nothing_is_left(tmp_path: Path, local: bool) -> None:
    """There is room for the file alone, then for the lock, then for half of the new one."""
    cases = {
        **{f"size={pages * 4}k": f"({(pages == 2) * 0} bytes free)" for pages in (1, 2, 3)},
        **{f"size=1m,nr_inodes={most}": "(0 more files can be made)" for most in (2, 3, 4, 5)},
    }
    for options, words in cases.items():
        with _disk(tmp_path / "disk", options) as path:
            with wired() as (sftp, _):
                files = LocalFiles(path.parent) if local else sftp
                result = attempt(files, plan_write(read_state(files, path), LARGE))
            assert isinstance(result, WriteRefused | WriteFailed), options
            assert f"no space left for a write there {words}" in result.reason, options
            assert result.hint.startswith(("make room", "remove files")), options
            assert path.read_bytes() == OLD
            assert [item.name for item in path.parent.iterdir()] == [path.name], options
            _run("mount", "-o", "remount,size=1m,nr_inodes=100", path.parent)
            assert write_now(LocalFiles(path.parent), path).path == str(path)


@pytest.mark.root
@pytest.mark.parametrize("local", [True, False], ids=["local", "sftp"])
def test_a_read_only_file_system_is_named(tmp_path: Path, local: bool) -> None:
    with _disk(tmp_path / "disk", "size=1m") as path:
        for step in ("prepare", "lock"):  # our directory is there the second time
            _run("mount", "-o", "remount,ro", path.parent)
            with wired() as (sftp, _):
                files = LocalFiles(path.parent) if local else sftp
                result = attempt(files, plan_write(read_state(files, path), LARGE))
            assert isinstance(result, WriteRefused)
            assert (result.step, result.reason) == (step, READ_ONLY)
            _run("mount", "-o", "remount,rw", path.parent)
            with wired() as (files, _):
                write_now(files, path, b"{}\n")
            put(path)


@pytest.mark.root
def test_attributes_are_named_and_nothing_is_left(tmp_path: Path) -> None:
    """A file that is immutable, or open to appending alone; then a directory."""
    path = tmp_path / "aegis.config.json"
    put(path)
    options = ConnectOptions(15.0, None, (), False, None, tmp_path, "anna")
    with connect_local(target(path), options, deadline()) as session:
        write = plan_write(session.read(deadline()), NEW)
        for letter, words in {"i": "immutable", "a": "open to appending alone"}.items():
            for place, step in {path: "rename", tmp_path: "prepare"}.items():
                with _attribute(letter, place):
                    with pytest.raises(TransportError) as caught:
                        write_over(session, write, deadline())
                    assert f"{place} is {words} (lsattr: {letter})" in str(caught.value)
                    assert f"chattr -{letter} {place}" in caught.value.hint
                    assert caught.value.step == (step if letter == "i" else "rename")
                    assert path.read_bytes() == OLD
                    assert leftovers(tmp_path) == set()
        assert write_over(session, write, deadline()).path == str(path)
        put(path)
        # What a write kept before is no leftover, and our directory may be shut as well.
        with _attribute("i", tmp_path / DATA_DIR), pytest.raises(WriteRefused) as refused:
            session.lock(write, OWNER, deadline())
        assert f"{tmp_path / DATA_DIR} is immutable" in refused.value.reason
        assert leftovers(tmp_path) == {"previous"}


@pytest.mark.parametrize("old", [OLD, None], ids=["replaced", "new"])
@pytest.mark.parametrize("kept", [b"from before", None], ids=["kept before", "nothing kept"])
def test_the_file_that_is_kept_is_the_one_from_before_after_any_failure(
    tmp_path: Path, old: bytes | None, kept: bytes | None
) -> None:
    """An earlier run is undone with it, once the fault is gone."""
    path, previous = tmp_path / "aegis.config.json", tmp_path / DATA_DIR / "previous"
    failed, lost = 0, list[int]()
    for at in range(1, 40):
        path.unlink(missing_ok=True)
        if old is not None:
            put(path, old)
        if kept is not None:
            previous.parent.mkdir(mode=0o700, exist_ok=True)
            previous.write_bytes(kept)
        write = plan_write(read_state(LocalFiles(tmp_path), path))
        with wired(at=at, trouble=Trouble.FAILS) as (files, _):
            result = attempt(files, write)
        now = previous.read_bytes() if previous.exists() else None
        if path.exists() and path.read_bytes() == NEW:
            assert now == old, at
            previous.unlink(missing_ok=True)
            previous.with_name("previous.old").unlink(missing_ok=True)  # its removal may fail
        else:
            assert isinstance(result, TransportError), at
            lost += [] if now == kept else [at]
            failed += 1
        assert leftovers(tmp_path) <= {"previous", "receipt.json", "lock"}, at
        (tmp_path / DATA_DIR / "lock").unlink(missing_ok=True)
    assert failed >= 10
    # The one that puts it aside may fail alone, where both are asked for at one go.
    assert len(lost) <= 1, lost


@pytest.mark.parametrize("old", [OLD, None], ids=["replaced", "new"])
@pytest.mark.parametrize("trouble", [Trouble.NEVER_ARRIVES, Trouble.NEVER_ANSWERED])
def test_the_file_that_is_kept_is_the_one_from_before_when_the_connection_goes_at_any_moment(
    tmp_path: Path, old: bytes | None, trouble: Trouble
) -> None:
    """An earlier run can be undone at once, and after a further run that writes nothing."""
    path, own = tmp_path / "aegis.config.json", tmp_path / DATA_DIR
    own.mkdir(mode=0o700)
    files, states = LocalFiles(tmp_path), set[tuple[bool, bool]]()
    for at in range(1, 60):
        path.unlink(missing_ok=True)
        for name in leftovers(tmp_path):
            (own / name).unlink()
        if old is not None:
            put(path, old)
        put(own / "previous", b"from before")
        write = plan_write(read_state(files, path))
        with wired(at=at, trouble=trouble) as (remote, _):
            result = attempt(remote, write)
        replaced = path.exists() and path.read_bytes() == NEW
        states.add(((own / "previous.old").exists(), replaced))
        assert read_previous(files, str(path)) == (old if replaced else b"from before"), at
        age_lock(tmp_path)
        put(path, LARGE)
        assert isinstance(attempt(files, write), WriteRefused)
        assert read_previous(files, str(path)) == (old if replaced else b"from before"), at
        assert leftovers(tmp_path) <= {"previous", "previous.old"}
        if isinstance(result, WriteResult) and not result.warnings:
            break
    assert {(True, False), (False, True)} <= states


@pytest.mark.parametrize("beside", ["nothing", "previous.new"])
def test_what_an_earlier_write_left_aside_after_its_rename_does_not_come_back(
    tmp_path: Path, beside: str
) -> None:
    path, own = tmp_path / "aegis.config.json", tmp_path / DATA_DIR
    put(path)
    files = LocalFiles(tmp_path)
    own.mkdir(mode=0o700)
    put(own / "previous", b"from before")
    put(own / "previous.old", b"from long before")
    if beside != "nothing":
        put(own / beside, b"left")
    write = plan_write(read_state(files, path))
    put(path, LARGE)
    assert isinstance(attempt(files, write), WriteRefused)
    assert read_previous(files, str(path)) == b"from before"
    assert leftovers(tmp_path) == {"previous"}


@pytest.mark.parametrize("become", ["gone", "another one", "a link"])
def test_a_directory_that_goes_at_any_moment_is_named(tmp_path: Path, become: str) -> None:
    """The file goes with it, as it was; what comes in its place gets nothing of ours."""
    home, away, other = tmp_path / "home", tmp_path / "away", tmp_path / "other"
    home.mkdir()
    other.mkdir()

    def swap() -> None:
        home.rename(away)
        if become == "another one":
            home.mkdir()
        elif become == "a link":
            home.symlink_to(other)

    def swap_back() -> None:
        if home.is_symlink():
            home.unlink()
        elif home.is_dir():
            home.rmdir()
        away.rename(home)

    path = home / "aegis.config.json"
    named = 0
    for at in (2, 5, 9, 15, 17):
        put(path)
        with wired() as (files, _):
            write = plan_write(read_state(files, path))
        with wired(meanwhile={at: swap}) as (files, _):
            result = attempt(files, write)
        assert isinstance(result, WriteRefused | WriteFailed), at
        assert "the lock was broken" not in result.reason, at
        named += f"the directory {home}" in result.reason and result.reason.endswith(
            ("is gone", "is gone; the file there is untouched")
        )
        assert (away / path.name).read_bytes() == OLD, at
        assert not any(other.iterdir())
        swap_back()
        for left in leftovers(home):  # it went with its directory, and can't be reached any more
            (home / DATA_DIR / left).unlink()
    assert named >= 3


@pytest.mark.parametrize(
    ("problem", "reason", "hint"),
    [
        (OSError("failure"), "the host says no more than 'failure'", "disk quota"),
        (OSError(errno.EDQUOT, "x"), os.strerror(errno.EDQUOT).lower(), "quota -s"),
        (OSError(errno.EIO, "x"), os.strerror(errno.EIO).lower(), "dmesg"),
        (OSError(errno.EROFS, "x"), READ_ONLY, "dmesg"),
        (PermissionError(errno.EPERM, "x"), "no permission", ""),
    ],
)
def test_where_there_is_room_the_answer_itself_is_told(
    tmp_path: Path, problem: OSError, reason: str, hint: str
) -> None:
    directory = DataDir(LocalFiles(tmp_path), str(tmp_path / DATA_DIR), made=False)
    found = why_not_written(directory, problem)
    assert found.reason == reason
    assert hint in found.hint
    assert bool(found.hint) == bool(hint)


def test_what_lsattr_says_is_read_of_the_paths_that_were_asked_for_alone() -> None:
    output = (
        b"motd: welcome\n"
        b"----i---------e------- /a b/file\r\n"
        b"----i---------e------- /a b/file\n"
        b"-------------------- /a b\n"
        b"-----a-------- /elsewhere\n"
    )
    assert parse_attributes(output, ["/a b", "/a b/file", "/gone"]) == {"/a b/file": "ie"}
    assert parse_attributes(b"lsattr: not found\n", ["/a b"]) == {}
