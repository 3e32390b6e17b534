"""Undoing a past run on one host: only what it wrote, and only by what was there before."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.actual import Actual, DirectoryFacts, FileFacts, ReadProblem
from aegis_provision.planning.going_back import Undoing, plan_going_back, session_in
from aegis_provision.planning.model import Action, ChangeKind
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from aegis_provision.planning.model import HostPlan

PATH = "/opt/aegis/aegis.config.json"
DIRECTORY = DirectoryFacts(0o755, 1000, 1000)
OLD_TOKEN, NEW_TOKEN = "old-token-canary-1", "new-token-canary-2"


def _file(token: str, model: str) -> bytes:
    env = {"ANTHROPIC_AUTH_TOKEN": token, "ANTHROPIC_DEFAULT_MODEL": model}
    return json.dumps({"authToken": "x" * 20, "defaultSessionEnv": env}).encode()


BEFORE, AFTER = _file(OLD_TOKEN, "small"), _file(NEW_TOKEN, "big")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plan(
    here: bytes | None,
    previous: bytes | None,
    *,
    before: bytes | None = BEFORE,
    after: bytes | None = AFTER,
) -> HostPlan:
    file = FileFacts(here, 0o600, 1000, 1000) if here is not None else None
    undoing = Undoing(
        "run",
        "host",
        "glm",
        _digest(before) if before is not None else None,
        _digest(after) if after is not None else None,
        _digest,
    )
    return plan_going_back(undoing, Actual(PATH, file, DIRECTORY), previous)


def test_the_file_from_before_comes_back_and_no_token_shows() -> None:
    plan = _plan(AFTER, BEFORE)
    assert plan.action is Action.UPDATE
    assert plan.write is not None
    assert plan.write.content == BEFORE
    assert plan.write.base is not None
    assert plan.write.base.content == AFTER
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
    assert plan.write is not None
    assert plan.write.content is None
    assert {change.kind for change in plan.changes} == {ChangeKind.REMOVED}


def test_a_file_that_is_back_already_is_left_alone() -> None:
    assert _plan(BEFORE, AFTER).action is Action.UNCHANGED
    assert _plan(None, None, before=None).action is Action.UNCHANGED


@given(here=st.binary(max_size=20), previous=st.none() | st.binary(max_size=20))
def test_whatever_came_since_is_left_alone(here: bytes, previous: bytes | None) -> None:
    plan = _plan(here, previous)
    assert plan.action is Action.ERROR
    assert plan.write is None


@pytest.mark.parametrize("previous", [None, b"", AFTER, BEFORE + b" "])
def test_another_file_than_the_one_from_before_is_not_put_back(previous: bytes | None) -> None:
    plan = _plan(AFTER, previous)
    assert plan.action is Action.ERROR
    assert "not the one from before" in plan.message


def test_a_file_that_is_gone_is_not_replaced() -> None:
    assert _plan(None, BEFORE).action is Action.ERROR


def test_a_target_that_can_not_be_read_says_why() -> None:
    undoing = Undoing("run", "host", "glm", _digest(BEFORE), _digest(AFTER), _digest)
    actual = Actual(PATH, directory=DIRECTORY, problem=ReadProblem.PERMISSION_DENIED)
    plan = plan_going_back(undoing, actual, None)
    assert (plan.action, plan.write) == (Action.ERROR, None)
    assert "permission" in plan.message


def test_the_session_of_a_file_holds_its_token_as_a_secret() -> None:
    values = session_in(BEFORE).values
    assert isinstance(values["ANTHROPIC_AUTH_TOKEN"], Secret)
    assert values["ANTHROPIC_DEFAULT_MODEL"] == "small"
    assert session_in(None).values == session_in(b"{").values == {}
