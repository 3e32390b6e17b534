from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.errors import InputError
from aegis_provision.files.private_directory import (
    PREFIX,
    make_private_directory,
    remove_abandoned,
    runtime_directories,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SOMEBODY = 12345


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_modes_are_the_same_under_any_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        directory = make_private_directory([tmp_path])
        file = directory.write("x.json", b"secret")
    assert (mode(directory.path), mode(file), file.read_bytes()) == (0o700, 0o600, b"secret")
    directory.remove()
    assert not list(tmp_path.iterdir())


def test_what_the_command_put_there_goes_too(tmp_path: Path) -> None:
    directory = make_private_directory([tmp_path])
    (directory.path / "more").mkdir()
    (directory.path / "more" / "x").touch()
    directory.remove()
    assert not list(tmp_path.iterdir())


def test_a_directory_that_went_with_its_place_is_gone(tmp_path: Path) -> None:
    directory = make_private_directory([tmp_path])
    directory.path.rmdir()
    directory.remove()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(directory.descriptor)


def test_only_what_nobody_holds_is_abandoned(tmp_path: Path) -> None:
    held = make_private_directory([tmp_path])
    lost = make_private_directory([tmp_path])
    lost.write("x", b"secret")
    os.close(lost.descriptor)  # as the system does where a process is killed
    (tmp_path / "other").mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    remove_abandoned([tmp_path / "nowhere", tmp_path])
    assert {path.name for path in tmp_path.iterdir()} == {
        "elsewhere",
        held.path.name,
        "other",
        f"{PREFIX}file",
        f"{PREFIX}link",
    }
    assert (elsewhere / "kept").exists()
    held.remove()


@pytest.mark.root
def test_another_users_directory_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / f"{PREFIX}1"
    theirs.mkdir()
    os.chown(theirs, SOMEBODY, SOMEBODY)
    remove_abandoned([tmp_path])
    assert theirs.exists()


def test_one_that_is_taken_away_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    made: list[Path] = []

    def taken_once(descriptor: int, operation: int) -> None:
        if not made:
            made.extend(tmp_path.iterdir())
            remove_abandoned([tmp_path])
        lock(descriptor, operation)

    monkeypatch.setattr("aegis_provision.files.private_directory.fcntl.flock", taken_once)
    directory = make_private_directory([tmp_path])
    assert made
    assert directory.path not in made
    assert list(tmp_path.iterdir()) == [directory.path]
    directory.remove()


def test_the_first_place_that_will_do_is_taken(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("none", "file", "open", "good", "later")]
    places[1].touch()
    for place, bits in zip(places[2:], (0o777, 0o755, 0o700), strict=True):
        place.mkdir()
        place.chmod(bits)
    directory = make_private_directory(places)
    assert directory.path.parent == places[3]
    directory.remove()
    with pytest.raises(InputError, match="no place for a file that only you may read") as caught:
        make_private_directory(places[:3])
    assert caught.value.reasons == (
        f"{places[0]}: No such file or directory",
        f"{places[1]}: it is not a directory",
        f"{places[2]}: others can replace what is in it (mode 0777)",
    )
    places[2].chmod(0o1777)
    directory = make_private_directory(places[:3])
    assert directory.path.parent == places[2]
    directory.remove()


@pytest.mark.root
def test_another_users_runtime_directory_is_passed_over(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for place in (theirs, ours):
        place.mkdir(mode=0o700)
    os.chown(theirs, SOMEBODY, SOMEBODY)
    directory = make_private_directory([theirs, ours])
    assert directory.path.parent == ours
    directory.remove()


def test_places_are_absolute_and_the_runtime_directory_comes_first() -> None:
    named = {"XDG_RUNTIME_DIR": "/run/x", "TMPDIR": "/var/tmp"}
    texts = [str(path) for path in runtime_directories(named, 7)]
    assert texts == ["/run/x", "/run/user/7", "/var/tmp", "/tmp"]
    relative = {"XDG_RUNTIME_DIR": "x", "TMPDIR": "."}
    assert runtime_directories(relative, 7) == (Path("/run/user/7"), Path("/tmp"))
