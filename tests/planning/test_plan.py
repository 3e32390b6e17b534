"""The write that restores what another one replaced, and what is left to do after it."""

from __future__ import annotations

from dataclasses import replace

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.planning.plan import (
    Action,
    Change,
    ChangeKind,
    HostPlan,
    ManagedKeys,
    Write,
    restoring_write,
    resulting_file,
    without_write,
)

PATH = "/opt/aegis/aegis.config.json"
RUN = "20261125T101500Z-0a1b2c"
BEFORE, AFTER = ManagedKeys("glm", ("A",)), ManagedKeys("ollama", ("A", "B"))
OLD = RemoteFile(b'{"old": 1}', 0o640, 1, 2)


def _write(content: bytes | None, base: RemoteFile | None) -> Write:
    return Write(PATH, content, 0o600, 3, 4, base, AFTER, BEFORE, b"receipt")


def test_a_replaced_file_comes_back_with_the_mode_of_the_new_one() -> None:
    assert restoring_write(_write(b"new", OLD)) == Write(
        PATH, OLD.content, 0o600, 3, 4, RemoteFile(b"new", 0o600, 3, 4), BEFORE, AFTER
    )


def test_a_file_that_was_made_goes_and_one_that_was_taken_away_comes_back() -> None:
    assert restoring_write(_write(b"new", None)).content is None
    taken = restoring_write(_write(None, OLD))
    assert (taken.content, taken.base) == (OLD.content, None)


def test_what_a_write_leaves_behind() -> None:
    assert resulting_file(_write(b"new", OLD)) == RemoteFile(b"new", 0o600, 3, 4)
    assert resulting_file(_write(None, OLD)) is None


def test_a_plan_that_was_carried_out_has_nothing_left_to_write() -> None:
    changes = (Change("A", ChangeKind.ADDED, None, "x", sensitive=False),)
    plan = HostPlan("a", "glm", PATH, Action.UPDATE, changes, write=_write(b"new", OLD))
    assert without_write(plan) == replace(plan, action=Action.UNCHANGED, changes=(), write=None)
    broken = HostPlan("a", "glm", PATH, Action.ERROR, message="broken")
    assert without_write(broken) is broken
