"""The end of a run, as an operator reads it: golden text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aegis_provision.planning.plan import Action
from aegis_provision.playbook.plays import Schedule
from aegis_provision.report.apply_report import (
    MOST_URGENT_FIRST,
    WORDS,
    needs_attention,
    recap_lines,
)
from aegis_provision.report.plan_report import plan_lines, schedule_lines
from aegis_provision.rollout.events import BudgetSpent, RunFinished
from aegis_provision.rollout.results import SUCCESSES, HostResult, Status
from aegis_provision.rollout.run_state import RunState, reduce
from tests.report.runs import hosts, plan, play, simulate_run

OK = HostResult("ok-1", Status.APPLIED)
PENDING = HostResult("new-1", Status.RESTART_PENDING, "written; it takes effect later")
DOWN = "connect: no answer"
LOOK = "check the network"
NOT_BEGUN = "nothing was written there"


def _recap(*results: HostResult, every_host: bool = False) -> list[str]:
    lines = recap_lines(results, width=80, every_host=every_host)
    return [line.plain for line in lines]


def test_hosts_that_need_a_person_come_first_the_most_urgent_ahead() -> None:
    assert _recap(
        OK,
        HostResult("gone-1", Status.UNREACHABLE, DOWN, LOOK),
        HostResult("back-1", Status.ROLLED_BACK, "verify: it answers without a token"),
        PENDING,
        HostResult("dead-1", Status.ROLLBACK_FAILED, "restart: exit 1", "log in and look"),
        HostResult("same-1", Status.UNCHANGED),
        HostResult("bad-1", Status.FAILED, "restart: exit 1", warnings=("the new file is there",)),
        HostResult("odd-1", Status.REFUSED, "a lock of alice, since 10:15"),
        HostResult("late-1", Status.NOT_ATTEMPTED, NOT_BEGUN),
    ) == [
        "dead-1: rollback failed: restart: exit 1",
        "    try: log in and look",
        "bad-1: failed: restart: exit 1",
        "    warning: the new file is there",
        "back-1: rolled back: verify: it answers without a token",
        "odd-1: refused: a lock of alice, since 10:15",
        "gone-1: unreachable: connect: no answer",
        "    try: check the network",
        "late-1: not attempted: nothing was written there",
        "applied (1):",
        "    ok-1",
        "written, restart pending (1):",
        "    new-1",
        (
            "Recap: 1 unchanged, 1 applied, 1 written, restart pending, 1 failed, 1 unreachable, "
            "1 rolled back, 1 rollback failed, 1 refused, 1 not attempted"
        ),
        "Aegis reads the file only at its start: restart it on those hosts.",
        "Until then Aegis does not see later changes of allowedWorkDirs either.",
    ]


def test_many_hosts_with_the_same_reason_are_told_together() -> None:
    names = [*hosts(40), *(f"eu-{letter}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    down = [HostResult(name, Status.UNREACHABLE, DOWN, LOOK) for name in names]
    assert _recap(*down, HostResult("other", Status.UNREACHABLE, "another reason")) == [
        "unreachable (66): connect: no answer",
        "    try: check the network",
        "    host-[0001:0040].example.com, eu-aa, eu-bb, eu-cc, eu-dd, eu-ee, eu-ff,",
        "    eu-gg, eu-hh, eu-ii, eu-jj, eu-kk, eu-ll, eu-mm, eu-nn, eu-oo, eu-pp, eu-qq,",
        "    eu-rr, eu-ss, eu-tt, eu-uu, eu-vv, eu-ww, and 3 more (-v names all)",
        "other: unreachable: another reason",
        "Recap: 67 unreachable",
        "No host was written.",
    ]


def test_every_host_names_every_host() -> None:
    many = [HostResult(name, Status.FAILED, f"reason {name}") for name in hosts(30, "odd")]
    many += [HostResult(name, Status.APPLIED) for name in hosts(100)]
    short, whole = "\n".join(_recap(*many)), "\n".join(_recap(*many, every_host=True))
    assert "and 6 more hosts with other reasons (-v names all)" in short
    assert len(short.splitlines()) < 40
    assert all(item.host in whole for item in many)
    assert "more" not in whole


def test_a_pending_host_with_more_to_say_says_it() -> None:
    busy = replace(PENDING, message="2 sessions were still running", hint="restart it later")
    assert _recap(PENDING, replace(busy, host="busy-1"), replace(busy, host="busy-2")) == [
        "written, restart pending (1):",
        "    new-1",
        "written, restart pending (2): 2 sessions were still running",
        "    try: restart it later",
        "    busy-1, busy-2",
        "Recap: 3 written, restart pending",
        "Aegis reads the file only at its start: restart it on those hosts.",
        "Until then Aegis does not see later changes of allowedWorkDirs either.",
    ]


def test_plays_are_told_one_by_one_and_a_spent_budget_shows_its_arithmetic() -> None:
    names = hosts(6)
    schedule = Schedule((play("Canaries", names[:2]), play("Rest", names), play("Last", names[5:])))
    run = simulate_run(schedule, lambda *_: Status.FAILED)
    state = RunState()
    for at, event in run.events[:20]:
        state = reduce(state, event, at)
    state = reduce(state, BudgetSpent(0, "2 of 6 hosts failed; max_fail is 1", names[:2]), 9.0)
    results = (
        *(HostResult(name, Status.FAILED, "no") for name in names[:2]),
        *(HostResult(name, Status.NOT_ATTEMPTED, NOT_BEGUN) for name in names[2:]),
    )
    state = reduce(state, RunFinished(results, 4), 9.0)
    assert [line.plain for line in recap_lines(results, width=120, state=state)] == [
        "host-0001.example.com: failed: no",
        "host-0002.example.com: failed: no",
        "not attempted (4): nothing was written there",
        "    host-[0003:0006].example.com",
        'Play 1/3 "Canaries": 2 failed',
        'Play 2/3 "Rest": 2 left out after what went wrong before, 4 not begun',
        'Play 3/3 "Last": 1 not begun',
        "Recap: 2 failed, 4 not attempted",
        "2 of 6 hosts failed; max_fail is 1",
    ]


@pytest.mark.parametrize("status", Status)
def test_every_status_has_words_and_is_counted(status: Status) -> None:
    recap = _recap(HostResult("a", status, "why"))
    assert f"Recap: 1 {WORDS[status]}" in recap


def test_what_a_host_says_does_not_drive_the_terminal() -> None:
    evil = "\x1b[2J\x9b2J\u202eevil\r\n"
    lines = _recap(*(HostResult(f"h{n}", Status.FAILED, evil, evil, (evil,)) for n in range(3)))
    lines += _recap(HostResult("a", Status.APPLIED, warnings=(evil,)))
    assert all(line.isprintable() for line in lines)


def test_a_schedule_without_plays_is_a_list_of_hosts() -> None:
    lines = schedule_lines(Schedule((play("", ["a", "b"]),)))
    assert [line.plain for line in lines] == ["a", "b"]


def test_a_schedule_shows_plays_and_batches() -> None:
    schedule = Schedule((play("Canaries", ["a"]), play("", ["b"], ["c", "d"]), play("None")))
    assert [line.plain for line in schedule_lines(schedule)] == [
        'Play 1/3 "Canaries": 1 host',
        "    a",
        "Play 2/3: 3 hosts in 2 batches",
        "  Batch 1/2: 1 host",
        "    b",
        "  Batch 2/2: 2 hosts",
        "    c",
        "    d",
        'Play 3/3 "None": 0 hosts',
    ]


def test_a_plan_tells_which_hosts_are_owed_a_restart() -> None:
    plans = [
        plan("a", Action.UNCHANGED),
        plan("b", Action.UNCHANGED, restart_pending=True),
        plan("c", Action.UNCHANGED, restart_pending=True),
    ]
    assert [line.plain for line in plan_lines(plans, width=80)] == [
        "= unchanged   a  [glm]  /opt/aegis/aegis.config.json",
        "= unchanged   2 hosts  [glm]  /opt/aegis/aegis.config.json",
        "    b, c",
        "    restart owed: Aegis has not started since the file came",
        "Plan: 3 unchanged, 2 owed a restart",
    ]


def test_whoever_did_not_do_well_or_has_a_hint_needs_attention() -> None:
    assert set(MOST_URGENT_FIRST) == set(Status) - SUCCESSES
    for status in Status:
        assert needs_attention(HostResult("a", status)) is (status not in SUCCESSES)
        assert needs_attention(HostResult("a", status, hint="look"))
        assert needs_attention(HostResult("a", status, "only words")) is (status not in SUCCESSES)
