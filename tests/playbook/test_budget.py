"""The budget's arithmetic, and what a plan already knows to be spent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.playbook.budget import Budget, budget_of, predict_stop
from aegis_provision.playbook.host_counts import parse_max_fail
from aegis_provision.playbook.plays import Play
from tests.playbook.schedules import schedule_of


@pytest.mark.parametrize(
    ("max_fail", "run_hosts", "budget"),
    [
        ("5%", 40, Budget(2, "5% of 40 hosts = 2")),
        ("5%", 19, Budget(0, "5% of 19 hosts = 0")),
        ("100%", 1, Budget(1, "100% of 1 host = 1")),
        ("0.5%", 1000, Budget(5, "0.5% of 1000 hosts = 5")),
        ("0", 40, Budget(0, "0 hosts")),
        ("1", 40, Budget(1, "1 host")),
        ("3", 40, Budget(3, "3 hosts")),
    ],
)
def test_the_words_show_the_arithmetic(max_fail: str, run_hosts: int, budget: Budget) -> None:
    assert budget_of(Play("", "all", max_fail=parse_max_fail(max_fail)), run_hosts) == budget


@given(allowed=st.integers(0, 50), failed=st.integers(0, 60))
def test_a_budget_is_spent_above_what_it_allows(allowed: int, failed: int) -> None:
    assert Budget(allowed, "").is_spent(failed) == (failed > allowed)


def test_a_whole_run_may_fail_where_no_playbook_says_otherwise() -> None:
    budget = budget_of(Play("", "all", max_fail=parse_max_fail("100%")), 7)
    assert not budget.is_spent(7)


def test_bad_hosts_count_when_their_batch_comes() -> None:
    schedule = schedule_of(("a b|c d|e", "0"))
    stop = predict_stop(schedule, {"d"})
    assert stop is not None
    assert (stop.play, stop.batch, stop.failed) == (0, 1, ("d",))
    assert stop.budget.words == "0 hosts"


def test_the_allowance_is_the_current_plays_and_the_count_the_whole_runs() -> None:
    schedule = schedule_of(("a b", "1"), ("c d", "50%"), ("e", "0"))
    stop = predict_stop(schedule, {"a"})
    assert stop is not None
    assert (stop.play, stop.batch, stop.failed) == (2, 0, ("a",))


def test_a_host_of_two_plays_counts_once() -> None:
    assert predict_stop(schedule_of(("a b", "1"), ("a c", "1")), {"a"}) is None


def test_nothing_is_foreseen_without_bad_hosts_or_within_the_budget() -> None:
    schedule = schedule_of(("a b|c", "1"), ("d", "1"))
    assert predict_stop(schedule, ()) is None
    assert predict_stop(schedule, {"c"}) is None
    assert predict_stop(schedule, {"elsewhere"}) is None


@given(bad=st.sets(st.sampled_from("abcdef")), allowed=st.integers(0, 6))
def test_a_run_stops_exactly_where_more_are_bad_than_allowed(bad: set[str], allowed: int) -> None:
    schedule = schedule_of(("a|b|c", str(allowed)), ("d e|f", str(allowed)))
    stop = predict_stop(schedule, bad)
    assert (stop is not None) == (len(bad) > allowed)
    if stop is not None:
        assert len(stop.failed) > allowed
        assert set(stop.failed) <= bad
