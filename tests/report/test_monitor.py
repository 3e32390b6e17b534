"""What is known of a run while it goes on: the numbers always add up."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Gates, Restart, Schedule
from aegis_provision.report.run_state import (
    Phase,
    RunState,
    estimate,
    progress,
    reduce,
    tallies,
)
from aegis_provision.rollout.events import (
    BudgetSpent,
    HostFinished,
    PauseStarted,
    ReadingStarted,
    RunStarted,
    Step,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import FAILURES, HostResult, Status
from tests.report.runs import carried_out, hosts, plan, play, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.report.runs import Told


def _states(told: Told) -> Iterator[RunState]:
    return accumulate(
        told.events, lambda state, entry: reduce(state, entry[1], entry[0]), initial=RunState()
    )


def _after(told: Told, wanted: type, count: int = 1) -> tuple[RunState, float]:
    state = RunState()
    for at, event in told.events:
        state = reduce(state, event, at)
        count -= isinstance(event, wanted)
        if not count:
            return state, at
    raise AssertionError(wanted)


@given(told=runs())
@settings(max_examples=60, deadline=None)
def test_the_hosts_of_a_play_add_up_at_any_moment(told: Told) -> None:
    for state in _states(told):
        for index, tally in enumerate(tallies(state)):
            flying = len(state.in_flight) if index == state.play else 0
            hosts_of_play = len(told.schedule.plays[index].hosts)
            ended = sum(tally.counts.values())
            assert ended + tally.left_out + tally.waiting + flying == hosts_of_play


@given(told=runs())
@settings(max_examples=60, deadline=None)
def test_every_host_ends_once_per_play_or_is_left_out_of_it(told: Told) -> None:
    *_, state = _states(told)
    finished = Counter(
        (event.play, event.result.host) for _, event in told.events if type(event) is HostFinished
    )
    assert set(finished.values()) <= {1}
    for index, tally in enumerate(tallies(state)):
        assert not tally.waiting
        assert set(state.ended[index]) == {host for at, host in finished if at == index}
        assert sum(tally.counts.values()) + tally.left_out == len(told.schedule.plays[index].hosts)


@given(told=runs())
@settings(max_examples=60, deadline=None)
def test_progress_never_goes_back_and_ends_complete(told: Told) -> None:
    seen = [progress(state) for state in _states(told) if state.schedule is not None]
    assert all(0 <= done <= total for done, total in seen)
    assert all(before[0] <= after[0] for before, after in pairwise(seen))
    assert seen[-1][0] == seen[-1][1]


@given(told=runs())
@settings(max_examples=60, deadline=None)
def test_the_failed_are_those_that_count_against_the_budget(told: Told) -> None:
    *_, state = _states(told)
    assert state.failed == {
        event.result.host
        for _, event in told.events
        if type(event) is HostFinished and event.result.status in FAILURES
    }
    assert not state.in_flight


@given(told=runs(), forks=st.none() | st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_an_estimate_is_never_negative_and_nothing_is_left_at_the_end(
    told: Told, forks: int | None
) -> None:
    state = RunState()
    for at, event in told.events:
        rest = estimate(state, at, forks)
        assert rest is None or rest >= 0
        state = reduce(state, event, at)
    assert estimate(state, told.events[-1][0], forks) in (None, 0)


def test_an_estimate_counts_the_waves_that_are_left() -> None:
    told = carried_out(
        Schedule((play("", hosts(10)),)), lambda *_: Status.APPLIED, forks=2, seconds=5.0
    )
    state, at = _after(told, HostFinished, 2)
    assert estimate(state, at, 2) == pytest.approx(4 * 10)
    assert estimate(state, at) == pytest.approx(4 * 10)  # two were seen at once


def test_an_estimate_counts_batches_and_the_pauses_between_them() -> None:
    names = hosts(9)
    schedule = Schedule((play("", names[:1], names[1:5], names[5:], pause=30.0),))
    told = carried_out(schedule, lambda *_: Status.APPLIED, forks=4, seconds=5.0)
    state, at = _after(told, HostFinished)
    assert estimate(state, at, 4) == pytest.approx(30 + 10 + 30 + 10)
    state, at = _after(told, PauseStarted)
    assert estimate(state, at + 10, 4) == pytest.approx(20 + 10 + 30 + 10)


def test_a_host_under_way_takes_what_is_left_of_the_average() -> None:
    told = carried_out(
        Schedule((play("", hosts(2)),)), lambda *_: Status.APPLIED, forks=1, seconds=5.0
    )
    state, at = _after(told, StepStarted, 3)
    assert estimate(state, at + 4, 1) == pytest.approx(6)
    assert estimate(state, at + 60, 1) == 0


def test_hosts_with_nothing_to_do_take_no_time() -> None:
    names = hosts(3)
    plans = {names[0]: plan(names[0])} | {name: plan(name, Action.UNCHANGED) for name in names[1:]}
    told = carried_out(
        Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans, forks=1
    )
    state, at = _after(told, HostFinished)
    assert estimate(state, at, 1) == 0


def test_nothing_is_estimated_for_gates_that_no_host_has_passed() -> None:
    names = hosts(4)
    schedule = Schedule(
        (play("a", names[:2]), play("b", names[2:], gates=Gates(restart=Restart.ALWAYS)))
    )
    told = carried_out(schedule, lambda *_: Status.APPLIED, forks=1)
    state, at = _after(told, HostFinished)
    assert estimate(state, at, 1) is None
    state, at = _after(told, HostFinished, 3)
    assert estimate(state, at, 1) == pytest.approx(4)


@pytest.mark.parametrize("event", [StopRequested(1), BudgetSpent(0, "3 of 4 failed", ("a",))])
def test_nothing_is_estimated_for_a_run_that_is_being_stopped(
    event: StopRequested | BudgetSpent,
) -> None:
    told = carried_out(Schedule((play("", hosts(4)),)), lambda *_: Status.APPLIED, forks=1)
    state, at = _after(told, HostFinished)
    assert estimate(state, at, 1) is not None
    assert estimate(reduce(state, event, at), at, 1) is None


def test_a_step_is_timed_apart_from_the_host() -> None:
    state = reduce(RunState(), RunStarted("run", Schedule((play("", ["a"]),)), (plan("a"),)), 0.0)
    state = reduce(state, StepStarted("a", Step.WRITE), 1.0)
    state = reduce(state, StepStarted("a", Step.WAIT_FOR_SESSIONS, "2 sessions"), 3.0)
    flying = state.in_flight["a"]
    assert (flying.begun, flying.since) == (1.0, 3.0)
    assert (flying.step, flying.detail) == (Step.WAIT_FOR_SESSIONS, "2 sessions")


def test_a_host_that_fails_in_two_plays_counts_once() -> None:
    schedule = Schedule((play("a", ["h"]), play("b", ["h"])))
    state = reduce(RunState(), RunStarted("run", schedule, (plan("h"),)), 0.0)
    for index in (0, 1):
        state = reduce(state, HostFinished(index, HostResult("h", Status.FAILED)), 1.0)
    assert state.failed == {"h"}


def test_a_reading_begins_anew() -> None:
    told = carried_out(Schedule((play("", hosts(2)),)), lambda *_: Status.APPLIED)
    *_, state = _states(told)
    assert state.phase is Phase.OVER
    assert reduce(state, ReadingStarted(3), 9.0) == RunState(Phase.READING, since=9.0, total=3)
