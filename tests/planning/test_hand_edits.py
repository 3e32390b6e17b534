"""Hand edits: what a receipt tells of the keys beside the managed ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.config_file import ConfigFile, parse_config, read_unchecked
from aegis_provision.planning.hand_edits import HandEdits, hand_edits, overriding_variables
from aegis_provision.planning.plan import ManagedKeys
from aegis_provision.planning.receipts import REST, Receipt, WriteInfo, dump, parse

PATH = "/opt/aegis/aegis.config.json"
INFO = WriteInfo("20261125T101500Z-0a1b2c", datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0")
OURS = {"ANTHROPIC_BASE_URL": "https://a.example/v1", "ANTHROPIC_AUTH_TOKEN": "canary-77"}
FILE = {
    "authToken": "lock-canary",
    "port": 9100,
    "allowedWorkDirs": ["/srv"],
    "defaultSessionEnv": {**OURS, "THEIRS": "x"},
}


def receipt_of(content: bytes) -> Receipt:
    found = parse(dump(PATH, ManagedKeys("glm", tuple(OURS)), None, content, INFO, bytes(16)))
    assert isinstance(found, Receipt)
    return found


def config(text: str | bytes) -> ConfigFile:
    found = parse_config(text.encode() if isinstance(text, str) else text)
    assert isinstance(found, ConfigFile)
    return found


def edits(change: dict[str, Any], env: dict[str, str] | None = None) -> HandEdits:
    """Return what is found in :data:`FILE` after a change; ``None`` removes a key."""
    after = {
        **FILE,
        **change,
        "defaultSessionEnv": {**OURS, **({"THEIRS": "x"} if env is None else env)},
    }
    after = {key: value for key, value in after.items() if value is not None}
    receipt = receipt_of(json.dumps(FILE).encode())
    return hand_edits(config(json.dumps(after)), receipt, OURS)


def test_nothing_was_edited() -> None:
    assert edits({}) == HandEdits()


def test_how_it_is_written_does_not_count() -> None:
    receipt = receipt_of(b'{"port": 9100, "a": {"x": 1, "y": 2.50}}')
    assert (
        hand_edits(config('{"a":{"y":2.5,"x":1e0},\n"port":9.1e3}'), receipt, OURS) == HandEdits()
    )


@pytest.mark.parametrize(
    ("change", "env", "keys", "lost_lock"),
    [
        ({"port": 9101}, None, ["port"], False),
        ({"port": None}, None, ["port"], False),
        ({"rateLimit": {"enabled": True}}, None, ["rateLimit"], False),
        ({"allowedWorkDirs": ["/srv", "/"]}, None, ["allowedWorkDirs"], False),
        ({"authToken": "another"}, None, ["authToken"], False),
        ({"authToken": None}, None, ["authToken"], True),
        ({"authToken": ""}, None, ["authToken"], True),
        ({"clientAuthToken": "c"}, None, ["clientAuthToken"], False),
        ({}, {}, ["defaultSessionEnv.THEIRS"], False),
        (
            {},
            {"THEIRS": "x", "ANTHROPIC_MODEL": "m"},
            ["defaultSessionEnv.ANTHROPIC_MODEL"],
            False,
        ),
        ({"ANTHROPIC_MODEL": "m"}, None, ["ANTHROPIC_MODEL"], False),
    ],
)
def test_what_was_edited(
    change: dict[str, Any],
    env: dict[str, str] | None,
    keys: list[str],
    *,
    lost_lock: bool,
) -> None:
    found = edits(change, env)
    assert found == HandEdits(tuple(keys), lost_lock)


def test_which_variables_decide_over_the_provider() -> None:
    names = ["ANTHROPIC_DEFAULT_MODEL", "ANTHROPIC_DEFAULT_FAST_MODEL", "THEIRS", "ANTHROPIC_MODEL"]
    names += [
        "CLAUDE_CODE_USE_BEDROCK",
        "ANTHROPIC_DEFAULT_OPUS_MODEL",
        "ANTHROPIC_DEFAULT_X_MODEL",
    ]
    assert overriding_variables(names, OURS) == (
        "ANTHROPIC_DEFAULT_OPUS_MODEL",
        "ANTHROPIC_DEFAULT_X_MODEL",
        "ANTHROPIC_MODEL",
        "CLAUDE_CODE_USE_BEDROCK",
    )
    assert overriding_variables(names, names) == ()


def test_what_the_inventory_wants_now_is_pending_and_not_edited() -> None:
    after = {**FILE, "defaultSessionEnv": {**OURS, "THEIRS": "y"}}
    receipt = receipt_of(json.dumps(FILE).encode())
    assert hand_edits(config(json.dumps(after)), receipt, {*OURS, "THEIRS"}) == HandEdits()


def test_our_own_variables_drift_and_are_not_edited() -> None:
    after = {**FILE, "defaultSessionEnv": {"ANTHROPIC_BASE_URL": "changed", "THEIRS": "x"}}
    receipt = receipt_of(json.dumps(FILE).encode())
    assert hand_edits(config(json.dumps(after)), receipt, OURS) == HandEdits()


def test_receipts_of_before_tell_nothing() -> None:
    content = json.loads(dump(PATH, ManagedKeys("glm", ()), None, b"{}", INFO, bytes(16)))
    del content["others"]
    older = parse(json.dumps(content).encode())
    assert isinstance(older, Receipt)
    assert older.others is None
    assert hand_edits(config(json.dumps(FILE)), older, OURS) == HandEdits()
    assert hand_edits(config(json.dumps(FILE)), None, OURS) == HandEdits()


def test_a_file_of_many_keys_has_a_receipt_of_a_bounded_size() -> None:
    file = {f"key{number:04}": number for number in range(5000)} | {"k" * 5000: 1}
    receipt = receipt_of(json.dumps(file).encode())
    assert receipt.others is not None
    assert len(receipt.others) == 501
    assert hand_edits(config(json.dumps(file)), receipt, OURS) == HandEdits()
    assert hand_edits(config(json.dumps({**file, "key4999": 0})), receipt, OURS).keys == (REST,)
    assert hand_edits(config(json.dumps({**file, "key0000": 1})), receipt, OURS).keys == (
        "key0000",
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    before=st.dictionaries(st.text(max_size=200), _JSON, max_size=4),
    after=st.dictionaries(st.text(max_size=200), _JSON, max_size=4),
)
def test_exactly_what_differs_is_named_and_no_value_stands_in_the_receipt(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    before["canary"], after["canary"] = "value-of-a-canary", "value-of-a-canary"
    for file in (before, after):
        file.pop("defaultSessionEnv", None)
    content = dump(PATH, ManagedKeys("glm", ()), None, json.dumps(before).encode(), INFO, bytes(16))
    receipt = parse(content)
    assert isinstance(receipt, Receipt)
    assert b"value-of-a-canary" not in content
    found = hand_edits(read_unchecked(json.dumps(after).encode()), receipt, ())
    missing = object()
    differing = {
        key
        for key in {*before, *after}
        if json.dumps(before.get(key, "-"), sort_keys=True)
        != json.dumps(after.get(key, "-"), sort_keys=True)
        or before.get(key, missing) is missing
        or after.get(key, missing) is missing
    }
    assert set(found.keys) == differing


@pytest.mark.parametrize(
    "damage",
    [
        {"others": 3},
        {"others": {"a": "b"}},
        {"others": ["authToken"]},
        {"others": {"k" * 201: "x"}},
    ],
)
def test_damaged_digests_make_no_receipt(damage: dict[str, Any]) -> None:
    content = json.loads(dump(PATH, ManagedKeys("glm", ()), None, b"{}", INFO, bytes(16)))
    assert not isinstance(parse(json.dumps({**content, **damage}).encode()), Receipt)
