"""A directory that is ours for a while: private, and gone again with what Claude Code leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.temporary_directory import (
    TemporaryDirectory,
    make_temporary_directory,
    remove_temporary_directory,
)
from tests.fleet.sftp_wire import wired
from tests.transport.targets import mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.transport.filesystem import Filesystem

SOMEBODY = 54321


@pytest.fixture(params=["local", "sftp"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filesystem]:
    """Yield this machine's files, directly and through an SFTP server with a narrow umask."""
    before = os.umask(0o077)
    try:
        if request.param == "local":
            yield LocalFiles(tmp_path)
        else:
            with wired() as (sftp, _):
                yield sftp
    finally:
        os.umask(before)


@pytest.fixture
def made(files: Filesystem, tmp_path: Path) -> Path:
    """Return a directory of our own."""
    return Path(make_temporary_directory(files, str(tmp_path), os.getuid()).path)


@pytest.mark.parametrize(
    ("user", "is_theirs", "mode"),
    [(os.getuid(), True, 0o700), (0, True, 0o700), (SOMEBODY, False, 0o755), (None, False, 0o755)],
)
def test_who_does_not_have_it_may_come_in(
    files: Filesystem, tmp_path: Path, user: int | None, is_theirs: bool, mode: int
) -> None:
    made = make_temporary_directory(files, str(tmp_path), user)
    assert made == TemporaryDirectory(made.path, is_theirs)
    assert mode_of(Path(made.path)) == mode
    assert Path(made.path).stat().st_uid == os.getuid()
    assert Path(made.path).parent == tmp_path


def _nothing(_: Path) -> None:
    pass


def _settings(path: Path) -> None:
    (path / ".claude").mkdir()
    for name in ("settings.json", "settings.local.json"):
        (path / ".claude" / name).write_text("{}")


@pytest.mark.parametrize("leave", [_nothing, _settings])
def test_it_goes_with_what_claude_code_leaves(
    files: Filesystem, made: Path, leave: Callable[[Path], None]
) -> None:
    leave(made)
    assert remove_temporary_directory(files, str(made))
    assert list(made.parent.iterdir()) == []
    assert remove_temporary_directory(files, str(made))


def test_what_somebody_else_put_there_stays(files: Filesystem, made: Path) -> None:
    _settings(made)
    (made / "thesis.tex").write_text("years")
    assert not remove_temporary_directory(files, str(made))
    assert [item.name for item in made.iterdir()] == ["thesis.tex"]


def test_nothing_is_removed_through_a_link(files: Filesystem, made: Path, tmp_path: Path) -> None:
    _settings(tmp_path)
    theirs = tmp_path / ".claude"
    (made / ".claude").symlink_to(theirs)
    assert not remove_temporary_directory(files, str(made))
    assert len(list(theirs.iterdir())) == 2

    (made / ".claude").unlink()
    made.rmdir()
    made.symlink_to(tmp_path)
    assert not remove_temporary_directory(files, str(made))
    assert len(list(theirs.iterdir())) == 2


def test_where_none_can_be_made_an_error_says_why(files: Filesystem, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_temporary_directory(files, str(tmp_path / "nowhere"), None)
    (tmp_path / "file").touch()
    with pytest.raises((NotADirectoryError, FileNotFoundError)):
        make_temporary_directory(files, str(tmp_path / "file"), None)
