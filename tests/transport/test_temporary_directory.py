"""A directory that is ours for a while: private, and gone again with what Claude Code leaves."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.temporary_directory import (
    make_temporary_directory,
    remove_temporary_directory,
)
from tests.fleet.sftp_wire import wired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aegis_provision.transport.filesystem import Filesystem


@pytest.fixture(params=["local", "sftp"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filesystem]:
    """Yield this machine's files, directly and through an SFTP server."""
    if request.param == "local":
        yield LocalFiles(tmp_path)
    else:
        with wired() as (sftp, _):
            yield sftp


@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_it_has_its_mode_whatever_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        for files in (LocalFiles(tmp_path), None):
            if files is not None:
                made = make_temporary_directory(files, str(tmp_path), mode)
            else:
                with wired() as (sftp, _):
                    made = make_temporary_directory(sftp, str(tmp_path), mode)
            assert stat.S_IMODE(os.lstat(made).st_mode) == mode
    finally:
        os.umask(before)
    assert len(list(tmp_path.iterdir())) == 2


def _nothing(_: Path) -> None:
    pass


def _settings(path: Path) -> None:
    (path / ".claude").mkdir()
    for name in ("settings.json", "settings.local.json"):
        (path / ".claude" / name).write_text("{}")


@pytest.mark.parametrize("leave", [_nothing, _settings])
def test_it_goes_with_what_claude_code_leaves(
    files: Filesystem, tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    path = make_temporary_directory(files, str(tmp_path), 0o700)
    leave(tmp_path / path)
    assert remove_temporary_directory(files, path)
    assert list(tmp_path.iterdir()) == []
    assert remove_temporary_directory(files, path)


def test_what_somebody_else_put_there_stays(files: Filesystem, tmp_path: Path) -> None:
    path = make_temporary_directory(files, str(tmp_path), 0o700)
    _settings(tmp_path / path)
    (tmp_path / path / "thesis.tex").write_text("years")
    assert not remove_temporary_directory(files, path)
    assert [item.name for item in (tmp_path / path).iterdir()] == ["thesis.tex"]


def test_nothing_is_removed_through_a_link(files: Filesystem, tmp_path: Path) -> None:
    _settings(tmp_path)
    theirs = tmp_path / ".claude"
    path = tmp_path / make_temporary_directory(files, str(tmp_path), 0o700)
    (path / ".claude").symlink_to(theirs)
    assert not remove_temporary_directory(files, str(path))
    assert len(list(theirs.iterdir())) == 2

    (path / ".claude").unlink()
    path.rmdir()
    path.symlink_to(tmp_path)
    assert not remove_temporary_directory(files, str(path))
    assert len(list(theirs.iterdir())) == 2


def test_where_root_may_be_tricked_only_the_directory_itself_is_touched(
    files: Filesystem, tmp_path: Path
) -> None:
    path = make_temporary_directory(files, str(tmp_path), 0o700, exchangeable=True)
    _settings(tmp_path / path)
    assert not remove_temporary_directory(files, path, exchangeable=True)
    assert len(list((tmp_path / path / ".claude").iterdir())) == 2
    # A server's umask takes the bits away that a chmod would have to give.
    with pytest.raises(PermissionError, match="umask"):
        make_temporary_directory(files, str(tmp_path), 0o777, exchangeable=True)
    assert [item for item in tmp_path.iterdir() if str(item) != path] == []


def test_where_none_can_be_made_an_error_says_why(files: Filesystem, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_temporary_directory(files, str(tmp_path / "nowhere"), 0o700)
    (tmp_path / "file").touch()
    with pytest.raises((NotADirectoryError, FileNotFoundError)):
        make_temporary_directory(files, str(tmp_path / "file"), 0o700)
