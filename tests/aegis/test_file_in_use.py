"""Which file Aegis reads, after our write and today; what 'auto' means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aegis_provision.aegis.file_in_use import (
    FoundFiles,
    NotChecked,
    Reading,
    ReadsNone,
    ReadsOther,
    ReadsTarget,
    SearchedFile,
    TargetFile,
    describe,
    files_by_path,
    path_in_use,
    reading_of,
)
from aegis_provision.aegis.find_server_output import Directory
from aegis_provision.aegis.identify_server import AegisServer, ServerUser
from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.aegis.search_order import search_paths

OPT = "/opt/aegis/aegis.config.json"
YAML = "/opt/aegis/.aegis/config.yaml"
MANUS = "/opt/aegis/manus.config.json"
HOME = "/home/aegis/.aegis/config.json"
VALID, INVALID = b'{"authToken": "x"}', b'{"port": "x"}'
USER = ServerUser(998, frozenset({997}))


def serving(
    config: str | None = None, home: str | None = "/home/aegis", user: ServerUser | None = USER
) -> AegisServer:
    return AegisServer("/opt/aegis", home, config, user, running=True)


def holding(
    server: AegisServer,
    files: dict[str, bytes | None],
    *,
    links: dict[str, str] | None = None,
    mode: int = 0o600,
    uid: int = 998,
) -> FoundFiles:
    """Return what the server finds; ``None`` is a file that can't be read."""
    paths = search_paths(server.directory, server.home, server.config)
    found = []
    for path in paths:
        if path is None:
            continue
        content = files.get(path)
        real = (links or {}).get(path, path)
        file = None if content is None else RemoteFile(content, mode, uid, 997)
        found.append(
            SearchedFile(path, real, file, readable=content is not None or path not in files)
        )
    return FoundFiles(server, files_by_path(found))


def target(
    path: str, *, exists: bool = True, uid: int = 998, gid: int = 997, mode: int = 0o600
) -> TargetFile:
    return TargetFile(path, uid, gid, mode, exists=exists)


def test_the_order_of_a_server() -> None:
    assert search_paths("/opt/aegis", "/home/aegis", "../x/c.json") == (
        "/opt/x/c.json",
        YAML,
        "/opt/aegis/.aegis/config.yml",
        OPT,
        "/home/aegis/.aegis/config.yaml",
        "/home/aegis/.aegis/config.yml",
        HOME,
        "/opt/aegis/manus.config.json",
        "/home/aegis/.manus/config.json",
    )


@pytest.mark.parametrize(
    ("home", "path"),
    [("", "/opt/aegis/.aegis/config.json"), ("rel", "/opt/aegis/rel/.aegis/config.json")],
)
def test_a_home_that_is_no_absolute_path_begins_at_the_directory(home: str, path: str) -> None:
    assert search_paths("/opt/aegis", home, None)[5] == path


@pytest.mark.parametrize(
    ("files", "path", "reading"),
    [
        ({OPT: VALID}, OPT, ReadsTarget()),
        ({OPT: VALID, HOME: VALID}, OPT, ReadsTarget()),
        ({OPT: INVALID, YAML: VALID}, OPT, ReadsOther(YAML, shadows=True)),
        ({OPT: INVALID, MANUS: VALID}, "/srv/x.json", ReadsOther(MANUS)),
        ({OPT: VALID}, "/srv/aegis.config.json", ReadsOther(OPT)),
        ({}, "/srv/aegis.config.json", ReadsNone()),
        ({OPT: VALID, HOME: VALID}, HOME, ReadsOther(OPT, shadows=True)),
    ],
)
def test_the_first_file_that_aegis_takes_is_read(
    files: dict[str, bytes | None],
    path: str,
    reading: ReadsTarget | ReadsOther | ReadsNone,
) -> None:
    assert reading_of(holding(serving(), files), target(path)) == reading


def test_a_target_counts_as_valid_once_it_is_written() -> None:
    assert reading_of(holding(serving(), {}), target(OPT, exists=False)) == ReadsTarget()
    found = holding(serving("/etc/a.json"), {OPT: VALID})
    assert reading_of(found, target("/etc/a.json", exists=False)) == ReadsOther(
        OPT, shadows=True, today_only=True
    )
    assert reading_of(found, target(OPT)) == ReadsTarget()


def test_a_new_target_before_a_file_that_is_read_today() -> None:
    found = holding(serving(), {HOME: VALID})
    reading = reading_of(found, target(OPT, exists=False))
    assert reading == ReadsOther(HOME, shadows=True, today_only=True)
    assert isinstance(reading, ReadsOther)
    words = describe(reading, found)
    assert words is not None
    message, hint = words
    assert message == f"Aegis reads {HOME} today, and would lose its settings to the new file"
    assert hint == (
        f"set config_path: auto, or config_path: {HOME}; "
        f"or carry its other settings over (authToken) and move {HOME} away"
    )


def test_real_paths_are_compared() -> None:
    found = holding(serving("link.json"), {}, links={"/opt/aegis/link.json": "/srv/real.json"})
    assert reading_of(found, target("/srv/real.json")) == ReadsTarget()


def test_a_home_that_is_unknown_matters_only_once_it_is_looked_into() -> None:
    found = holding(serving(home=None), {OPT: VALID})
    assert reading_of(found, target(OPT)) == ReadsTarget()
    assert isinstance(reading_of(found, target("/srv/x.json")), ReadsOther)
    nothing = holding(serving(home=None), {})
    assert isinstance(reading_of(nothing, target("/srv/x.json")), NotChecked)
    assert isinstance(path_in_use(nothing), NotChecked)


