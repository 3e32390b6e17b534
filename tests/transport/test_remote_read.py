"""What reading makes of a host: a value for any kind of file, and no exception over it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.aegis.remote_state import ReadProblem, RemoteDirectory, RemoteFile, RemoteUser
from aegis_provision.errors import Unreachable
from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.remote_read import LARGEST_CONFIG, StateQuery, read_login
from tests.fleet.sftp_wire import Trouble, wired
from tests.transport.targets import OLD, put, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aegis_provision.aegis.remote_state import RemoteState
    from aegis_provision.transport.filesystem import Filesystem

NOBODY = 65534


@pytest.fixture(params=["local", "sftp"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filesystem]:
    """Yield this machine's files, directly and through an SFTP server."""
    if request.param == "local":
        yield LocalFiles(tmp_path)
    else:
        with wired() as (sftp, _):
            yield sftp


def test_a_file_with_its_mode_and_owner(files: Filesystem, tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, OLD, 0o640)
    actual = read_state(files, path)
    assert actual.file == RemoteFile(OLD, 0o640, os.getuid(), os.getgid())
    assert actual.directory == RemoteDirectory(0o700, os.getuid(), os.getgid())
    assert (actual.path, actual.problem, actual.shadows) == (str(path), None, ())
    assert "old" not in repr(actual)


def test_no_file(files: Filesystem, tmp_path: Path) -> None:
    actual = read_state(files, tmp_path / "aegis.config.json")
    assert (actual.file, actual.problem) == (None, None)


def _link(path: Path) -> None:
    path.with_name("real").write_bytes(OLD)
    path.symlink_to("real")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _huge(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(50 * LARGEST_CONFIG)


@pytest.mark.parametrize(
    ("plant", "problem", "detail"),
    [
        (_link, ReadProblem.SYMLINK, "it leads to real"),
        (_dangling, ReadProblem.SYMLINK, "it leads to nowhere"),
        (_loop, ReadProblem.SYMLINK, "it leads to c.json"),
        (_directory, ReadProblem.NOT_A_FILE, ""),
        (_fifo, ReadProblem.NOT_A_FILE, ""),
        (_socket, ReadProblem.NOT_A_FILE, ""),
        (_huge, ReadProblem.TOO_LARGE, f"{50 * LARGEST_CONFIG} bytes"),
    ],
)
def test_what_is_no_file_to_read(
    files: Filesystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[Path], None],
    problem: ReadProblem,
    detail: str,
) -> None:
    path = tmp_path / "c.json"
    if plant is _socket:  # the names of sockets are short
        monkeypatch.chdir(tmp_path)
        plant(path.relative_to(tmp_path))
    else:
        plant(path)
    actual = read_state(files, path)
    assert (actual.file, actual.problem, actual.detail) == (None, problem, detail)


def test_a_device(files: Filesystem) -> None:
    actual = read_state(files, "/dev/null")
    assert actual.problem is ReadProblem.NOT_A_FILE


@pytest.mark.parametrize("name", ["nowhere/c.json", "file/c.json"])
def test_a_directory_that_is_none(files: Filesystem, tmp_path: Path, name: str) -> None:
    put(tmp_path / "file")
    assert read_state(files, tmp_path / name).problem is ReadProblem.NO_DIRECTORY


def test_a_directory_behind_a_link_is_one(files: Filesystem, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    put(tmp_path / "real" / "c.json")
    actual = read_state(files, tmp_path / "link" / "c.json")
    assert actual.file is not None
    assert actual.file.content == OLD


@pytest.mark.parametrize("shadow", ["config.yaml", "config.yml"])
@pytest.mark.parametrize("dangling", [True, False])
def test_files_that_aegis_reads_instead(
    files: Filesystem, tmp_path: Path, shadow: str, dangling: bool
) -> None:
    (tmp_path / ".aegis").mkdir()
    place = tmp_path / ".aegis" / shadow
    if dangling:
        place.symlink_to("nowhere")
    else:
        place.touch()
    assert read_state(files, tmp_path / "aegis.config.json").shadows == (str(place),)


@pytest.mark.parametrize("size", [32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, LARGEST_CONFIG])
def test_content_of_any_size_is_whole(files: Filesystem, tmp_path: Path, size: int) -> None:
    path = tmp_path / "aegis.config.json"
    put(path, os.urandom(size))
    actual = read_state(files, path)
    assert actual.file is not None
    assert actual.file.content == path.read_bytes()


def test_a_path_that_is_too_long_is_told_so(files: Filesystem, tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / ("\u00e4" * 128) / "file", "a name in config_path has 256 bytes, and file"),
        (tmp_path / ("x" * 256), "a name in config_path has 256 bytes, and file systems take 255"),
        (Path("/" + "abcdefghi/" * 410 + "file"), "config_path has 4105 bytes, and systems take"),
    ):
        with pytest.raises(Unreachable) as caught:
            read_state(files, path)
        assert caught.value.reason.startswith(told)
        assert caught.value.hint == "correct config_path"


