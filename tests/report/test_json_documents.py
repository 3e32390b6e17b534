"""Documents and event lines: each is what its published schema says, and nothing besides."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from aegis_provision.aegis.sessions import RunningSession
from aegis_provision.diagnosis.checks import Check, CheckResult, HostChecks
from aegis_provision.diagnosis.host_checks import RESTS_ON
from aegis_provision.documents.json_codec import moment_at
from aegis_provision.packaged_files import load_schema
from aegis_provision.planning.plan import Action
from aegis_provision.planning.receipts import WriteInfo
from aegis_provision.planning.status import HostState, HostStatus, ProviderMatch, TokenState
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report.apply_report import apply_document
from aegis_provision.report.doctor_report import doctor_document
from aegis_provision.report.json_documents import as_text
from aegis_provision.report.ndjson import EventStream, event_content
from aegis_provision.report.plan_report import plan_document, schedule_document
from aegis_provision.report.session_report import listing_document, session_document
from aegis_provision.report.status_report import status_document
from aegis_provision.rollout.events import (
    BudgetSpent,
    ConnectRetried,
    Event,
    FileChange,
    HostChecked,
    HostDiagnosed,
    HostFinished,
    HostPlanned,
    HostRolledBack,
    KeysAccepted,
    RunFinished,
    RunStarted,
    SessionReported,
    SessionsListed,
    Step,
    StepStarted,
    StopRequested,
    WriteBegun,
)
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.rollout.session_results import (
    SessionListing,
    SessionResult,
    SessionStatus,
)
from aegis_provision.transport.connect_options import AcceptedKey
from tests.report.runs import RUN, hosts, plan, play, runs, simulate_run
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.report.status_report import By
    from tests.report.runs import SimulatedRun

NOON = 1795608000.5
PLANS = (
    plan("a"),
    plan("b", Action.UNCHANGED, restart_pending=True),
    plan("c", Action.ERROR, message="broken", hint="mend it", warnings=("look out",)),
)
RESULTS = tuple(HostResult(f"h{number}", status) for number, status in enumerate(Status))
SCHEDULE = Schedule((play("first", ["a"], ["b", "c"]), play("", [])))
STATUSES = (
    HostStatus("a", "/x", "glm", (HostState.UNREACHABLE,), message="broken", hint="mend it"),
    HostStatus(
        "b",
        "/x",
        "glm",
        (HostState.DRIFTED, HostState.PENDING, HostState.RESTART_PENDING),
        ("API_TIMEOUT_MS", "file.mode"),
        ("EXTRA",),
        wrote=WriteInfo(RUN, datetime(2026, 11, 25, 10, 15, tzinfo=UTC), "0.4.0"),
        current_provider="other",
        tokens={held.name: held for held in TokenState},
    ),
    *(
        HostStatus("c", "/x", "ollama", (state,), current_provider=ProviderMatch.OTHER)
        for state in HostState
    ),
)
SESSIONS = tuple(
    SessionResult("a", status, "id", "name", "/w", "why", "what to do", ("mind",))
    for status in SessionStatus
    if status is not SessionStatus.LISTED
)
LISTING = SessionListing(
    "a",
    SessionStatus.LISTED,
    (RunningSession("1", "n", "idle", 1e9, "/w", 1e9), RunningSession("2", "", "", 1e300)),
    2,
    1e9,
)
DIAGNOSES = (
    HostChecks("a", (Check("port", CheckResult.FAIL, "nothing listens there", "look"),)),
    HostChecks("b", tuple(Check(result.value, result) for result in CheckResult)),
    HostChecks("c", (Check("name", CheckResult.OK),)),
)
RARE: tuple[Event, ...] = (
    HostPlanned(PLANS[2]),
    HostChecked(STATUSES[1]),
    SessionReported(SESSIONS[0]),
    SessionsListed(LISTING),
    HostDiagnosed(DIAGNOSES[0]),
    KeysAccepted("a", (AcceptedKey("a", "ssh-ed25519", "SHA256:abc"),)),
    ConnectRetried("a", 2, "connect: nothing listens there", 0.4),
    BudgetSpent(0, "3 of 4 hosts failed, 2 are allowed", ("a", "b", "c")),
    StopRequested(2),
    HostRolledBack("a"),
    *(StepStarted("a", step, "more") for step in Step),
    *(HostFinished(0, result) for result in RESULTS),
)


def _lines(events: Sequence[Event]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    tell = EventStream(stream, clock=lambda: NOON)
    for event in events:
        tell(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_plan_is_what_its_schema_says() -> None:
    check_document("plan", plan_document(PLANS))


def test_a_run_is_what_its_schema_says() -> None:
    check_document("apply", apply_document(RUN, RESULTS, 4))


@pytest.mark.parametrize("by", [None, "provider", "secret"])
def test_a_status_is_what_its_schema_says(by: By | None) -> None:
    content = status_document(STATUSES, by)
    check_document("status", content)
    stream = io.StringIO()
    EventStream(stream, clock=lambda: NOON).status_finished(STATUSES, by)
    last = json.loads(stream.getvalue())
    check_document("event", last)
    assert {**last, **content, "event": None, "at": None}.keys() == {*content, "event", "at"}


def test_a_diagnosis_is_what_its_schema_says() -> None:
    content = doctor_document(DIAGNOSES)
    check_document("doctor", content)
    assert content["summary"] == {"ok": 1, "warn": 0, "fail": 2}
    assert check_names() == list(RESTS_ON)
    stream = io.StringIO()
    EventStream(stream, clock=lambda: NOON).doctor_finished(content)
    last = json.loads(stream.getvalue())
    check_document("event", last)
    assert {**last, **content, "event": None, "at": None}.keys() == {*content, "event", "at"}


def check_names() -> list[str]:
    names: list[str] = load_schema("doctor")["$defs"]["check"]["properties"]["check"]["examples"]
    return names


def test_a_provider_that_is_called_like_a_word_of_ours_is_counted_by_its_name() -> None:
    counted = status_document(STATUSES, "provider")["providers"]
    assert {"provider": "other", "hosts": 1, "wanted": 0} in counted["named"]
    assert (counted["other"], counted["unknown"]) == (len(HostState), 1)


def test_a_schedule_is_what_its_schema_says() -> None:
    check_document("schedule", schedule_document(SCHEDULE))


def test_sessions_are_what_their_schemas_say() -> None:
    content, listed = session_document(SESSIONS, 4), listing_document([LISTING], 0)
    check_document("session", content)
    check_document("sessions", listed)
    assert listed["hosts"][0]["sessions"][0]["created"] == "2001-09-09T01:46:40Z"
    assert listed["hosts"][0]["sessions"][1]["last_activity"] is None
    stream = io.StringIO()
    tell = EventStream(stream, clock=lambda: NOON)
    tell.session_finished(content)
    tell.sessions_finished(listed)
    for line, whole in zip(stream.getvalue().splitlines(), (content, listed), strict=True):
        check_document("event", json.loads(line))
        assert json.loads(line).keys() == {*whole, "event", "at"}


@pytest.mark.parametrize("event", RARE, ids=lambda event: type(event).__name__)
def test_an_event_is_what_its_schema_says(event: Event) -> None:
    (line,) = _lines([event])
    check_document("event", line)


@given(run=runs())
@settings(max_examples=15, deadline=None)
def test_every_line_of_a_run_is_what_the_schema_says(run: SimulatedRun) -> None:
    for line in _lines([event for _, event in run.events]):
        check_document("event", line)


def test_every_event_has_a_line() -> None:
    run = simulate_run(
        Schedule((play("", hosts(1), hosts(1, "other"), pause=1.0),)), lambda *_: Status.APPLIED
    )
    events = [event for _, event in run.events] + list(RARE)
    seen = {type(event) for event in events if event_content(event)}
    assert seen == set(Event.__args__) - {WriteBegun}
    assert event_content(WriteBegun("a", FileChange(None, None))) is None


@pytest.mark.parametrize("kind", ["plan", "apply", "schedule", "session", "sessions", "doctor"])
def test_the_schemas_agree_about_what_they_share(kind: str) -> None:
    event, other = load_schema("event")["$defs"], load_schema(kind)["$defs"]
    assert {name: event[name] for name in other} == other


def test_the_last_line_of_a_run_holds_the_whole_document() -> None:
    line = _lines([RunStarted(RUN, Schedule(()), ()), RunFinished(RESULTS, 4)])[-1]
    whole = apply_document(RUN, RESULTS, 4)
    assert line == {
        "schema": "aegis-provision/event/v1",
        "event": "run_finished",
        "at": "2026-11-25T12:00:00.500Z",
        **{key: value for key, value in whole.items() if key != "schema"},
    }


def test_the_last_line_of_a_plan_holds_the_whole_document() -> None:
    stream = io.StringIO()
    EventStream(stream, clock=lambda: NOON).plan_finished(PLANS)
    line = json.loads(stream.getvalue())
    check_document("event", line)
    assert line["hosts"] == plan_document(PLANS)["hosts"]


def test_a_sensitive_change_has_no_value_on_either_side() -> None:
    (line,) = _lines([HostPlanned(PLANS[0])])
    secret = next(change for change in line["changes"] if change["sensitive"])
    assert secret == {
        "key": "ANTHROPIC_AUTH_TOKEN",
        "change": "added",
        "before": None,
        "after": None,
        "sensitive": True,
    }
    wrong = {**line, "changes": [{**secret, "after": "a token"}]}
    assert not Draft202012Validator(load_schema("event")).is_valid(wrong)


def test_an_event_is_written_out_the_moment_it_happens() -> None:
    class Seen(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Seen()
    EventStream(stream)(StopRequested(1))
    assert stream.flushed.endswith("}\n")


HOSTILE = "one\ntwo\u2028three\x1b[2J \x9b2J \u202eevil \U000e0041"


def test_what_a_host_says_breaks_no_line_and_drives_no_terminal() -> None:
    stream = io.StringIO()
    EventStream(stream)(HostFinished(0, HostResult("a", Status.FAILED, HOSTILE)))
    assert stream.getvalue().removesuffix("\n").isprintable()
    assert json.loads(stream.getvalue())["message"] == HOSTILE


def test_a_document_drives_no_terminal_either() -> None:
    text = as_text(apply_document(RUN, [HostResult("a", Status.FAILED, HOSTILE)], 4))
    assert text.replace("\n", "").isprintable()
    assert json.loads(text)["hosts"][0]["message"] == HOSTILE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (NOON + 0.4999, "2026-11-25T12:00:00.999Z")],
)
def test_times_are_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert moment_at(seconds) == text
