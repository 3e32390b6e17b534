"""Which keys are managed after a rollback, by the receipt beside the file."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.planning.plan import Action, HostPlan, ManagedKeys, Write
from aegis_provision.planning.receipts import Receipt, WriteInfo, dump, parse
from aegis_provision.planning.rollback import RollbackTarget, with_managed_keys

PATH = "/opt/aegis/aegis.config.json"
RUN = "20261125T101500Z-0a1b2c"
BEFORE, AFTER = ManagedKeys("glm", ("A",)), ManagedKeys("ollama", ("A", "B"))


def _content(environment: dict[str, str]) -> bytes:
    return json.dumps({"authToken": "t", "defaultSessionEnv": environment}).encode()


def _receipt(
    values: dict[str, str], managed: ManagedKeys, before: ManagedKeys | None, run: str = RUN
) -> Receipt:
    info = WriteInfo(run, datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")
    found = parse(dump(PATH, managed, before, _content(values), info, bytes(16)))
    assert isinstance(found, Receipt)
    return found


def _plan(environment: dict[str, str] | None = None, *, base: bool = True) -> HostPlan:
    current = RemoteFile(_content(environment or {"A": "1", "B": "2"}), 0o600, 3, 4)
    write = Write(PATH, b"before", 0o600, 3, 4, current if base else None)
    return HostPlan("a", "glm", PATH, Action.UPDATE, write=write)


TARGET = RollbackTarget(RUN, "a", "glm", "before", "after", lambda _: "")


@pytest.mark.parametrize("before", [None, BEFORE])
def test_the_run_s_own_receipt_names_the_keys_from_before_it(before: ManagedKeys | None) -> None:
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, before)
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (before, AFTER)


def test_by_another_run_s_receipt_of_this_file_no_key_is_managed() -> None:
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, BEFORE, run="20261126T101500Z-0a1b2c")
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (None, AFTER)


def test_a_receipt_of_another_file_is_the_one_from_before_the_run() -> None:
    receipt = _receipt({"A": "0", "B": "2"}, AFTER, BEFORE, run="20261124T101500Z-0a1b2c")
    write = with_managed_keys(_plan(), TARGET, receipt).write
    assert write is not None
    assert (write.managed, write.managed_before) == (AFTER, AFTER)


def test_without_a_receipt_or_a_file_the_plan_stays() -> None:
    plan = _plan()
    assert with_managed_keys(plan, TARGET, None) is plan
    receipt = _receipt({"A": "1", "B": "2"}, AFTER, BEFORE)
    refused = HostPlan("a", "glm", PATH, Action.ERROR)
    assert with_managed_keys(refused, TARGET, receipt) is refused