def test_a_relative_path_begins_at_the_login_directory(files: Filesystem, tmp_path: Path) -> None:
    home = "/" if not isinstance(files, LocalFiles) else str(tmp_path)  # where the server runs
    actual = read_state(files, "no-such-directory/c.json")
    assert actual.path == os.path.join(home, "no-such-directory/c.json")  # noqa: PTH118


def test_file_receipt_and_login_take_three_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    receipt = tmp_path / ".aegis-provision" / "receipt.json"
    receipt.parent.mkdir()
    receipt.write_bytes(b"{}")
    with wired() as (files, wire):
        login = read_login(files)
        begun = wire.round_trips
        found = StateQuery(files, str(path), "search", ask_login=True).get()
        assert wire.round_trips - begun == 3
    assert found.file is not None
    assert isinstance(found.receipt, RemoteFile)
    assert (found.file.content, found.receipt.content, found.login) == (OLD, b"{}", login)


def test_the_login_is_read_from_the_host(files: Filesystem) -> None:
    login = read_login(files)
    assert login is not None
    assert login.uid == os.getuid()
    assert login.gids == {os.getgid(), *os.getgroups()}


@pytest.mark.root
def test_another_login() -> None:
    with wired(user=NOBODY) as (files, _):
        assert read_login(files) == RemoteUser(NOBODY, frozenset({NOBODY}), NOBODY)


@pytest.mark.root
@pytest.mark.parametrize("which", ["file", "directory"])
def test_no_permission(public_path: Path, which: str) -> None:
    directory = public_path / "d"
    directory.mkdir(mode=0o700 if which == "directory" else 0o755)
    put(directory / "c.json")
    with wired(user=NOBODY) as (files, _):
        actual = read_state(files, directory / "c.json")
    assert actual.problem is ReadProblem.PERMISSION_DENIED


def test_a_file_put_in_place_while_it_is_read_is_one_file(tmp_path: Path) -> None:
    """Content and facts are of one file, or the plan would give one file's words to another."""
    path = tmp_path / "aegis.config.json"
    for number in range(1, 10):
        put(path, b"{}", 0o600)
        with wired(meanwhile={number: lambda: put(path, b'{"x": 1}', 0o640)}) as (files, _):
            actual = read_state(files, path)
        assert actual.file is not None
        assert (actual.file.content, actual.file.mode) in {(b"{}", 0o600), (b'{"x": 1}', 0o640)}


def test_a_file_that_goes_while_it_is_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    seen = set()
    for number in range(1, 10):
        put(path)
        with wired(meanwhile={number: path.unlink}) as (files, _):
            actual = read_state(files, path)
        assert actual.problem is None
        seen.add(actual.file is None)
    assert seen == {True, False}


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "aegis.config.json"
    found = set()
    for number in range(1, 10):
        put(path)
        with wired(meanwhile={number: lambda: _huge(path)}) as (files, _):
            actual = read_state(files, path)
        assert actual.file is None or len(actual.file.content) <= LARGEST_CONFIG
        found.add(actual.detail)
    assert f"more than {LARGEST_CONFIG} bytes" in found


@pytest.mark.parametrize("trouble", list(Trouble), ids=lambda trouble: trouble.name.lower())
def test_any_failed_request_is_an_unreachable_host_at_most(
    tmp_path: Path, trouble: Trouble
) -> None:
    path = tmp_path / "aegis.config.json"
    put(path)
    (tmp_path / "link.json").symlink_to("nowhere")
    message = b"\x1b]0;owned\x07\xff"
    for name in (path.name, "link.json"):
        for number in range(1, 9):
            with wired(at=number, trouble=trouble, words=message) as (files, _):
                found = read_state_or_error(files, tmp_path / name)
            if isinstance(found, Unreachable):
                assert (str(found) + found.hint).isprintable()
                assert "owned" not in str(found)
            else:
                assert found.file is None or found.file.content == OLD


def read_state_or_error(files: Filesystem, path: Path) -> RemoteState | Unreachable:
    try:
        return read_state(files, path)
    except Unreachable as problem:
        return problem
