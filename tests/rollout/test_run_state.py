"""What is known of a run: the numbers always add up, and a record says the same as the run."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.history.past_run import PastRun
from aegis_provision.history.run_record import open_record
from aegis_provision.history.runs import read_run
from aegis_provision.playbook.plays import Schedule
from aegis_provision.rollout.events import (
    FileChange,
    HostFinished,
    HostWritten,
    ReadingStarted,
    RunStarted,
    Step,
    StepStarted,
)
from aegis_provision.rollout.host_run_state import StepSpan, cut_off
from aegis_provision.rollout.results import FAILURES, HostResult, Status
from aegis_provision.rollout.run_state import (
    PersistentMap,
    Phase,
    RunState,
    RunTracker,
    progress,
    reduce,
    tallies,
)
from tests.history.fleet import STARTED, header, state_dir_in, write_of
from tests.report.runs import RUN, hosts, plan, play, runs, simulate_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.report.runs import SimulatedRun


def _states(run: SimulatedRun) -> Iterator[RunState]:
    return accumulate(
        run.events, lambda state, entry: reduce(state, entry[1], entry[0]), initial=RunState()
    )


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_the_hosts_of_a_play_add_up_at_any_moment(run: SimulatedRun) -> None:
    for state in _states(run):
        for index, tally in enumerate(tallies(state)):
            flying = state.in_flight if index == state.play else 0
            hosts_of_play = len(run.schedule.plays[index].hosts)
            ended = sum(tally.counts.values())
            assert ended + tally.left_out + tally.waiting + flying == hosts_of_play


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_every_host_ends_once_per_play_or_is_left_out_of_it(run: SimulatedRun) -> None:
    *_, state = _states(run)
    finished = Counter(
        (event.play, event.result.host) for _, event in run.events if type(event) is HostFinished
    )
    assert set(finished.values()) <= {1}
    for index, tally in enumerate(tallies(state)):
        assert not tally.waiting
        ended = {host.host for host in state.hosts.values() if index in host.results}
        assert ended == {host for at, host in finished if at == index}
        assert sum(tally.counts.values()) + tally.left_out == len(run.schedule.plays[index].hosts)


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_progress_never_goes_back_and_ends_complete(run: SimulatedRun) -> None:
    seen = [progress(state) for state in _states(run) if state.schedule is not None]
    assert all(0 <= done <= total for done, total in seen)
    assert all(before[0] <= after[0] for before, after in pairwise(seen))
    assert seen[-1][0] == seen[-1][1]


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_the_failed_are_those_that_count_against_the_budget(run: SimulatedRun) -> None:
    *_, state = _states(run)
    failed = {
        event.result.host
        for _, event in run.events
        if type(event) is HostFinished and event.result.status in FAILURES
    }
    assert state.failed == len(failed)
    assert not state.in_flight
    assert not state.flying


def test_a_step_is_timed_apart_from_the_host() -> None:
    state = reduce(RunState(), RunStarted("run", Schedule((play("", ["a"]),)), (plan("a"),)), 0.0)
    state = reduce(state, StepStarted("a", Step.WRITE), 1.0)
    state = reduce(state, StepStarted("a", Step.WAIT_FOR_SESSIONS, "2 sessions"), 3.0)
    (host,) = state.flying
    assert host.begun == 1.0
    assert host.spans == (
        StepSpan(0, Step.WRITE, "", 1.0, 3.0),
        StepSpan(0, Step.WAIT_FOR_SESSIONS, "2 sessions", 3.0),
    )


def test_a_host_that_fails_in_two_plays_counts_once() -> None:
    schedule = Schedule((play("a", ["h"]), play("b", ["h"])))
    state = reduce(RunState(), RunStarted("run", schedule, (plan("h"),)), 0.0)
    for index in (0, 1):
        state = reduce(state, HostFinished(index, HostResult("h", Status.FAILED)), 1.0)
    assert state.failed == 1


def test_a_reading_begins_anew() -> None:
    run = simulate_run(Schedule((play("", hosts(2)),)), lambda *_: Status.APPLIED)
    *_, state = _states(run)
    assert state.phase is Phase.OVER
    assert reduce(state, ReadingStarted(3), 9.0) == RunState(
        Phase.READING, since=9.0, last=9.0, total=3
    )


@given(run=runs(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_record_says_the_same_as_the_run(run: SimulatedRun, share: float) -> None:
    """Wherever it breaks off: but for the plans, which hold values."""
    first = next(at for at, entry in enumerate(run.events) if isinstance(entry[1], RunStarted))
    events = run.events[first : first + 1 + int((len(run.events) - first) * share)]
    now = STARTED.timestamp()
    with TemporaryDirectory() as root:
        directory = state_dir_in(Path(root))
        head = replace(header(RUN), schedule=run.schedule)
        with open_record(directory, head, clock=lambda: now) as record:
            tracker = RunTracker(lambda: now)
            for at, event in events:
                now = STARTED.timestamp() + at
                if isinstance(event, HostWritten):
                    tracker(
                        record.before_write(
                            event.host, FileChange.of(write_of(event.host), record.digest)
                        )
                    )
                record(event)
                tracker(event)
        past = read_run(directory, RUN)
    live = tracker.state
    hosts_now = PersistentMap.of((host.host, cut_off(host)) for host in live.hosts.values())
    assert isinstance(past, PastRun), past
    assert past.state == live._replace(plans={}, hosts=hosts_now)
    assert past.state.hosts == hosts_now


_ENTRIES = st.dictionaries(st.integers(), st.text(max_size=3), max_size=250)


@settings(deadline=None)
@given(_ENTRIES, st.lists(st.tuples(st.integers(0, 260), st.text(max_size=3)), max_size=20))
def test_a_persistent_map_is_what_a_dict_is(
    entries: dict[int, str], changes: list[tuple[int, str]]
) -> None:
    found, expected = PersistentMap.of(entries.items()), dict(entries)
    states = [(found, dict(expected))]
    for key, value in changes:
        found = found.replaced(key, value)
        expected[key] = value
        states.append((found, dict(expected)))
    for state, content in states:
        assert state == content
        assert list(state.items()) == list(content.items())
        assert len(state) == len(content)
        assert all(state.get(key) == content.get(key) for key in range(-1, 261))


def test_copies_of_a_map_share_what_did_not_change() -> None:
    state = PersistentMap.of((number, 0) for number in range(10_000))
    tracemalloc.start()
    states = [state.replaced(number, 1) for number in range(100)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(states) == 100
    assert used < 100 * 4096  # ten thousand references alone are 80,000 bytes
