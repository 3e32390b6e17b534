"""Who can change where a path leads: directories, links and missing parts of the path."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.transport.local import LocalFiles
from aegis_provision.transport.path_owners import OwnersQuery, PathOwners
from tests.fleet.sftp_wire import wired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_provision.transport.filesystem import Filesystem

pytestmark = pytest.mark.root

ANNA, BERT, GROUP = 65534, 1, 33


@contextmanager
def files_of(kind: str) -> Iterator[Filesystem]:
    if kind == "local":
        yield LocalFiles(Path("/"))
        return
    with wired() as (files, _):
        yield files


def owners(directory: Path | str, kind: str = "local") -> PathOwners:
    with files_of(kind) as files:
        return OwnersQuery(files, str(directory)).get()


def make(path: Path, uid: int = 0, gid: int = 0, mode: int = 0o755) -> Path:
    path.mkdir()
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


def link(path: Path, target: Path | str, uid: int = 0) -> Path:
    path.symlink_to(target)
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


@pytest.mark.parametrize("kind", ["local", "sftp"])
@pytest.mark.parametrize(
    ("uid", "gid", "mode", "uids", "is_open"),
    [
        (0, 0, 0o755, set(), False),
        (0, GROUP, 0o755, set(), False),
        (0, 0, 0o775, set(), False),
        (0, GROUP, 0o775, set(), True),
        (0, 0, 0o757, set(), True),
        (0, 0, 0o1777, set(), True),
        (0, GROUP, 0o1770, set(), True),
        (ANNA, GROUP, 0o700, {ANNA}, False),
        (ANNA, GROUP, 0o777, {ANNA}, False),
        (ANNA, 0, 0o1777, {ANNA}, False),
    ],
)
def test_the_directory_itself(
    public_path: Path, uid: int, gid: int, mode: int, uids: set[int], is_open: bool, kind: str
) -> None:
    directory = make(public_path / "a", uid, gid, mode)
    found = owners(directory, kind)
    assert found == PathOwners(frozenset(uids), str(directory) if is_open else None, gid)
    assert found.only_root == (not uids and not is_open)
    assert found.only_user == (ANNA if uids else None)


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "child", "uids", "is_open"),
    [
        (0, 0, 0o755, 0, set(), False),
        (0, 0, 0o755, BERT, {BERT}, False),
        (0, GROUP, 0o775, 0, set(), True),
        (0, GROUP, 0o1775, 0, set(), False),
        (0, 0, 0o777, 0, set(), True),
        (0, 0, 0o1777, 0, set(), False),
        (0, 0, 0o1777, BERT, {BERT}, False),
        (ANNA, 0, 0o755, 0, {ANNA}, False),
        (ANNA, 0, 0o755, ANNA, {ANNA}, False),
        (ANNA, 0, 0o755, BERT, {ANNA, BERT}, False),
    ],
)
def test_a_directory_on_the_way(
    public_path: Path, uid: int, gid: int, mode: int, child: int, uids: set[int], is_open: bool
) -> None:
    above = make(public_path / "a", uid, gid, mode)
    directory = make(above / "b", child, child)
    found = owners(make(directory / "c") if child == 0 else directory)
    assert found.uids == uids
    assert found.open_at == (str(above) if is_open else None)
    assert found.only_user == (next(iter(uids)) if len(uids) == 1 else None)


def test_all_are_asked_for_at_one_go(public_path: Path) -> None:
    directory = make(make(make(public_path / "a") / "b") / "c")
    with wired() as (files, wire):
        begun = wire.round_trips
        assert OwnersQuery(files, str(directory)).get().only_root
        assert wire.round_trips == begun + 1
        assert len(wire.requests) == len(directory.parts)


@pytest.mark.parametrize("kind", ["local", "sftp"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_leads_through_other_directories(
    public_path: Path, relative: bool, kind: str
) -> None:
    directory = make(make(public_path / "home", ANNA) / "app")
    link(public_path / "opt", "home/../home/./app/" if relative else directory)
    assert owners(public_path / "opt", kind) == PathOwners(frozenset({ANNA}))


def test_a_link_up_comes_back_to_where_it_was(public_path: Path) -> None:
    make(public_path / "a")
    link(public_path / "a" / "up", "../../../../../../../..")
    assert owners(public_path / "a" / "up") == PathOwners()


@pytest.mark.parametrize("uid", [0, ANNA])
def test_who_made_a_link_in_a_sticky_directory_can_exchange_it(public_path: Path, uid: int) -> None:
    directory = make(public_path / "there")
    sticky = make(public_path / "sticky", mode=0o1777)
    assert owners(link(sticky / "link", directory, uid)).uids == {uid} - {0}


def test_a_link_of_anothers_where_only_root_can_exchange_it_is_roots(public_path: Path) -> None:
    directory = make(public_path / "there")
    assert owners(link(public_path / "link", directory, ANNA)) == PathOwners()


def test_links_without_end(public_path: Path) -> None:
    link(public_path / "one", "two")
    link(public_path / "two", "one")
    found = owners(public_path / "one")
    assert not found.only_root
    assert found.open_at in {str(public_path / "one"), str(public_path / "two")}


def test_a_link_whose_target_is_unknown_is_not_trusted(public_path: Path) -> None:
    (public_path / "link").symlink_to(os.fsdecode(b"\xff"))
    assert owners(public_path / "link", "sftp").open_at == str(public_path / "link")


def test_as_many_links_as_linux_follows_are_followed(public_path: Path) -> None:
    make(public_path / "l0")
    for number in range(1, 42):
        link(public_path / f"l{number}", f"l{number - 1}")
    assert owners(public_path / "l40") == PathOwners()
    assert owners(public_path / "l41").open_at == str(public_path / "l1")


@pytest.mark.parametrize(
    ("uid", "mode", "expected"),
    [
        (0, 0o755, PathOwners()),
        (ANNA, 0o755, PathOwners(frozenset({ANNA}))),
        (0, 0o1777, PathOwners(frozenset(), "A")),
    ],
)
def test_what_is_not_there_yet_others_may_make(
    public_path: Path, uid: int, mode: int, expected: PathOwners
) -> None:
    above = make(public_path / "a", uid, mode=mode)
    found = owners(above / "b" / "c")
    assert (found.uids, found.open_at) == (expected.uids, expected.open_at and str(above))
    assert found.only_root is (expected == PathOwners())


def test_a_file_in_the_way_ends_it(public_path: Path) -> None:
    (public_path / "a").write_bytes(b"")
    assert owners(public_path / "a" / "b") == PathOwners()


def test_a_path_that_can_not_be_read_is_not_trusted(public_path: Path) -> None:
    make(public_path / "a", mode=0o700)
    with wired(user=ANNA) as (files, _):
        found = OwnersQuery(files, str(public_path / "a" / "b")).get()
    assert (found.only_root, found.open_at) == (False, str(public_path / "a" / "b"))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (PathOwners(frozenset({7})), "its directory, or one on the way to it, belongs to uid 7"),
        (
            PathOwners(frozenset({9, 7})),
            "its directory, or one on the way to it, belongs to uid 7 and uid 9",
        ),
        (
            PathOwners(frozenset({7}), "/srv"),
            "users other than root can change what lies in /srv",
        ),
    ],
)
def test_in_words(found: PathOwners, words: str) -> None:
    assert found.description == words
    assert found.only_user == (7 if len(found.uids) == 1 and found.open_at is None else None)
