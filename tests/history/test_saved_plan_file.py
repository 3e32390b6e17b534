"""A saved plan as a file: it comes back as it was, and any change to it is reported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.history.saved_plan_file import SavedPlanError, dump, is_saved_plan, parse
from aegis_provision.planning.plan import Action, Change, ChangeKind
from aegis_provision.planning.saved_plan import (
    PathRef,
    PlanOptions,
    SavedHost,
    SavedPlan,
    SkippedHost,
)
from tests.schemas import check_document

_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
_DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
_PATHS = _NAMES.filter(lambda name: "\0" not in name)
_PLACES = st.builds(PathRef, _PATHS, _PATHS)
_CHANGES = st.builds(
    Change,
    _NAMES,
    st.sampled_from(ChangeKind),
    st.none() | _NAMES,
    st.none() | _NAMES,
    st.just(value=False),
) | st.builds(
    Change, _NAMES, st.sampled_from(ChangeKind), st.none(), st.none(), st.just(value=True)
)
_HOSTS = st.builds(
    SavedHost,
    host=_NAMES,
    provider=_NAMES,
    path=_NAMES,
    action=st.sampled_from([Action.CREATE, Action.UPDATE, Action.UNCHANGED]),
    changes=st.lists(_CHANGES, max_size=3).map(tuple),
    unknown=st.lists(_NAMES, max_size=2).map(tuple),
    restart_pending=st.booleans(),
    settings=_DIGESTS,
    seen=st.none() | _DIGESTS,
    wanted=st.dictionaries(_NAMES, st.none() | _DIGESTS, max_size=3),
    tokens=st.dictionaries(_NAMES, _NAMES, max_size=2),
)
_PLANS = st.builds(
    SavedPlan,
    made=st.datetimes(datetime(2026, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
    ),
    tool_version=_NAMES,
    options=st.builds(
        PlanOptions,
        st.lists(_PLACES, max_size=2).map(tuple),
        st.just("") | _NAMES,
        st.none() | _PLACES,
        st.booleans(),
    ),
    sources=st.lists(st.tuples(_NAMES, _DIGESTS), max_size=3).map(tuple),
    batches=st.lists(
        st.lists(st.lists(_NAMES, max_size=2).map(tuple), max_size=2).map(tuple), max_size=2
    ).map(tuple),
    salt=st.binary(min_size=16, max_size=16),
    tokens=st.dictionaries(_NAMES, _DIGESTS, max_size=2),
    hosts=st.lists(_HOSTS, max_size=3).map(tuple),
    skipped=st.lists(
        st.builds(SkippedHost, _NAMES, st.sampled_from([Action.ERROR, Action.UNREACHABLE]), _NAMES),
        max_size=2,
    ).map(tuple),
)
PLAN = SavedPlan(
    datetime(2026, 11, 25, 12, tzinfo=UTC),
    "1.2.3",
    PlanOptions((PathRef("inventory.yml", "/work/inventory.yml"),), "all"),
    (("inventory.yml", "0" * 64),),
    ((("a",),),),
    bytes(16),
    {"token-1": "1" * 64},
    (
        SavedHost(
            *("a", "glm", "/opt/aegis/aegis.config.json", Action.UPDATE),
            changes=(
                Change("API_TIMEOUT_MS", ChangeKind.CHANGED, "1", "2", sensitive=False),
                Change("ANTHROPIC_AUTH_TOKEN", ChangeKind.ADDED, None, None, sensitive=True),
            ),
            unknown=(),
            restart_pending=False,
            settings="4" * 64,
            seen="2" * 64,
            wanted={"API_TIMEOUT_MS": "3" * 64, "ANTHROPIC_AUTH_TOKEN": None},
            tokens={"ANTHROPIC_AUTH_TOKEN": "token-1"},
        ),
    ),
)
FILE = dump(PLAN)


@settings(deadline=None)
@given(plan=_PLANS)
def test_what_is_kept_comes_back_and_is_what_the_schema_says(plan: SavedPlan) -> None:
    data = dump(plan)
    assert is_saved_plan(data)
    assert parse(data) == plan
    check_document("saved-plan", json.loads(data))


def test_who_only_lays_it_out_anew_has_changed_nothing() -> None:
    assert parse(json.dumps(json.loads(FILE)).encode()) == PLAN


@given(cut=st.integers(0, len(FILE) - 2))
def test_what_was_cut_off_is_no_plan(cut: int) -> None:
    with pytest.raises(SavedPlanError):
        parse(FILE[:cut])


@given(at=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255))
def test_no_byte_can_be_changed_unseen(at: int, byte: int) -> None:
    data = FILE[:at] + bytes([byte]) + FILE[at + 1 :]
    try:
        found = parse(data)
    except SavedPlanError:
        return
    assert found == PLAN, "white space at most"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"- hosts: all\n", b"{}", b"all: {hosts: {a: }}", b"\xff\xfe", b"[]"),
        b'# see "aegis-provision/saved-plan/v1"\n- hosts: all\n',
    ],
)
def test_other_files_do_not_mean_to_be_one(data: bytes) -> None:
    assert not is_saved_plan(data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "aegis-provision/saved-plan/v2"}, "another version"),
        ({"seal": "0" * 64}, "was edited"),
        ({"hosts": []}, "was edited"),
        ({"seal": None}, '"seal" is not text'),
    ],
)
def test_the_reason_is_reported(change: dict[str, object], says: str) -> None:
    with pytest.raises(SavedPlanError, match=says):
        parse(json.dumps({**json.loads(FILE), **change}).encode())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"left_out": [{"host": "a", "action": "update", "reason": ""}]}, 'can\'t be "update"'),
        ({"inventories": [{"path": "a\0", "absolute": "/a"}]}, '"path" is no path'),
        ({"playbook": {"path": "", "absolute": "/a"}}, '"path" is no path'),
        ({"salt": "00"}, '"salt" is no salt'),
        ({"made": "9999-12-31T23:59:59-14:00"}, '"made" is no time'),
        ({"made": "2026-11-25T12:00:00"}, '"made" is no time'),
    ],
)
def test_a_plan_that_can_not_be_is_refused_though_it_is_sealed(
    change: dict[str, object], says: str
) -> None:
    content = {**json.loads(FILE), **change}
    del content["seal"]
    sealed = json.dumps(content, sort_keys=True).encode()
    content["seal"] = hashlib.sha256(sealed).hexdigest()
    with pytest.raises(SavedPlanError, match=says):
        parse(json.dumps(content).encode())


def test_two_plans_differ_where_anything_in_them_does() -> None:
    assert dump(replace(PLAN, salt=bytes([1] * 16))) != FILE
