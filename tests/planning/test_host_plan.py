"""One host's plan: what it says, why it refuses, and that carrying it out leaves nothing to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.remote_state import (
    ReadProblem,
    RemoteDirectory,
    RemoteFile,
    RemoteState,
    RemoteUser,
)
from aegis_provision.planning.host_plan import (
    NO_RENAME,
    check_permissions,
    plan_host,
    refusals,
    refuse_restart,
    unreachable,
)
from aegis_provision.planning.plan import (
    Action,
    Change,
    ChangeKind,
    HostPlan,
    Write,
    resulting_file,
)
from aegis_provision.providers.session_variables import resolve_env
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Host
    from aegis_provision.providers.session_variables import Session

TOKEN = "canary-4d1f0a"
PATH = "/opt/aegis/aegis.config.json"
DIRECTORY = RemoteDirectory(0o755, 1000, 1000)
INVENTORY = """
all:
  vars: {provider: glm, model: "glm-4.6", config_path: /opt/aegis/aegis.config.json}
  hosts:
    plain:
    pinned: {provider: ollama, env: {EXTRA_VARIABLE: "yes"}}
    elsewhere: {config_path: /etc/aegis/custom.json}
"""
MANAGED = [
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_FAST_MODEL",
    "API_TIMEOUT_MS",
]


def _wanted(name: str) -> tuple[Host, Session]:
    inventory, specs = specified(INVENTORY)
    return inventory.hosts[name], resolve_env(specs[name], {"GLM_API_KEY": TOKEN})


HOST, SESSION = _wanted("plain")


def _file(content: object, mode: int = 0o600) -> RemoteFile:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return RemoteFile(data, mode, 1000, 1000)


def _plan(actual: RemoteState) -> HostPlan:
    return check_permissions(plan_host(HOST, SESSION, actual), actual)


def _after(plan: HostPlan) -> RemoteState:
    """Return what the host has once ``plan`` was carried out."""
    assert plan.write is not None
    return RemoteState(PATH, resulting_file(plan.write), directory=DIRECTORY)


def test_a_null_removes_a_variable_that_fails_every_session() -> None:
    text = INVENTORY.replace("plain:", "plain: {env: {PATH: null, lower: null, ABSENT: null}}")
    inventory, specs = specified(text)
    host, session = inventory.hosts["plain"], resolve_env(specs["plain"], {"GLM_API_KEY": TOKEN})
    file = _file({"authToken": "x", "defaultSessionEnv": {"PATH": "/bin", "lower": "a", "B": "b"}})
    actual = RemoteState(PATH, file, directory=DIRECTORY)
    assert plan_host(HOST, SESSION, actual).action is Action.ERROR
    plan = plan_host(host, session, actual)
    gone = [change.key for change in plan.changes if change.kind is ChangeKind.REMOVED]
    assert (plan.action, gone) == (Action.UPDATE, ["PATH", "lower"])
    assert plan.write is not None
    assert plan.write.content is not None
    assert list(json.loads(plan.write.content)["defaultSessionEnv"]) == ["B", *MANAGED]
    assert plan_host(host, session, _after(plan)).action is Action.UNCHANGED


def test_a_null_names_nothing_that_a_new_file_gets() -> None:
    inventory, specs = specified(INVENTORY.replace("plain:", "plain: {env: {A: null}}"))
    host, session = inventory.hosts["plain"], resolve_env(specs["plain"], {"GLM_API_KEY": TOKEN})
    plan = plan_host(host, session, RemoteState(PATH, directory=DIRECTORY))
    assert [change.key for change in plan.changes] == [*MANAGED, "file.mode", "file.owner"]
    assert plan.write is not None
    assert plan.write.managed is not None
    assert plan.write.managed.names == tuple(MANAGED)


def test_a_new_file() -> None:
    plan = _plan(RemoteState(PATH, directory=DIRECTORY))
    assert plan.action is Action.CREATE
    assert [change.key for change in plan.changes] == [*MANAGED, "file.mode", "file.owner"]
    assert {change.kind for change in plan.changes} == {ChangeKind.ADDED}
    assert plan.changes[1].sensitive
    assert (plan.changes[1].before, plan.changes[1].after) == (None, None)
    assert "answers without one" in plan.warnings[0]
    assert plan.write is not None
    assert (plan.write.mode, plan.write.base) == (0o600, None)


def test_changes_are_told_key_by_key_and_the_rest_is_the_same() -> None:
    environment = {"API_TIMEOUT_MS": "60000", "ANTHROPIC_AUTH_TOKEN": TOKEN, "OTHER": "1"}
    plan = _plan(
        RemoteState(PATH, _file({"authToken": "x", "defaultSessionEnv": environment}), DIRECTORY)
    )
    assert plan.action is Action.UPDATE
    assert plan.same == ("ANTHROPIC_AUTH_TOKEN", "API_TIMEOUT_MS")
    assert [change.key for change in plan.changes] == [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_DEFAULT_MODEL",
        "ANTHROPIC_DEFAULT_FAST_MODEL",
    ]
    assert plan.warnings == ()


NOT_UTF8 = (
    "the file holds bytes that are not UTF-8: Aegis reads each as U+FFFD, and so will a write "
    "leave them"
)


@pytest.mark.parametrize(
    ("note", "written", "warnings"),
    [(b"caf\xe9", "caf\ufffd", (NOT_UTF8,)), ("café".encode(), "café", ())],
)
def test_bytes_that_are_not_utf8_are_warned_of(
    note: bytes, written: str, warnings: tuple[str, ...]
) -> None:
    plan = _plan(
        RemoteState(PATH, _file(b'{"authToken": "x", "note": "' + note + b'"}'), DIRECTORY)
    )
    assert plan.warnings == warnings
    assert plan.write is not None
    assert plan.write.content is not None
    assert json.loads(plan.write.content)["note"] == written


def test_a_mode_that_lets_others_read_is_a_change_of_its_own() -> None:
    right = _after(_plan(RemoteState(PATH, _file({"authToken": "x"}), DIRECTORY)))
    assert right.file is not None
    plan = _plan(replace(right, file=replace(right.file, mode=0o644)))
    assert plan.action is Action.UPDATE
    assert [(change.key, change.before, change.after) for change in plan.changes] == [
        ("file.mode", "0644", "0640")
    ]


def test_formatting_alone_is_no_change() -> None:
    right = _after(_plan(RemoteState(PATH, _file({"authToken": "x"}), DIRECTORY)))
    assert right.file is not None
    squeezed = json.dumps(json.loads(right.file.content), separators=(",", ":")).encode()
    plan = _plan(replace(right, file=replace(right.file, content=squeezed)))
    assert plan.action is Action.UNCHANGED


@pytest.mark.parametrize(
    ("actual", "says"),
    [
        (RemoteState(PATH, problem=ReadProblem.NO_DIRECTORY), "its directory does not exist"),
        (
            RemoteState(PATH, directory=DIRECTORY, problem=ReadProblem.PERMISSION_DENIED),
            "no permission to read it",
        ),
        (
            RemoteState(
                PATH, directory=DIRECTORY, problem=ReadProblem.SYMLINK, detail="it leads to /x"
            ),
            "it is a symbolic link (it leads to /x)",
        ),
        (
            RemoteState(PATH, directory=DIRECTORY, shadows=("/opt/aegis/.aegis/config.yaml",)),
            "Aegis reads /opt/aegis/.aegis/config.yaml instead of it",
        ),
        (
            RemoteState(PATH, _file(b"{"), DIRECTORY),
            "Aegis ignores the whole file: it is not JSON",
        ),
        (
            RemoteState(PATH, _file({"port": "9100"}), DIRECTORY),
            'Aegis ignores the whole file: "port" must be a whole number',
        ),
        (
            RemoteState(PATH, _file({"defaultSessionEnv": {"PATH": "/bin"}}), DIRECTORY),
            "Aegis would fail every session over defaultSessionEnv.PATH",
        ),
        (
            RemoteState(PATH, directory=DIRECTORY, login=RemoteUser(1001, frozenset({1001}))),
            "no permission to write in its directory",
        ),
    ],
)
def test_refused(actual: RemoteState, says: str) -> None:
    plan = _plan(actual)
    assert plan.action is Action.ERROR
    assert says in plan.message
    assert plan.hint
    assert plan.write is None
    assert plan.changes == ()


def test_all_reasons_come_at_once() -> None:
    plan = _plan(RemoteState(PATH, _file({"port": "x", "host": 1}), DIRECTORY, shadows=("/s",)))
    assert "/s" in plan.message
    assert '"port"' in plan.message
    assert '"host"' in plan.message


def test_what_a_pin_leaves_behind_is_said() -> None:
    host, session = _wanted("pinned")
    plan = plan_host(host, session, RemoteState(PATH, directory=DIRECTORY))
    assert any("model from all" in warning and "ollama" in warning for warning in plan.warnings)
    assert "EXTRA_VARIABLE" in [change.key for change in plan.changes]


def test_a_name_that_aegis_does_not_search_is_warned_of() -> None:
    host, session = _wanted("elsewhere")
    plan = plan_host(host, session, RemoteState("/etc/aegis/custom.json", directory=DIRECTORY))
    assert any("read_via: explicit" in warning for warning in plan.warnings)


def test_an_unreachable_host_names_its_path_and_reason() -> None:
    plan = unreachable(HOST, SESSION, "connect: nothing listens there", "check the port")
    assert (plan.action, plan.path, plan.provider) == (Action.UNREACHABLE, PATH, "glm")


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)
_FOREIGN = st.dictionaries(
    st.sampled_from(["x", "note", "futureField", "é", "a.b"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=8,
    ),
)
_ENVIRONMENT = st.dictionaries(
    st.sampled_from([*MANAGED, "OTHER", "HTTP_PROXY", "_X"]), _TEXT, max_size=8
)


@given(foreign=_FOREIGN, environment=_ENVIRONMENT, mode=st.sampled_from([0o600, 0o644, 0o640]))
def test_after_a_plan_is_carried_out_nothing_is_left_and_the_rest_survives(
    foreign: dict[str, object], environment: dict[str, str], mode: int
) -> None:
    content = {**foreign, "defaultSessionEnv": environment, "authToken": "t"}
    plan = _plan(RemoteState(PATH, _file(content, mode), DIRECTORY))
    assert plan.write is not None or plan.action is Action.UNCHANGED
    if plan.write is None:
        return
    assert TOKEN not in repr(plan)
    again = _plan(_after(plan))
    assert again.action is Action.UNCHANGED
    now = json.loads(plan.write.content or b"")
    assert list(now) == list(content)
    assert {**now, "defaultSessionEnv": None} == {**content, "defaultSessionEnv": None}
    for name, value in environment.items():
        if name not in MANAGED:
            assert now["defaultSessionEnv"][name] == value


CANARY = "canary77secret"


@pytest.mark.parametrize(
    "content",
    [
        {"authToken": CANARY, "defaultSessionEnv": {"ANTHROPIC_DEFAULT_MODEL": CANARY}},
        {"x": {"apiKeys": [CANARY]}, "defaultSessionEnv": {"API_TIMEOUT_MS": f"5{CANARY}"}},
        {"defaultSessionEnv": {"OTHER_KEY": CANARY, "ANTHROPIC_BASE_URL": f"http://{CANARY}"}},
        {"defaultSessionEnv": {"ANTHROPIC_AUTH_TOKEN": CANARY, "API_TIMEOUT_MS": CANARY}},
        {"defaultSessionEnv": {"API_TIMEOUT_MS": f"9f8b7c6d5e4f3a2b1c0d{CANARY}"}},
        {"defaultSessionEnv": {"ANTHROPIC_DEFAULT_MODEL": f"sk-or-v1-{CANARY}"}},
        {"defaultSessionEnv": {"ANTHROPIC_BASE_URL": f"https://u:{CANARY}@llm.example.com"}},
        {"authToken": [CANARY], "port": CANARY, "webhooks": CANARY, "stateStore": CANARY},
        {"defaultSessionEnv": {f"sk-live-{CANARY}": "x", "lower": CANARY, "A": f"{CANARY}\n"}},
        b'{"authToken": "' + CANARY.encode() + b'", oops',
    ],
)
def test_no_secret_of_a_host_is_shown_wherever_it_stands(content: object) -> None:
    plan = _plan(RemoteState(PATH, _file(content), DIRECTORY))
    assert CANARY not in repr(plan)


def test_a_file_full_of_errors_is_not_listed_to_the_end() -> None:
    environment = {f"bad-{number}{'x' * 500}": "" for number in range(1000)}
    plan = _plan(RemoteState(PATH, _file({"defaultSessionEnv": environment}), DIRECTORY))
    assert plan.action is Action.ERROR
    assert plan.message.endswith("; and 980 more")
    assert len(plan.message) < 5000


_NUMBER = st.from_regex(r"\A-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?\Z")


@given(numbers=st.lists(_NUMBER, min_size=1, max_size=6))
def test_numbers_of_others_keep_their_text(numbers: list[str]) -> None:
    text = '{"authToken": "t", "x": [' + ", ".join(numbers) + "]}"
    plan = _plan(RemoteState(PATH, _file(text.encode()), DIRECTORY))
    assert plan.write is not None
    content = plan.write.content or b""
    lines = [line.strip(" ,") for line in content.decode().splitlines()]
    begin = lines.index('"x": [') + 1
    assert lines[begin : begin + len(numbers)] == numbers


_OWNER = "log in as the file's owner, or set become_user to it"


@pytest.mark.parametrize("for_root", [False, True])
def test_who_may_not_read_it_is_told_whom_to_become(for_root: bool) -> None:
    actual = RemoteState(
        PATH, directory=DIRECTORY, problem=ReadProblem.PERMISSION_DENIED, for_root=for_root
    )
    [(reason, hint)] = refusals(actual)
    assert reason == "no permission to read it"
    assert (hint == _OWNER) is not for_root
    assert hint.startswith("root works there as the directory's owner: ") is for_root
    link = replace(actual, problem=ReadProblem.SYMLINK)
    assert refusals(link) == refusals(replace(link, for_root=False))


@pytest.mark.parametrize("for_root", [False, True])
def test_who_can_not_keep_its_owner_is_told_whom_to_become(for_root: bool) -> None:
    login = RemoteUser(DIRECTORY.uid + 1, frozenset({DIRECTORY.gid}))
    open_to_all = replace(DIRECTORY, mode=0o777)
    actual = RemoteState(PATH, directory=open_to_all, login=login, for_root=for_root)
    write = Write(PATH, b"{}", 0o600, DIRECTORY.uid, DIRECTORY.gid, None)
    expected = check_permissions(HostPlan("a", "glm", PATH, Action.UPDATE, write=write), actual)
    assert expected.message == (
        f"the login (uid {login.uid}) can't keep its owner (uid {DIRECTORY.uid})"
    )
    assert (expected.hint == _OWNER) is not for_root
    assert expected.hint.startswith("root works there as the directory's owner: ") is for_root


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, [("file.mode", None, "0600"), ("file.owner", None, "1000:1000")]),
        (RemoteFile(b"{}", 0o600, 1000, 0), [("file.owner", "1000:0", "1000:1000")]),
        (
            RemoteFile(b"{}", 0o644, 1000, 0),
            [("file.mode", "0644", "0600"), ("file.owner", "1000:0", "1000:1000")],
        ),
    ],
)
def test_a_file_that_can_not_keep_the_superusers_group_gets_the_logins(
    file: RemoteFile | None, expected: list[tuple[str, str | None, str | None]]
) -> None:
    login = RemoteUser(1000, frozenset({1000}), 1000)
    directory = replace(DIRECTORY, gid=0)
    actual = RemoteState(PATH, file, directory, login=login)
    plan = _plan(actual)
    assert [change.key for change in plan.changes[: len(MANAGED)]] == MANAGED
    after = [(change.key, change.before, change.after) for change in plan.changes[len(MANAGED) :]]
    assert after == expected
    assert plan.write is not None
    assert (plan.write.mode, plan.write.uid, plan.write.gid) == (0o600, 1000, 1000)


def test_what_is_taken_away_has_no_owner_any_more() -> None:
    login = RemoteUser(1000, frozenset({1000}), 1000)
    file = RemoteFile(b"{}", 0o600, 1000, 0)
    gone = Change("file.owner", ChangeKind.REMOVED, "1000:0", None, sensitive=False)
    write = Write(PATH, None, 0o600, 1000, 0, file)
    plan = HostPlan("a", "glm", PATH, Action.UPDATE, changes=(gone,), write=write)
    actual = RemoteState(PATH, file, replace(DIRECTORY, gid=0), login=login)
    assert check_permissions(plan, actual) == replace(plan, write=replace(write, gid=1000))


def test_where_no_file_can_be_replaced_only_what_is_right_already_is_no_error() -> None:
    empty = RemoteState(PATH, directory=DIRECTORY, can_rename=False)
    plan = _plan(empty)
    assert (plan.action, plan.message, plan.hint, plan.write) == (Action.ERROR, *NO_RENAME, None)
    there = replace(_after(_plan(replace(empty, can_rename=True))), can_rename=False)
    assert _plan(there).action is Action.UNCHANGED


def test_where_aegis_can_not_be_restarted_nothing_is_written() -> None:
    plan = _plan(RemoteState(PATH, directory=DIRECTORY))
    refused = refuse_restart(plan, "no commands there")
    assert (refused.action, refused.write) == (Action.ERROR, None)
    assert refused.message == "Aegis can't be restarted there: no commands there"
    assert "restart: never" in refused.hint
    unchanged = replace(plan, action=Action.UNCHANGED, write=None)
    assert refuse_restart(unchanged, "no commands there") is unchanged
