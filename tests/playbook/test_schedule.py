"""Plays over an inventory: hosts, batches, limits, and what is wrong before any connection."""

from __future__ import annotations

import pytest

from aegis_provision.documents.diagnostic import Diagnostic, Severity
from aegis_provision.inventory.patterns import PatternError
from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.load import load_playbook
from aegis_provision.playbook.plays import Play, Playbook, Restart, Schedule, ScheduledPlay
from aegis_provision.playbook.schedule import make_schedule, single_play, with_overrides
from tests.playbook.schedules import inventory_of

INVENTORY = inventory_of(
    """\
all:
  vars: {provider: glm}
  children:
    canary: {hosts: {a: {service: aegis}}}
    rest:
      hosts:
        b: {service: aegis}
        c: {restart_command: /etc/rc.d/aegis restart}
        d: {provider: ollama}
        e:
    empty:
"""
)


def playbook(text: str) -> Playbook:
    book, found = load_playbook("rollout.yml", text.encode())
    assert book is not None
    assert not [item for item in found if item.severity is Severity.ERROR], found
    return book


def no_file(path: str) -> str:
    raise PatternError(f"@{path} can't be read: No such file or directory")


def scheduled(text: str, chosen: set[str] | None = None) -> tuple[Schedule, tuple[Diagnostic, ...]]:
    return make_schedule(playbook(text), INVENTORY, chosen=chosen, read_file=no_file)


def test_plays_keep_their_order_and_hosts_that_of_the_inventory() -> None:
    schedule, found = scheduled("[{hosts: 'rest:!b', serial: 2}, {hosts: 'b,a'}]")
    assert found == ()
    assert [play.batches for play in schedule.plays] == [(("c", "d"), ("e",)), (("a", "b"),)]
    assert schedule.hosts == ("c", "d", "e", "a", "b")


def test_a_host_of_two_plays_is_one_host_of_the_run() -> None:
    schedule, _ = scheduled("[{hosts: a}, {hosts: all}]")
    assert schedule.hosts == ("a", "b", "c", "d", "e")
    assert schedule.plays[1].hosts == ("a", "b", "c", "d", "e")


def test_batches_are_counted_after_the_limit() -> None:
    schedule, _ = scheduled("[{hosts: all, serial: 50%}]", {"b", "c", "d", "e"})
    assert schedule.plays[0].batches == (("b", "c"), ("d", "e"))


def test_a_play_that_the_limit_empties_stays_in_the_schedule_and_is_noted() -> None:
    schedule, [found] = scheduled("[{hosts: canary}, {hosts: rest}]", {"b"})
    assert [play.batches for play in schedule.plays] == [(), (("b",),)]
    assert (found.severity, found.code) == (Severity.NOTE, "not-chosen")


def test_a_limit_that_no_play_meets_is_an_error() -> None:
    _, found = scheduled("[{hosts: canary}]", {"b"})
    [problem] = [item for item in found if item.severity is Severity.ERROR]
    assert (problem.code, problem.hosts) == ("nobody-chosen", ("b",))


def test_a_group_without_hosts_is_a_warning() -> None:
    schedule, [found] = scheduled("[{hosts: empty}]")
    assert schedule.plays[0].batches == ()
    assert (found.severity, found.code, str(found.span)) == (
        Severity.WARNING,
        "no-hosts",
        "rollout.yml:1:10",
    )


def test_every_wrong_pattern_is_reported_at_its_place() -> None:
    _, found = scheduled("- hosts: canry\n- hosts: all\n- hosts: 'a:!'\n- hosts: '@list'\n")
    assert [(item.code, str(item.span)) for item in found] == [
        ("bad-pattern", "rollout.yml:1:10"),
        ("bad-pattern", "rollout.yml:3:10"),
        ("bad-pattern", "rollout.yml:4:10"),
    ]
    assert 'did you mean "canary"?' in found[0].message
    assert "@list can't be read" in found[2].message


def test_a_file_of_patterns_is_read_where_the_play_names_one() -> None:
    book = playbook("[{hosts: '@first,!b'}]")
    schedule, found = make_schedule(
        book, INVENTORY, chosen=None, read_file={"first": "canary\nrest # most\n"}.__getitem__
    )
    assert (schedule.hosts, found) == (("a", "c", "d", "e"), ())


@pytest.mark.parametrize("when", ["changed", "always"])
def test_a_restart_without_a_command_is_one_error_with_all_its_hosts(when: str) -> None:
    _, [found] = scheduled(f"- hosts: all\n  name: All\n  restart: {when}\n")
    assert (found.code, found.hosts) == ("no-way-to-restart", ("d", "e"))
    assert str(found.span) == "rollout.yml:3:12"


def test_a_host_that_the_limit_leaves_out_needs_no_way_to_restart() -> None:
    assert scheduled("[{hosts: all, restart: changed}]", {"a", "b", "c"})[1] == ()
    assert scheduled("[{hosts: all, restart: never}]")[1] == ()


def test_without_a_playbook_there_is_one_play_that_restarts_nothing() -> None:
    schedule, found = make_schedule(single_play(), INVENTORY, chosen={"c"}, read_file=no_file)
    [only] = schedule.plays
    assert (only.batches, found) == ((("c",),), ())
    assert (only.play.name, only.play.max_fail) == ("", HostCount(100, percent=True))
    assert only.play.gates.restart is Restart.NEVER


def test_flags_override_every_play_and_only_what_they_name() -> None:
    book = playbook("[{hosts: a, serial: 5, max_fail: 1}, {hosts: b}]")
    assert with_overrides(book) == book
    serial, few = (HostCount(1, percent=False),), HostCount(10, percent=True)
    assert [play.serial for play in with_overrides(book, serial=serial).plays] == [serial] * 2
    both = with_overrides(book, max_fail=few).plays
    assert [(play.serial[0].amount, play.max_fail) for play in both] == [(5, few), (100, few)]


def test_what_is_left_of_a_schedule_for_some_hosts_keeps_order_and_batches() -> None:
    play = Play("one", "all")
    schedule = Schedule(
        (
            ScheduledPlay(play, (("a", "b"), ("c",), ("d", "e"))),
            ScheduledPlay(Play("two", "x"), (("b", "c"),)),
        )
    )
    left = schedule.narrowed_to({"e", "a", "d"})
    assert left == Schedule(
        (ScheduledPlay(play, (("a",), ("d", "e"))), ScheduledPlay(Play("two", "x"), ()))
    )
    assert left.hosts == ("a", "d", "e")
    assert schedule.hosts == ("a", "b", "c", "d", "e")
