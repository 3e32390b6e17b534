"""Where a session may work: the first directory that Aegis allows, as Aegis resolves it."""

from __future__ import annotations

import json

import pytest

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.aegis.work_directories import directory_mode, first_allowed, session_parents

PATH = "/opt/aegis/aegis.config.json"


def _file(content: object, mode: int = 0o600) -> RemoteFile:
    return RemoteFile(json.dumps(content).encode(), mode, 0, 0)


@pytest.mark.parametrize(
    ("allowed", "first"),
    [
        (["/srv/work", "/srv/other"], "/srv/work"),
        (["work"], "work"),
        ([""], ""),
        ([], None),
        (None, None),
        ("/srv/work", None),
        ([5], None),
        (["/srv/\0"], None),
    ],
)
def test_the_first_allowed_one_is_taken(allowed: object, first: str | None) -> None:
    assert first_allowed(PATH, _file({"allowedWorkDirs": allowed})) == first


def test_a_file_in_yaml_counts_as_well() -> None:
    file = RemoteFile(b"allowedWorkDirs:\n  - /srv/work\n", 0o600, 0, 0)
    assert first_allowed("/opt/aegis/.aegis/config.yaml", file) == "/srv/work"


@pytest.mark.parametrize(
    "file", [None, _file([]), _file({}), RemoteFile(b"{", 0o600, 0, 0)], ids=repr
)
def test_where_nothing_is_said_there_is_no_first(file: RemoteFile | None) -> None:
    assert first_allowed(PATH, file) is None


@pytest.mark.parametrize(
    ("first", "working_directory", "parents"),
    [
        (None, None, ("/tmp",)),
        (None, "/opt/aegis", ("/tmp",)),
        ("/srv/work", None, ("/srv/work", "/tmp")),
        ("/srv/./x/../work/", "/opt/aegis", ("/srv/work", "/tmp")),
        ("//srv/work", None, ("/srv/work", "/tmp")),
        ("/tmp/", None, ("/tmp",)),
        ("work", "/opt/aegis", ("/opt/aegis/work", "/tmp")),
        ("", "/opt/aegis", ("/opt/aegis", "/tmp")),
        ("~/work", "/opt/aegis", ("/opt/aegis/~/work", "/tmp")),
        ("work", None, ("/tmp",)),
    ],
)
def test_a_path_is_resolved_as_aegis_does(
    first: str | None, working_directory: str | None, parents: tuple[str, ...]
) -> None:
    assert session_parents(first, working_directory) == parents


@pytest.mark.parametrize(
    ("mode", "wanted"), [(0o600, 0o700), (0o400, 0o700), (0o640, 0o755), (0o604, 0o755)]
)
def test_who_may_read_the_file_may_come_in(mode: int, wanted: int) -> None:
    assert directory_mode(_file({}, mode)) == wanted


def test_of_a_file_that_was_not_seen_nothing_is_known() -> None:
    assert directory_mode(None) == 0o755
