"""Events are written as JSON once, and come back as they were."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.documents.json_codec import DecodeError, json_line
from aegis_provision.playbook.plays import (
    Gates,
    Play,
    Schedule,
    ScheduledPlay,
    Verify,
)
from aegis_provision.rollout.events import (
    CODEC,
    REPORTS,
    BatchStarted,
    BudgetSpent,
    ConnectRetried,
    Event,
    FileChange,
    FileDigest,
    HostFinished,
    HostRestarted,
    HostRolledBack,
    HostWritten,
    KeysAccepted,
    PauseStarted,
    PlayStarted,
    ReadingStarted,
    RunFinished,
    RunStarted,
    Step,
    StepStarted,
    StopRequested,
    WriteBegun,
    decode_event,
    encode_event,
)
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.transport.connect_options import AcceptedKey
from tests.playbook.strategies import PLAYS

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = st.text(max_size=8)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_WHOLE = st.integers(0, 1000)
_SECONDS = st.floats(0, 86_400)
_FILES = st.none() | st.builds(FileDigest, _TEXT, _TEXT, _WHOLE, _WHOLE)
_RESULTS = st.builds(
    HostResult, _TEXT, st.sampled_from(Status), _TEXT, _TEXT, _TEXTS, st.booleans(), st.booleans()
)
_SCHEDULES = st.builds(
    Schedule,
    st.lists(
        st.builds(ScheduledPlay, PLAYS, st.lists(_TEXTS, max_size=3).map(tuple)), max_size=3
    ).map(tuple),
)
_EVENTS: dict[type[Event], st.SearchStrategy[Event]] = {
    ReadingStarted: st.builds(ReadingStarted, _WHOLE),
    KeysAccepted: st.builds(
        KeysAccepted,
        _TEXT,
        st.lists(st.builds(AcceptedKey, _TEXT, _TEXT, _TEXT), max_size=2).map(tuple),
    ),
    ConnectRetried: st.builds(ConnectRetried, _TEXT, _WHOLE, _TEXT, _SECONDS),
    RunStarted: st.builds(RunStarted, _TEXT, _SCHEDULES, st.just(())),
    PlayStarted: st.builds(PlayStarted, _WHOLE),
    BatchStarted: st.builds(BatchStarted, _WHOLE, _WHOLE, _TEXTS),
    StepStarted: st.builds(StepStarted, _TEXT, st.sampled_from(Step), _TEXT),
    WriteBegun: st.builds(WriteBegun, _TEXT, st.builds(FileChange, _FILES, _FILES, _TEXTS)),
    HostWritten: st.builds(HostWritten, _TEXT),
    HostRestarted: st.builds(HostRestarted, _TEXT),
    HostRolledBack: st.builds(HostRolledBack, _TEXT),
    HostFinished: st.builds(HostFinished, st.none() | _WHOLE, _RESULTS),
    PauseStarted: st.builds(PauseStarted, _SECONDS),
    BudgetSpent: st.builds(BudgetSpent, _WHOLE, _TEXT, _TEXTS),
    StopRequested: st.builds(StopRequested, _WHOLE),
    RunFinished: st.builds(RunFinished, st.just(()), _WHOLE),
}


@settings(max_examples=400, deadline=None)
@given(st.one_of(*_EVENTS.values()))
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(json.loads(json_line(encode_event(event)))) == event


def test_every_event_of_a_run_is_tried() -> None:
    assert set(Event.__args__) - set(REPORTS) == _EVENTS.keys()


@pytest.mark.parametrize("kind", _EVENTS, ids=lambda kind: kind.__name__)
def test_a_field_that_is_missing_or_of_another_type_is_an_error(kind: type[Event]) -> None:
    @settings(max_examples=20, deadline=None)
    @given(_EVENTS[kind])
    def law(event: Event) -> None:
        content = json.loads(json_line(encode_event(event)))
        for key in content.keys() - {"event"}:
            with pytest.raises(DecodeError):
                decode_event({**content, key: {"of": "another type"}})

    law()


def test_what_is_not_an_event_of_this_version_is_none() -> None:
    assert decode_event({"event": "telepathy"}) is None


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (
            StepStarted("a", Step.WAIT_FOR_SESSIONS, "2 sessions running"),
            {
                "event": "step_started",
                "host": "a",
                "step": "wait_for_sessions",
                "detail": "2 sessions running",
            },
        ),
        (
            WriteBegun("a", FileChange(None, FileDigest("hmac-sha256:00", "0600", 1, 2), ("T",))),
            {
                "event": "write_begun",
                "host": "a",
                "change": {
                    "before": None,
                    "after": {"digest": "hmac-sha256:00", "mode": "0600", "uid": 1, "gid": 2},
                    "secrets": ["T"],
                },
            },
        ),
        (
            HostFinished(None, HostResult("a", Status.REFUSED, "m", "h", ("w",), locked=True)),
            {
                "event": "host_finished",
                "play": None,
                "result": {
                    "host": "a",
                    "status": "refused",
                    "message": "m",
                    "hint": "h",
                    "warnings": ["w"],
                    "locked": True,
                    "passed": True,
                },
            },
        ),
        (
            RunFinished((HostResult("a", Status.APPLIED), HostResult("b", Status.FAILED)), 4),
            {"event": "run_finished", "exit_code": 4},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_records_hold(event: Event, content: dict[str, object]) -> None:
    """Later versions read it."""
    assert encode_event(event) == content


def test_no_gate_is_forgotten() -> None:
    """A gate that is added to the playbook must find its way into the record."""
    play = Play("", "all", gates=Gates(verify=Verify()))
    content = CODEC.encode(play)
    names: Callable[[type], set[str]] = lambda kind: {item.name for item in fields(kind)}  # noqa: E731
    assert {name for name in names(Play) if not name.endswith("span")} == content.keys()
    assert names(Gates) == content["gates"].keys()
    assert names(Verify) == content["gates"]["verify"].keys()


def test_what_earlier_versions_did_not_record_is_as_it_was_then() -> None:
    result = {"host": "a", "status": "applied", "message": "", "hint": "", "warnings": []}
    line = {"event": "host_finished", "play": 0, "result": {**result, "locked": False}}
    assert decode_event(line) == HostFinished(0, HostResult("a", Status.APPLIED))
