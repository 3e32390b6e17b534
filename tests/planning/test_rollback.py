"""Rolling a past run back on one host: only what it wrote, and only by what was there before."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.remote_state import ReadProblem, RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.planning.plan import (
    Action,
    Change,
    ChangeKind,
    HostPlan,
    Write,
    change_content,
)
from aegis_provision.planning.rollback import (
    RollbackTarget,
    needs_previous,
    plan_rollback,
    session_from_config,
)
from aegis_provision.providers.secret import Secret
from aegis_provision.report.plan_report import plan_lines

PATH = "/opt/aegis/aegis.config.json"
DIRECTORY = RemoteDirectory(0o755, 1000, 1000)
OLD_TOKEN, NEW_TOKEN = "old-token-canary-1", "new-token-canary-2"


def _file(token: str, model: str) -> bytes:
    env = {"ANTHROPIC_AUTH_TOKEN": token, "ANTHROPIC_DEFAULT_MODEL": model}
    return json.dumps({"authToken": "x" * 20, "defaultSessionEnv": env}).encode()


BEFORE, AFTER = _file(OLD_TOKEN, "small"), _file(NEW_TOKEN, "big")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plan(
    current: bytes | None,
    previous: bytes | None,
    *,
    before: bytes | None = BEFORE,
    after: bytes | None = AFTER,
) -> HostPlan:
    file = RemoteFile(current, 0o600, 1000, 1001) if current is not None else None
    return plan_rollback(_target(before, after), RemoteState(PATH, file, DIRECTORY), previous)


def _target(before: bytes | None, after: bytes | None) -> RollbackTarget:
    return RollbackTarget(
        "run",
        "host",
        "glm",
        _digest(before) if before is not None else None,
        _digest(after) if after is not None else None,
        _digest,
    )


def test_the_file_from_before_comes_back_and_no_token_shows() -> None:
    plan = _plan(AFTER, BEFORE)
    assert plan.action is Action.UPDATE
    file = RemoteFile(AFTER, 0o600, 1000, 1001)
    assert plan.write == Write(PATH, BEFORE, 0o600, 1000, 1001, file)
    changes = {change.key: (change.before, change.after) for change in plan.changes}
    assert changes == {
        "ANTHROPIC_AUTH_TOKEN": (None, None),
        "ANTHROPIC_DEFAULT_MODEL": ("big", "small"),
    }
    assert any("revoked" in warning for warning in plan.warnings)
    assert OLD_TOKEN not in repr(plan)
    assert NEW_TOKEN not in repr(plan)


def test_a_file_that_the_run_made_goes_away() -> None:
    plan = _plan(AFTER, None, before=None)
    assert plan.write == Write(
        PATH, None, 0o600, 1000, 1001, RemoteFile(AFTER, 0o600, 1000, 1001), None, None
    )
    assert plan.changes == (
        Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.REMOVED, None, None, sensitive=True),
        Change("ANTHROPIC_DEFAULT_MODEL", ChangeKind.REMOVED, "big", None, sensitive=False),
        Change("file.mode", ChangeKind.REMOVED, "0600", None, sensitive=False),
        Change("file.owner", ChangeKind.REMOVED, "1000:1001", None, sensitive=False),
    )
    assert plan.warnings == ()


def _with_env(env: dict[str, str], **more: object) -> bytes:
    return json.dumps({"authToken": "a" * 20, "defaultSessionEnv": env, **more}).encode()


def _change(before: bytes, after: bytes) -> tuple[Change, ...]:
    """Return what is shown of going back from ``after`` to ``before``."""
    plan = _plan(after, before, before=before, after=after)
    assert plan.action is Action.UPDATE, plan.message
    return plan.changes


def test_all_that_comes_back_is_shown_and_what_stays_is_not() -> None:
    plan = _plan(
        _with_env({"SAME": "1", "CHANGED": "new", "ADDED": "x", "EMPTY": ""}),
        _with_env({"LOST": "y", "CHANGED": "old", "SAME": "1", "EMPTY": ""}),
        before=_with_env({"LOST": "y", "CHANGED": "old", "SAME": "1", "EMPTY": ""}),
        after=_with_env({"SAME": "1", "CHANGED": "new", "ADDED": "x", "EMPTY": ""}),
    )
    assert plan.changes == (
        Change("LOST", ChangeKind.ADDED, None, "y", sensitive=False),
        Change("CHANGED", ChangeKind.CHANGED, "new", "old", sensitive=False),
        Change("ADDED", ChangeKind.REMOVED, "x", None, sensitive=False),
    )
    assert (plan.same, plan.unknown, plan.warnings, plan.message) == ((), (), (), "")
    assert (plan.host, plan.provider, plan.path) == ("host", "glm", PATH)
    assert plan.auth_token is not None
    assert plan.auth_token.matches("a" * 20)
    assert [line.plain for line in plan_lines([plan], width=100)] == [
        "~ update      host  [glm]  /opt/aegis/aegis.config.json",
        "    + LOST                          y",
        "    ~ CHANGED                       new -> old",
        "    - ADDED                         x removed",
        "Plan: 1 to update",
    ]


@pytest.mark.parametrize("name", ["MY_API_TOKEN", "SOME_KEY", "DB_PASSWORD", "CLIENT_SECRET"])
@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("harmless", None, ChangeKind.ADDED),
        ("harmless", "plain", ChangeKind.CHANGED),
        (None, "plain", ChangeKind.REMOVED),
    ],
)
def test_a_value_is_masked_by_its_variable_s_name_alone(
    name: str, before: str | None, after: str | None, kind: ChangeKind
) -> None:
    environment = {} if after is None else {name: after}
    then = {} if before is None else {name: before}
    masked = Change(name, kind, None, None, sensitive=True)
    assert _change(_with_env(then), _with_env(environment)) == (masked,)


OWN = "the-file-s-own-secret"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://user:pw@example.com", "plain"),
        ("plain", "https://user:pw@example.com"),
        ("sk-or-v1-0123456789abcdef0123456789abcdef", "plain"),
        ("plain", "sk-or-v1-0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_value_is_masked_by_its_looks_alone(before: str, after: str) -> None:
    [change] = _change(_with_env({"NOTE": before}), _with_env({"NOTE": after}))
    assert change == Change("NOTE", ChangeKind.CHANGED, None, None, sensitive=True)


@pytest.mark.parametrize("kept_by", ["now", "then"])
@pytest.mark.parametrize("shown_in", ["now", "then"])
@pytest.mark.parametrize("text", [OWN, f"x-{OWN}-y"])
def test_a_value_is_masked_by_the_secrets_of_either_file(
    kept_by: str, shown_in: str, text: str
) -> None:
    keeper = {"clientAuthToken": OWN}
    now = _with_env(
        {"NOTE": text if shown_in == "now" else "plain", "MODEL": "b"},
        **(keeper if kept_by == "now" else {}),
    )
    then = _with_env(
        {"NOTE": text if shown_in == "then" else "plain", "MODEL": "a"},
        **(keeper if kept_by == "then" else {}),
    )
    plan = _plan(now, then, before=then, after=now)
    assert plan.changes == (
        Change("NOTE", ChangeKind.CHANGED, None, None, sensitive=True),
        Change("MODEL", ChangeKind.CHANGED, "b", "a", sensitive=False),
    )
    assert OWN not in "".join(line.plain for line in plan_lines([plan], width=100, as_diff=True))
    assert OWN not in json.dumps([change_content(change) for change in plan.changes])


def test_a_token_that_comes_back_is_warned_of_and_one_that_goes_is_not() -> None:
    revoked = "becomes the one from before: if it was revoked since, sessions will fail"
    back = _plan(_with_env({}), _with_env({"A_TOKEN": "one"}), before=_with_env({"A_TOKEN": "one"}),
                 after=_with_env({}))  # fmt: skip
    assert back.warnings == (f"A_TOKEN {revoked}",)
    other = _plan(AFTER, BEFORE)
    assert other.warnings == (f"ANTHROPIC_AUTH_TOKEN {revoked}",)
    gone = _plan(_with_env({"A_TOKEN": "one"}), _with_env({}), before=_with_env({}),
                 after=_with_env({"A_TOKEN": "one"}))  # fmt: skip
    assert gone.warnings == ()


def test_a_file_without_a_token_of_its_own_is_warned_of() -> None:
    without = json.dumps({"defaultSessionEnv": {}}).encode()
    now = _with_env({})
    plan = _plan(now, without, before=without, after=now)
    [warning] = plan.warnings
    assert warning == (
        "the file from before has no authToken: unless Aegis gets a token another way "
        "(AEGIS_AUTH_TOKEN, a key), its API answers without one"
    )
    assert _plan(without, now, before=now, after=without).warnings == ()


def test_a_variable_that_fails_every_session_is_shown_as_it_comes_back() -> None:
    before = _with_env({"PATH": "/bin", "SAME": "1"})
    changes = _change(before, _with_env({"SAME": "1"}))
    assert changes == (Change("PATH", ChangeKind.ADDED, None, "/bin", sensitive=False),)


@pytest.mark.parametrize("broken", [b"", b"{", b"[]"])
def test_a_file_that_aegis_ignored_comes_back_all_the_same(broken: bytes) -> None:
    now = _with_env({"MODEL": "b"})
    plan = _plan(now, broken, before=broken, after=now)
    assert plan.write is not None
    assert plan.write.content == broken
    assert plan.changes == (Change("MODEL", ChangeKind.REMOVED, "b", None, sensitive=False),)
    assert plan.warnings == ()


def test_a_host_without_a_file_to_go_back_from_is_refused() -> None:
    plan = _plan(None, BEFORE, after=None)
    assert plan == HostPlan(
        "host",
        "glm",
        PATH,
        Action.ERROR,
        message="there is no file to go back from",
        hint="look at what changed since, and change it by hand or with 'apply'",
    )


def test_every_refusal_says_what_to_do() -> None:
    look = "look at what changed since, and change it by hand or with 'apply'"
    moved, other = _plan(b"moved", BEFORE), _plan(AFTER, b"other")
    assert (moved.message, moved.hint) == (
        "the file is no longer the one that the run wrote",
        look,
    )
    assert (other.message, other.hint) == (
        "the file that is kept there is not the one from before the run",
        look,
    )


@pytest.mark.parametrize("before", [None, BEFORE])
@pytest.mark.parametrize("current", [None, AFTER])
def test_the_kept_file_is_read_where_there_is_something_to_bring_back(
    before: bytes | None, current: bytes | None
) -> None:
    target = _target(before, AFTER)
    file = RemoteFile(current, 0o600, 1000, 1001) if current is not None else None
    needed = needs_previous(target, RemoteState(PATH, file, DIRECTORY))
    assert needed is (before is not None)


def test_a_file_that_is_back_already_is_left_alone() -> None:
    assert _plan(BEFORE, AFTER).action is Action.UNCHANGED
    assert _plan(None, None, before=None).action is Action.UNCHANGED


@given(current=st.binary(max_size=20), previous=st.none() | st.binary(max_size=20))
def test_whatever_came_since_is_left_alone(current: bytes, previous: bytes | None) -> None:
    plan = _plan(current, previous)
    assert plan.action is Action.ERROR
    assert plan.write is None


@pytest.mark.parametrize("previous", [None, b"", AFTER, BEFORE + b" "])
def test_another_file_than_the_one_from_before_is_not_put_back(previous: bytes | None) -> None:
    plan = _plan(AFTER, previous)
    assert plan.action is Action.ERROR
    assert "not the one from before" in plan.message


def test_a_file_that_is_gone_is_replaced_by_the_one_from_before_alone() -> None:
    plan = _plan(None, BEFORE)
    assert plan.action is Action.CREATE
    assert plan.write is not None
    assert (plan.write.content, plan.write.mode, plan.write.base) == (BEFORE, 0o600, None)
    assert plan.warnings[0].startswith("the file is gone: the one that returns is from before ")
    assert _plan(None, AFTER).action is Action.ERROR
    assert _plan(None, None).action is Action.ERROR


def test_a_target_that_can_not_be_read_says_why() -> None:
    target = RollbackTarget("run", "host", "glm", _digest(BEFORE), _digest(AFTER), _digest)
    actual = RemoteState(PATH, directory=DIRECTORY, problem=ReadProblem.PERMISSION_DENIED)
    plan = plan_rollback(target, actual, None)
    assert (plan.action, plan.write) == (Action.ERROR, None)
    assert "permission" in plan.message


def test_the_session_of_a_file_holds_its_token_as_a_secret() -> None:
    values = session_from_config(BEFORE, PATH).values
    assert isinstance(values["ANTHROPIC_AUTH_TOKEN"], Secret)
    assert values["ANTHROPIC_DEFAULT_MODEL"] == "small"
    assert session_from_config(None, PATH).values == session_from_config(b"{", PATH).values == {}
