"""A rollback has every host once, last first, through the gates of the run."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.playbook.plays import (
    Gates,
    OnFailure,
    Play,
    Restart,
    Schedule,
    ScheduledPlay,
    Verify,
)
from aegis_provision.playbook.schedule import rollback_schedule

HOSTS = tuple("abcdefgh")


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Plays over some hosts each, in batches of any size."""
    plays = []
    for number in range(draw(st.integers(1, 4))):
        hosts = draw(st.lists(st.sampled_from(HOSTS), unique=True))
        size = draw(st.integers(1, 4))
        batches = tuple(tuple(hosts[start : start + size]) for start in range(0, len(hosts), size))
        gates = Gates(restart=draw(st.sampled_from(Restart)), on_failure=OnFailure.ROLLBACK)
        plays.append(ScheduledPlay(Play(f"play {number}", "all", gates=gates), batches))
    return Schedule(tuple(plays))


@given(schedule=schedules(), chosen=st.sets(st.sampled_from(HOSTS)))
def test_every_chosen_host_of_the_run_once(schedule: Schedule, chosen: set[str]) -> None:
    hosts = [host for play in rollback_schedule(schedule, chosen).plays for host in play.hosts]
    assert sorted(hosts) == sorted(set(schedule.hosts) & chosen)


@given(schedule=schedules())
def test_a_host_that_was_restarted_is_restarted_again(schedule: Schedule) -> None:
    restarted = {
        host
        for play in schedule.plays
        if play.play.gates.restart is not Restart.NEVER
        for host in play.hosts
    }
    for play in rollback_schedule(schedule, HOSTS).plays:
        for host in play.hosts:
            assert (play.play.gates.restart is not Restart.NEVER) is (host in restarted)


@given(schedule=schedules())
def test_hosts_of_one_play_come_in_reverse_order(schedule: Schedule) -> None:
    order = {play.play.name: play.hosts for play in schedule.plays}
    for play in rollback_schedule(schedule, HOSTS).plays:
        places = [order[play.play.name].index(host) for host in play.hosts]
        assert all(later < earlier for earlier, later in itertools.pairwise(places))
        assert all(play.batches)


def test_the_last_play_comes_first_and_what_fails_stays() -> None:
    verify = Verify(probe=True, session=True, prompt="Say ok")
    gates = Gates(Restart.CHANGED, verify, OnFailure.ROLLBACK, probe_first=True)
    first = ScheduledPlay(Play("first", "a", gates=gates), (("a", "b"), ("c",)))
    second = ScheduledPlay(Play("second", "d", gates=gates), (("d",),))
    rollback = rollback_schedule(Schedule((first, second)), HOSTS)
    assert [(play.play.name, play.batches) for play in rollback.plays] == [
        ("second", (("d",),)),
        ("first", (("c",), ("b", "a"))),
    ]
    assert rollback.plays[0].play.gates == Gates(
        Restart.CHANGED, Verify(health=True, probe=True), OnFailure.KEEP, probe_first=False
    )
