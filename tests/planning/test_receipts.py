"""Receipts: what was composed is read back, anything else is named and never counts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.config_file import merge
from aegis_provision.aegis.remote_state import ReadProblem, RemoteDirectory, RemoteFile, RemoteState
from aegis_provision.planning.plan import ManagedKeys, Write
from aegis_provision.planning.receipts import (
    Receipt,
    RejectedReceipt,
    WriteInfo,
    dump,
    parse,
    validate,
    with_receipt,
)
from aegis_provision.providers.secret import Secret

PATH = "/opt/aegis/aegis.config.json"
OWNER = 1000
INFO = WriteInfo("20261125T101500Z-0a1b2c", datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")
SALT = bytes(range(16))
VALUES = {"ANTHROPIC_AUTH_TOKEN": "canary-77", "ANTHROPIC_DEFAULT_MODEL": "big", "X": "big"}
ACTUAL = RemoteState(
    PATH, RemoteFile(b"{}", 0o600, OWNER, OWNER), RemoteDirectory(0o755, OWNER, OWNER)
)

_NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,20}\Z")
_TEXTS = st.text(st.characters(exclude_categories=[]), max_size=40)
_MANAGED = st.builds(
    ManagedKeys, st.sampled_from(["glm", "my-gateway.2"]), st.lists(_NAMES, unique=True).map(tuple)
)


def _composed(**changed: Any) -> dict[str, Any]:
    before = ManagedKeys("ollama", ("ANTHROPIC_DEFAULT_MODEL",))
    data = dump(PATH, ManagedKeys("glm", tuple(VALUES)), before, merge(None, VALUES), INFO, SALT)
    return {**json.loads(data), **changed}


def _file(content: object, *, mode: int = 0o600, uid: int = OWNER) -> RemoteFile:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return RemoteFile(data, mode, uid, OWNER)


@given(
    values=st.dictionaries(_NAMES, _TEXTS, max_size=6),
    before=st.none() | _MANAGED,
    salt=st.binary(min_size=16, max_size=16),
    other=_TEXTS,
)
def test_a_receipt_knows_what_was_written_and_nothing_else(
    values: dict[str, str], before: ManagedKeys | None, salt: bytes, other: str
) -> None:
    data = dump(
        PATH, ManagedKeys("glm", (*values, "NOT_THERE")), before, merge(None, values), INFO, salt
    )
    receipt = parse(data)
    assert isinstance(receipt, Receipt)
    assert (receipt.info, receipt.path, receipt.before) == (INFO, PATH, before)
    assert receipt.managed == ManagedKeys("glm", tuple(values))
    for name, value in values.items():
        assert receipt.is_as_written(name, value)
        assert receipt.is_as_written(name, Secret(value, "${X}"))
        assert receipt.is_as_written(name, other) is (other == value)
        assert not receipt.is_as_written(name, None)
    assert receipt.is_as_written("NOT_THERE", None)
    assert not receipt.is_as_written("NOT_THERE", other)


def test_a_receipt_holds_no_value_and_does_not_show_which_are_the_same() -> None:
    content = _composed()
    assert "canary-77" not in json.dumps(content)
    assert len(set(content["variables"].values())) == len(VALUES)
    again = json.loads(
        dump(PATH, ManagedKeys("glm", tuple(VALUES)), None, merge(None, VALUES), INFO, SALT[::-1])
    )
    assert not set(again["variables"].values()) & set(content["variables"].values())


def test_the_receipt_of_the_targets_owner_counts() -> None:
    assert isinstance(validate(_file(_composed()), ACTUAL), Receipt)
    assert isinstance(validate(_file(_composed(), uid=0, mode=0o640), ACTUAL), Receipt)
    assert validate(None, ACTUAL) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (ReadProblem.SYMLINK, "symbolic link"),
        (ReadProblem.NOT_A_FILE, "not a regular file"),
        (ReadProblem.TOO_LARGE, "too large"),
        (ReadProblem.PERMISSION_DENIED, "no permission"),
        (_file(_composed(), uid=1001), "neither the file's owner nor root (uid 1001)"),
        (_file(_composed(), mode=0o620), "others may write it (mode 0620)"),
        (_file(_composed(), mode=0o602), "others may write it (mode 0602)"),
        (_file(_composed(path="/opt/other/aegis.config.json")), "another file"),
        (_file(b""), "not JSON"),
        (_file(b"[" * 100_000), "not JSON"),
        (_file(b'{"schema": "\xff"}'), "not JSON"),
        (_file([1]), "not one of this tool's"),
        (_file({"schema": 1}), "not one of this tool's"),
        (_file({"schema": "aegis-provision/receipt/v2"}), "a newer version of this tool"),
        (_file({"schema": "aegis-provision/plan/v1"}), "something else than this tool"),
        (_file(_composed(written="yesterday")), "damaged"),
        (_file(_composed(salt="00")), "damaged"),
        (_file(_composed(run="\x1b[2J")), "damaged"),
        (_file(_composed(variables=["X"])), "damaged"),
        (_file(_composed(variables={"X": "big"})), "damaged"),
        (_file(_composed(variables={"path": _composed()["variables"]["X"]})), "damaged"),
        (_file(_composed(before=["X"])), "damaged"),
        (_file(_composed(before={"provider": "glm"})), "damaged"),
    ],
)
def test_whatever_else_lies_there_does_not_count(
    found: RemoteFile | ReadProblem, says: str
) -> None:
    judged = validate(found, ACTUAL)
    assert isinstance(judged, RejectedReceipt)
    assert says in judged.reason


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=6,
    ),
    key=st.sampled_from(list(_composed())),
)
def test_a_receipt_with_anything_in_it_raises_nothing(content: object, key: str) -> None:
    assert isinstance(
        parse(json.dumps(_composed(**{key: content})).encode()), Receipt | RejectedReceipt
    )


@given(at=st.integers(0, len(json.dumps(_composed()))), junk=st.binary(max_size=3))
def test_a_receipt_that_was_cut_or_scratched_raises_nothing(at: int, junk: bytes) -> None:
    whole = json.dumps(_composed()).encode()
    for data in (whole[:at], whole[:at] + junk + whole[at + len(junk) :]):
        assert isinstance(parse(data), Receipt | RejectedReceipt)


MANAGED_BEFORE, MANAGED = ManagedKeys("glm", ("A",)), ManagedKeys("ollama", ("A", "B"))


def _file_with(environment: dict[str, str]) -> bytes:
    return json.dumps({"authToken": "t", "defaultSessionEnv": environment}).encode()


def test_a_receipt_vouches_for_what_the_file_will_hold() -> None:
    write = Write(
        PATH, _file_with({"A": "1", "C": "3"}), 0o600, 3, 4, None, MANAGED, MANAGED_BEFORE
    )
    left = with_receipt(write, INFO, bytes(16))
    assert left.receipt is not None
    assert replace(left, receipt=None) == write
    found = parse(left.receipt)
    assert isinstance(found, Receipt)
    assert (found.info, found.path, found.before) == (INFO, PATH, MANAGED_BEFORE)
    assert found.managed == ManagedKeys("ollama", ("A",))
    assert found.is_as_written("A", "1")
    assert not found.is_as_written("A", "2")
    assert not found.is_as_written("C", "3")
    assert found.is_as_written("C", None)


@pytest.mark.parametrize(
    "write",
    [
        Write(PATH, None, 0o600, 3, 4, None, MANAGED, MANAGED_BEFORE, b"stale"),
        Write(PATH, b"{}", 0o600, 3, 4, None, None, MANAGED_BEFORE, b"stale"),
    ],
)
def test_where_no_key_will_be_managed_no_receipt_is_left(write: Write) -> None:
    assert with_receipt(write, INFO, bytes(16)).receipt is None
