"""A run put together from its events: every host in its batch, every step with its time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report.html_timeline import lanes, timeline_of
from aegis_provision.rollout.events import HostFinished, Step, StopRequested
from aegis_provision.rollout.host_run_state import StepSpan
from aegis_provision.rollout.results import SUCCESSES, Status
from tests.report.runs import hosts, plan, play, replay, runs, simulate_run

if TYPE_CHECKING:
    from tests.report.runs import SimulatedRun


@given(run=runs(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_every_host_of_every_play_has_its_row_however_far_the_run_came(
    run: SimulatedRun, share: float
) -> None:
    entries = run.events[: int(len(run.events) * share) + 1]
    timeline = timeline_of(replay(entries))
    if timeline.state.schedule is None:
        assert not timeline.batches
        return
    rows = [row for batch in timeline.batches for row in batch.rows]
    planned = [host for scheduled in run.schedule.plays for host in scheduled.hosts]
    assert [row.host for row in rows] == planned
    assert [row.number for row in rows] == list(range(len(planned)))
    ended = [event for _, event in entries if isinstance(event, HostFinished)]
    assert sum(row.result is not None for row in rows) == len(ended)


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_steps_follow_each_other_within_the_run_and_the_batch(run: SimulatedRun) -> None:
    timeline = timeline_of(replay(run.events))
    for batch in timeline.batches:
        for row in batch.rows:
            assert all(step.end is not None and step.start <= step.end for step in row.steps)
            assert all(one.end == two.start for one, two in pairwise(row.steps))
            if row.start is not None and row.end is not None:
                assert batch.start is not None
                assert batch.end is not None
                assert timeline.start <= batch.start <= row.start
                assert row.end <= batch.end <= timeline.end


@given(run=runs())
@settings(max_examples=60, deadline=None)
def test_no_two_bars_of_a_lane_overlap_and_none_is_lost(run: SimulatedRun) -> None:
    rows = [row for batch in timeline_of(replay(run.events)).batches for row in batch.rows]
    drawn = lanes(rows)
    for lane in drawn:
        assert all((one.end or 0) <= (two.start or 0) for one, two in pairwise(lane))
    found = sorted(row.number for lane in drawn for row in lane)
    assert found == [row.number for row in rows if row.steps]


def test_lanes_are_as_many_as_hosts_were_worked_on_at_once() -> None:
    run = simulate_run(Schedule((play("", hosts(40)),)), lambda *_: Status.APPLIED, forks=8)
    rows = [row for batch in timeline_of(replay(run.events)).batches for row in batch.rows]
    assert len(lanes(rows)) == 8


def test_a_host_that_is_passed_over_is_told_apart_from_one_not_begun() -> None:
    schedule = Schedule((play("a", ["x", "y"]), play("b", ["x", "y"])))
    run = simulate_run(schedule, lambda _, host: Status.FAILED if host == "x" else Status.APPLIED)
    until = next(at for at, (_, event) in enumerate(run.events) if _ends(event, "y")) + 1
    rows = timeline_of(replay(run.events[:until])).batches[1].rows
    assert [(row.result, row.passed_over) for row in rows] == [(None, True), (None, False)]
    assert Status.FAILED not in SUCCESSES


def _ends(event: object, host: str) -> bool:
    return isinstance(event, HostFinished) and event.result.host == host


def test_a_run_that_was_cut_off_ends_with_the_last_that_was_told() -> None:
    run = simulate_run(Schedule((play("", ["x"]),)), lambda *_: Status.APPLIED)
    cut = [entry for entry in run.events if entry[0] < 4.0]
    timeline = timeline_of(replay([*cut, (9.0, StopRequested(1))]))
    (row,) = timeline.batches[0].rows
    assert row.steps == (
        StepSpan(0, Step.WRITE, "", 0.0, 2.0),
        StepSpan(0, Step.RESTART, "", 2.0, 9.0),
    )
    assert (timeline.end, row.result) == (9.0, None)


def test_plans_are_known_by_host() -> None:
    plans = {"x": plan("x", Action.UNCHANGED)}
    run = simulate_run(Schedule((play("", ["x"]),)), lambda *_: Status.UNCHANGED, plans=plans)
    timeline = timeline_of(replay(run.events))
    assert timeline.batches[0].rows[0].plan == plans["x"]
