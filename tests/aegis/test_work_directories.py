"""Where a session may work: the first directory that Aegis allows, as Aegis resolves it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aegis_provision.aegis.identify_server import AegisServer, ServerUser
from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.aegis.work_directories import first_allowed, session_parents, session_user

PATH = "/opt/aegis/aegis.config.json"


def _file(content: object, mode: int = 0o600) -> RemoteFile:
    return RemoteFile(json.dumps(content).encode(), mode, 7, 7)


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


SERVER = AegisServer("/opt/aegis", None, None, ServerUser(33, frozenset({33})), running=True)


@pytest.mark.parametrize(
    ("file", "server", "uid"),
    [
        (_file({}, 0o600), None, 7),
        (_file({}, 0o400), None, 7),
        (_file({}, 0o640), None, None),
        (_file({}, 0o604), None, None),
        (None, None, None),
        (_file({}, 0o600), replace(SERVER, user=None), 7),
        (_file({}, 0o640), SERVER, 33),
        (None, SERVER, 33),
    ],
)
def test_sessions_run_as_who_runs_aegis_or_alone_may_read_its_file(
    file: RemoteFile | None, server: AegisServer | None, uid: int | None
) -> None:
    assert session_user(file, server) == uid