def test_a_file_that_we_may_not_read_leaves_it_unknown() -> None:
    found = holding(serving(), {YAML: None, OPT: VALID})
    assert reading_of(found, target(OPT)) == NotChecked(f"whether Aegis takes {YAML} is not known")


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        (b"authToken: x\n", ReadsOther(YAML, shadows=True)),
        (b"defaultSessionEnv: {PATH: x}\n", ReadsOther(YAML, shadows=True)),
        (b"authToken: 5\n", ReadsTarget()),
        (b"# nothing\n", ReadsTarget()),
        (b'{"authToken": "x", "authToken": "y"}', ReadsTarget()),
        (b"%YAML 1.1\n---\nauthToken: x\n",
         NotChecked(f"whether Aegis takes {YAML} is not known")),
    ],
)  # fmt: skip
def test_a_file_in_yaml_is_read_as_yaml(content: bytes, reading: Reading) -> None:
    found = holding(serving(), {YAML: content, OPT: VALID})
    assert reading_of(found, target(OPT)) == reading


@pytest.mark.parametrize(
    ("user", "owner", "mode", "reading"),
    [
        (USER, (998, 0), 0o600, ReadsTarget()),
        (USER, (0, 0), 0o600, ReadsNone(denied=True)),
        (USER, (0, 997), 0o640, ReadsTarget()),
        (USER, (0, 997), 0o600, ReadsNone(denied=True)),
        (USER, (0, 5), 0o644, ReadsTarget()),
        (USER, (0, 5), 0o640, NotChecked(f"whether Aegis takes {OPT} is not known")),
        (ServerUser(0, frozenset({0})), (5, 5), 0o600, ReadsTarget()),
        (None, (0, 0), 0o600, ReadsTarget()),
    ],
)
def test_aegis_must_be_allowed_to_read_it(
    user: ServerUser | None,
    owner: tuple[int, int],
    mode: int,
    reading: ReadsTarget | ReadsNone | NotChecked,
) -> None:
    found = holding(serving(user=user), {})
    assert reading_of(found, target(OPT, uid=owner[0], gid=owner[1], mode=mode)) == reading


@pytest.mark.parametrize(
    ("path", "directory", "reading"),
    [
        ("/opt", Directory(0, 0, 0o700), ReadsNone(denied=True)),
        ("/opt/aegis", Directory(998, 0, 0o600), ReadsNone(denied=True)),
        ("/opt/aegis", Directory(0, 997, 0o710), ReadsTarget()),
        ("/opt/aegis", Directory(0, 5, 0o711), ReadsTarget()),
        ("/", Directory(0, 5, 0o750), NotChecked(f"whether Aegis takes {OPT} is not known")),
        ("/elsewhere", Directory(0, 0, 0o700), ReadsTarget()),
    ],
)
def test_aegis_must_get_through_the_directories(
    path: str, directory: Directory, reading: Reading
) -> None:
    server = replace(serving(), directories={path: directory}, target=OPT)
    found = holding(server, {})
    assert reading_of(found, target(OPT)) == reading
    if reading == ReadsNone(denied=True):
        words = describe(reading, found)
        assert words is not None
        assert "a directory on the way to it keeps out" in words[0]


def test_a_directory_that_a_link_leads_into_counts_too() -> None:
    server = replace(serving(), directories={"/data": Directory(0, 0, 0o700)})
    found = holding(server, {}, links={OPT: "/data/aegis.config.json"})
    assert reading_of(found, target("/data/aegis.config.json")) == ReadsNone(denied=True)


def test_what_comes_after_a_file_that_aegis_may_not_read_does_not_matter() -> None:
    found = holding(serving(), {HOME: None})
    assert reading_of(found, target(OPT, uid=0)) == ReadsNone(denied=True)
    found = holding(serving(), {HOME: VALID})
    reading = reading_of(found, target(OPT, uid=0))
    assert reading == ReadsOther(HOME, denied=True)
    words = describe(reading, found)
    assert words is not None
    assert words[0].endswith(f"keep out, and reads {HOME} instead")


def test_a_file_that_aegis_may_not_read_is_passed_over() -> None:
    found = holding(serving(), {YAML: VALID, OPT: VALID}, uid=0, mode=0o600)
    assert reading_of(found, target(OPT)) == ReadsTarget()


@pytest.mark.parametrize(
    ("config", "files", "path"),
    [
        (None, {OPT: VALID, HOME: VALID}, OPT),
        (None, {OPT: INVALID, HOME: VALID}, HOME),
        (None, {HOME: INVALID}, HOME),
        (None, {}, OPT),
        ("my.json", {}, "/opt/aegis/my.json"),
        ("my.json", {OPT: VALID}, OPT),
        ("my.json", {"/opt/aegis/my.json": VALID, YAML: VALID}, "/opt/aegis/my.json"),
    ],
)
def test_what_auto_means(config: str | None, files: dict[str, bytes | None], path: str) -> None:
    assert path_in_use(holding(serving(config), files)) == path


def test_the_words_name_the_file_and_the_remedy() -> None:
    reading = ReadsOther(YAML)
    assert describe(reading, holding(serving(), {})) == (
        f"Aegis reads {YAML} instead of it",
        f"set config_path: auto, or config_path: {YAML}",
    )
    words = describe(ReadsNone(), holding(serving("/none.json"), {}))
    assert words is not None
    message, hint = words
    assert message == (
        "Aegis does not look for a file there: it runs in /opt/aegis "
        "(it is started with --config /none.json)"
    )
    assert hint == "set config_path: auto"
    words = describe(ReadsNone(denied=True), holding(serving(), {}))
    assert words is not None
    message, hint = words
    assert "uid 998" in message
    assert "become_user" in hint
