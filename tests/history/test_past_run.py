"""Reading a record: any content becomes a value, which never says more than the record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.documents.json_codec import json_line
from aegis_provision.history.past_run import DamagedRun, PastRun, RunStatus, parse_run
from aegis_provision.history.run_header import RunKind, header_lines, parse_header
from aegis_provision.history.runs import parse_summary, summary_of
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.playbook.plays import (
    Schedule,
    ScheduledPlay,
)
from aegis_provision.rollout.events import BatchStarted, HostFinished, PlayStarted
from aegis_provision.rollout.results import INTERRUPTED_EXIT_CODE, HostResult, Status
from tests.history.fleet import HOSTS, RUN, header
from tests.history.record_lines import FINISHED_RUN, end, finished, line, write
from tests.playbook.strategies import PLAYS

HEADER = header_lines(header())


def _parsed(data: bytes, *, held: bool = False) -> PastRun:
    past = parse_run(RUN, data, held=held)
    assert isinstance(past, PastRun), past
    return past


@pytest.mark.slow
def test_every_cut_is_the_run_up_to_its_last_whole_line() -> None:
    whole = HEADER + FINISHED_RUN
    for cut in range(len(HEADER), len(whole)):
        lines = whole[:cut].rpartition(b"\n")[0] + b"\n"
        past = _parsed(whole[:cut])
        assert past == _parsed(lines)
        assert past.status is RunStatus.CRASHED
    assert _parsed(whole).status is RunStatus.FINISHED


def test_a_cut_header_is_damage() -> None:
    for cut in range(len(HEADER)):
        assert parse_run(RUN, HEADER[:cut], held=False) == DamagedRun(
            RUN, "line 1: the header is not whole"
        )


@settings(deadline=None)
@given(st.integers(0, len(FINISHED_RUN.splitlines())), st.booleans())
def test_what_a_later_version_adds_is_passed_over(position: int, held: bool) -> None:
    lines = FINISHED_RUN.splitlines(keepends=True)
    unknown = json_line({"event": "telepathy", "at": "2026-11-25T10:15:00.250Z", "host": 7})
    richer = [json_line({**json.loads(line), "new": {"deep": [1]}}) for line in lines]
    data = HEADER + b"".join((*richer[:position], unknown, *richer[position:]))
    assert _parsed(data, held=held) == _parsed(HEADER + FINISHED_RUN, held=held)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"\0\0\0", "it is no JSON"),
        (b"", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"7", "it is no object"),
        (b"{}", '"event" is not text'),
        (json_line({**write("a"), "at": "noon"})[:-1], '"at" is no time'),
        (json_line({**write("a"), "at": "2026-11-25T10:15:00"})[:-1], '"at" is no time'),
        (json_line(write("elsewhere"))[:-1], "the host is not one of the schedule's"),
        (json_line({**write("a"), "change": "x"})[:-1], '"change" is no object'),
        (
            json_line(finished("a", Status.APPLIED)).replace(b"applied", b"splendid")[:-1],
            '"status" is a word that this version does not know',
        ),
        (
            json_line(line(PlayStarted(2)))[:-1],
            "there is no such play",
        ),
        (
            json_line(line(HostFinished(-1, HostResult("a", Status.APPLIED))))[:-1],
            "there is no such play",
        ),
        (
            json_line(line(BatchStarted(0, 1, ())))[:-1],
            "there is no such batch",
        ),
        (HEADER.splitlines()[1], "the run began twice"),
    ],
)
def test_damage_has_a_place_and_a_reason(damage: bytes, reason: str) -> None:
    data = HEADER + json_line(write("a")) + damage + b"\n" + json_line(end())
    assert parse_run(RUN, data, held=False) == DamagedRun(RUN, f"line 4: {reason}")


def test_a_later_format_is_not_guessed_at() -> None:
    data = HEADER.replace(b"run/v2", b"run/v3") + FINISHED_RUN
    assert parse_run(RUN, data, held=False) == DamagedRun(
        RUN, "line 1: a newer version of the tool wrote it"
    )


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_the_reader_fail(data: bytes, with_header: bool) -> None:
    found = parse_run(RUN, HEADER * with_header + data, held=False)
    assert isinstance(found, PastRun | DamagedRun)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.data())
def test_no_field_makes_the_reader_fail(data: st.DataObject) -> None:
    lines = [json.loads(line) for line in (HEADER + FINISHED_RUN).splitlines()]
    line = data.draw(st.sampled_from(lines))
    line[data.draw(st.sampled_from(sorted(line)))] = data.draw(_JSON)
    found = parse_run(RUN, b"".join(json_line(item) for item in lines), held=False)
    assert isinstance(found, PastRun | DamagedRun)


def test_a_finished_run_is_summarised_from_its_two_ends() -> None:
    whole = HEADER + FINISHED_RUN
    lines = whole.splitlines()
    assert parse_summary(lines[0], lines[-1]) == summary_of(_parsed(whole))
    assert parse_summary(lines[0], lines[-2]) is None


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, RunStatus.FINISHED),
        (4, RunStatus.FINISHED),
        (129, RunStatus.FINISHED),
        (130, RunStatus.INTERRUPTED),
        (131, RunStatus.FINISHED),
    ],
)
def test_a_run_that_was_stopped_is_interrupted(code: int, status: RunStatus) -> None:
    assert ExitCode.INTERRUPTED == INTERRUPTED_EXIT_CODE
    whole = HEADER + json_line(end(code))
    first, *_, last = whole.splitlines()
    found = parse_summary(first, last)
    assert found is not None
    assert (found.status, _parsed(whole).status) == (status, status)


def test_hosts_without_an_end_are_counted_as_unknown() -> None:
    past = _parsed(HEADER + json_line(finished("a", Status.APPLIED)))
    assert past.counts == {"applied": 1, "unknown": len(HOSTS) - 1}


_BATCHES = st.lists(st.lists(st.sampled_from(HOSTS), max_size=3).map(tuple), max_size=3).map(tuple)
_SCHEDULES = st.lists(st.builds(ScheduledPlay, PLAYS, _BATCHES), max_size=3).map(tuple)


@settings(max_examples=50, deadline=None)
@given(_SCHEDULES, st.sampled_from(RunKind), st.none() | st.text(), st.text())
def test_a_header_comes_back_as_it_was(
    plays: tuple[ScheduledPlay, ...], kind: RunKind, other: str | None, limit: str
) -> None:
    """A later rollback passes the very gates of the run that it undoes."""
    given_ = replace(
        header(),
        schedule=Schedule(plays),
        kind=kind,
        undoes=other,
        retries=other,
        limit=limit,
        playbook=None if other else header().playbook,
    )
    assert parse_header(header_lines(given_).splitlines()) == (given_, False)
