"""How long the rest of a run will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Gates, Restart, Schedule
from aegis_provision.report.live_view import estimate
from aegis_provision.rollout.events import (
    BudgetSpent,
    HostFinished,
    PauseStarted,
    StepStarted,
    StopRequested,
)
from aegis_provision.rollout.results import Status
from aegis_provision.rollout.run_state import RunState, reduce
from tests.report.runs import hosts, plan, play, runs, simulate_run

if TYPE_CHECKING:
    from tests.report.runs import SimulatedRun


def _after(run: SimulatedRun, wanted: type, count: int = 1) -> tuple[RunState, float]:
    state = RunState()
    for at, event in run.events:
        state = reduce(state, event, at)
        count -= isinstance(event, wanted)
        if not count:
            return state, at
    raise AssertionError(wanted)


@given(run=runs(), forks=st.none() | st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_an_estimate_is_never_negative_and_nothing_is_left_at_the_end(
    run: SimulatedRun, forks: int | None
) -> None:
    state = RunState()
    for at, event in run.events:
        rest = estimate(state, at, forks)
        assert rest is None or rest >= 0
        state = reduce(state, event, at)
    assert estimate(state, run.events[-1][0], forks) in (None, 0)


def test_an_estimate_counts_the_waves_that_are_left() -> None:
    run = simulate_run(
        Schedule((play("", hosts(10)),)), lambda *_: Status.APPLIED, forks=2, seconds=5.0
    )
    state, at = _after(run, HostFinished, 2)
    assert estimate(state, at, 2) == pytest.approx(4 * 10)
    assert estimate(state, at) == pytest.approx(4 * 10)  # two were seen at once


def test_an_estimate_counts_batches_and_the_pauses_between_them() -> None:
    names = hosts(9)
    schedule = Schedule((play("", names[:1], names[1:5], names[5:], pause=30.0),))
    run = simulate_run(schedule, lambda *_: Status.APPLIED, forks=4, seconds=5.0)
    state, at = _after(run, HostFinished)
    assert estimate(state, at, 4) == pytest.approx(30 + 10 + 30 + 10)
    state, at = _after(run, PauseStarted)
    assert estimate(state, at + 10, 4) == pytest.approx(20 + 10 + 30 + 10)


def test_a_host_under_way_takes_what_is_left_of_the_average() -> None:
    run = simulate_run(
        Schedule((play("", hosts(2)),)), lambda *_: Status.APPLIED, forks=1, seconds=5.0
    )
    state, at = _after(run, StepStarted, 3)
    assert estimate(state, at + 4, 1) == pytest.approx(6)
    assert estimate(state, at + 60, 1) == 0


def test_hosts_with_nothing_to_do_take_no_time() -> None:
    names = hosts(3)
    plans = {names[0]: plan(names[0])} | {name: plan(name, Action.UNCHANGED) for name in names[1:]}
    run = simulate_run(
        Schedule((play("", names),)), lambda *_: Status.APPLIED, plans=plans, forks=1
    )
    state, at = _after(run, HostFinished)
    assert estimate(state, at, 1) == 0


def test_nothing_is_estimated_for_gates_that_no_host_has_passed() -> None:
    names = hosts(4)
    schedule = Schedule(
        (play("a", names[:2]), play("b", names[2:], gates=Gates(restart=Restart.ALWAYS)))
    )
    run = simulate_run(schedule, lambda *_: Status.APPLIED, forks=1)
    state, at = _after(run, HostFinished)
    assert estimate(state, at, 1) is None
    state, at = _after(run, HostFinished, 3)
    assert estimate(state, at, 1) == pytest.approx(4)


@pytest.mark.parametrize("event", [StopRequested(1), BudgetSpent(0, "3 of 4 failed", ("a",))])
def test_nothing_is_estimated_for_a_run_that_is_being_stopped(
    event: StopRequested | BudgetSpent,
) -> None:
    run = simulate_run(Schedule((play("", hosts(4)),)), lambda *_: Status.APPLIED, forks=1)
    state, at = _after(run, HostFinished)
    assert estimate(state, at, 1) is not None
    assert estimate(reduce(state, event, at), at, 1) is None
