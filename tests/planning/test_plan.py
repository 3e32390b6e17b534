"""The write that takes another one back, and what is ours once it is done."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

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
from aegis_provision.planning.receipts import (
    Receipt,
    WriteInfo,
    dump,
    parse,
    with_receipt,
)
from aegis_provision.planning.rollback import RollbackTarget, with_managed_keys

PATH = "/opt/aegis/aegis.config.json"
RUN = "20261125T101500Z-0a1b2c"
BEFORE, AFTER = ManagedKeys("glm", ("A",)), ManagedKeys("ollama", ("A", "B"))
OLD = RemoteFile(b'{"old": 1}', 0o640, 1, 2)


def _write(content: bytes | None, base: RemoteFile | None) -> Write:
    return Write(PATH, content, 0o600, 3, 4, base, AFTER, BEFORE, b"receipt")


def _content(environment: dict[str, str]) -> bytes:
    return json.dumps({"authToken": "t", "defaultSessionEnv": environment}).encode()


def _receipt(
    values: dict[str, str], ours: ManagedKeys, before: ManagedKeys | None, run: str = RUN
) -> Receipt:
    info = WriteInfo(run, datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")
    found = parse(dump(PATH, ours, before, values, info, bytes(16)))
    assert isinstance(found, Receipt)
    return found


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


def _plan(environment: dict[str, str] | None = None, *, base: bool = True) -> HostPlan:
    current = RemoteFile(_content(environment or {"A": "1", "B": "2"}), 0o600, 3, 4)
    write = Write(PATH, b"before", 0o600, 3, 4, current if base else None)
    return HostPlan("a", "glm", PATH, Action.UPDATE, write=write)


TARGET = RollbackTarget(RUN, "a", "glm", "before", "after", lambda _: "")


@pytest.mark.parametrize("before", [None, BEFORE])
def test_by_the_run_s_own_receipt_ours_is_what_was_before_it(before: ManagedKeys | None) -> None:
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, before)
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (before, AFTER)


def test_by_another_run_s_receipt_of_this_file_nothing_is_known_to_be_ours() -> None:
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, BEFORE, run="20261126T101500Z-0a1b2c")
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (None, AFTER)


def test_a_receipt_of_another_file_is_the_one_from_before_the_run() -> None:
    receipt = _receipt({"A": "0", "B": "2"}, AFTER, BEFORE, run="20261124T101500Z-0a1b2c")
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (AFTER, AFTER)


def test_without_a_receipt_or_a_file_nothing_is_said_of_ours() -> None:
    plan = _plan()
    assert with_managed_keys(plan, TARGET, None) is plan
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, BEFORE)
    without_base = _plan(base=False)
    assert with_managed_keys(without_base, TARGET, receipt) is without_base
    refused = HostPlan("a", "glm", PATH, Action.ERROR)
    assert with_managed_keys(refused, TARGET, receipt) is refused


INFO = WriteInfo(RUN, datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")


def test_a_receipt_vouches_for_what_the_file_will_hold() -> None:
    write = Write(PATH, _content({"A": "1", "C": "3"}), 0o600, 3, 4, OLD, AFTER, BEFORE)
    left = with_receipt(write, INFO, bytes(16))
    assert left.receipt is not None
    assert replace(left, receipt=None) == write
    found = parse(left.receipt)
    assert isinstance(found, Receipt)
    assert (found.info, found.path, found.before) == (INFO, PATH, BEFORE)
    assert found.managed == ManagedKeys("ollama", ("A",))
    assert found.is_as_written("A", "1")
    assert not found.is_as_written("A", "2")
    assert not found.is_as_written("C", "3")
    assert found.is_as_written("C", None)


@pytest.mark.parametrize(
    "write",
    [
        Write(PATH, None, 0o600, 3, 4, OLD, AFTER, BEFORE, b"stale"),
        Write(PATH, b"{}", 0o600, 3, 4, OLD, None, BEFORE, b"stale"),
    ],
)
def test_where_nothing_will_be_ours_no_receipt_is_left(write: Write) -> None:
    assert with_receipt(write, INFO, bytes(16)).receipt is None
