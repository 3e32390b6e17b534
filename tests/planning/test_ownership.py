"""Whose the file will be, and when the plan can already say that the login can't do it."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.remote_state import RemoteDirectory, RemoteFile, RemoteState, RemoteUser
from aegis_provision.planning.ownership import (
    Ownership,
    attainable_ownership,
    desired_ownership,
    permission_problem,
)

DIRECTORY = RemoteDirectory(mode=0o755, uid=1000, gid=1000)


@given(mode=st.integers(0, 0o7777), uid=st.integers(0, 70000), gid=st.integers(0, 70000))
def test_a_file_keeps_its_owner_and_is_never_looser(mode: int, uid: int, gid: int) -> None:
    desired = desired_ownership(RemoteFile(b"", mode, uid, gid), DIRECTORY)
    assert (desired.uid, desired.gid) == (uid, gid)
    assert desired.mode & ~mode == 0, "no bit is added"
    assert desired.mode & (stat.S_IRWXO | stat.S_IWGRP) == 0
    assert desired_ownership(RemoteFile(b"", desired.mode, uid, gid), DIRECTORY) == desired


def test_a_new_file_is_its_directorys_owners_and_private() -> None:
    assert desired_ownership(None, DIRECTORY) == Ownership(0o600, 1000, 1000)


def _problem(
    login: RemoteUser | None, directory: RemoteDirectory, desired: Ownership
) -> str | None:
    return permission_problem(RemoteState("/x", directory=directory, login=login), desired)


OWNER = RemoteUser(1000, frozenset({1000}))
OTHER = RemoteUser(1001, frozenset({1001}))
MINE = Ownership(0o600, 1000, 1000)


@pytest.mark.parametrize(
    ("login", "directory", "desired", "says"),
    [
        (OWNER, DIRECTORY, MINE, None),
        (None, DIRECTORY, MINE, None),
        (RemoteUser(0, frozenset()), RemoteDirectory(0o500, 5, 5), MINE, None),
        (OWNER, RemoteDirectory(0o555, 1000, 1000), MINE, "no permission to write"),
        (OTHER, DIRECTORY, MINE, "no permission to write"),
        (OTHER, RemoteDirectory(0o775, 1000, 1001), MINE, "can't keep its owner (uid 1000)"),
        (OWNER, DIRECTORY, Ownership(0o640, 1000, 33), "not in its group (gid 33)"),
    ],
)
def test_permission_problems(
    login: RemoteUser | None, directory: RemoteDirectory, desired: Ownership, says: str | None
) -> None:
    found = _problem(login, directory, desired)
    assert found is None if says is None else says in (found or "")


def test_group_bits_may_be_an_access_lists_mask_so_only_trying_can_tell() -> None:
    maybe = _problem(OTHER, RemoteDirectory(0o770, 1000, 1000), Ownership(0o600, 1001, 1001))
    assert maybe is None


@pytest.mark.parametrize(
    ("desired", "becomes"),
    [
        (Ownership(0o600, 1000, 1000), Ownership(0o600, 1000, 1000)),
        (Ownership(0o600, 1000, 7), Ownership(0o600, 1000, 7)),
        (Ownership(0o640, 1000, 7), Ownership(0o640, 1000, 7)),
        (Ownership(0o600, 1000, 33), Ownership(0o600, 1000, 1000)),
        (Ownership(0o640, 1000, 33), Ownership(0o640, 1000, 33)),
        (Ownership(0o610, 1000, 33), Ownership(0o610, 1000, 33)),
        (Ownership(0o600, 1000, 0), Ownership(0o600, 1000, 1000)),
        (Ownership(0o640, 1000, 0), Ownership(0o600, 1000, 1000)),
        (Ownership(0o600, 5, 0), Ownership(0o600, 5, 1000)),
    ],
)
def test_a_group_that_can_not_be_kept_is_the_logins_where_no_one_loses_by_it(
    desired: Ownership, becomes: Ownership
) -> None:
    login = RemoteUser(1000, frozenset({1000, 7}), 1000)
    assert attainable_ownership(desired, login) == becomes
    assert attainable_ownership(becomes, login) == becomes


@pytest.mark.parametrize(
    "login", [None, RemoteUser(1000, frozenset({1000})), RemoteUser(0, frozenset({5}), 5)]
)
def test_a_login_that_is_not_known_or_keeps_any_group_changes_nothing(
    login: RemoteUser | None,
) -> None:
    desired = Ownership(0o600, 1000, 0)
    assert attainable_ownership(desired, login) == desired
