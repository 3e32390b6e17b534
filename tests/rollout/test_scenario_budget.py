"""Failure budgets: how many may fail, over plays and batches, and that nothing begins after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rollout.fleet_reset import with_settings
from tests.rollout.fleet_state import Before, before_all, is_new, logins, message_of, recorded

if TYPE_CHECKING:
    from tests.fleet.hosts import CommandResult, Fleet

NAMES = ("a", "b", "c", "d", "e", "f")
NOBODY_LISTENS = 1


def play(hosts: str, **settings: object) -> str:
    lines = [f"- name: Play of {hosts}", f"  hosts: {hosts}"]
    lines += [f"  {key}: {value}" for key, value in {"restart": "changed", **settings}.items()]
    return "\n".join(lines) + "\n"


def apply(
    fleet: Fleet, text: str, *flags: str, environ: dict[str, str] | None = None
) -> CommandResult:
    book = fleet.playbook(text)
    return fleet.call("apply", book, "--yes", "--format", "json", *flags, env=environ)


def ends(result: CommandResult) -> str:
    """Return how each host ended, one letter each in order: applied, Failed, not attempted..."""
    letters = {
        "applied": "a",
        "failed": "F",
        "not_attempted": "-",
        "refused": "R",
        "unreachable": "U",
        "unchanged": "=",
        "restart_pending": "p",
        "rolled_back": "B",
    }
    return "".join(letters[result.statuses[name]] for name in NAMES if name in result.statuses)


def check_untouched(fleet: Fleet, result: CommandResult, was: dict[str, Before]) -> None:
    """Check that on hosts that were not attempted nothing was done, not even in our directory."""
    now = before_all(fleet)
    for name, status in result.statuses.items():
        if status == "not_attempted":
            assert now[name] == was[name]
            assert not (fleet[name].config_path.parent / ".aegis-provision").exists()
            assert fleet[name].requests("/v1/health") == []


@pytest.mark.parametrize(
    ("failing", "max_fail", "serial", "expected", "words"),
    [
        ("a", "0", "1", "F-----", "1 host failed (a), and max_fail allows 0 hosts"),
        ("ac", "1", "1", "FaF---", "2 hosts failed (a, c), and max_fail allows 1 host"),
        ("ab", "1", "[1, 50%]", "FF----", "2 hosts failed (a, b), and max_fail allows 1 host"),
        ("f", "0", "50%", "aaaaaF", "1 host failed (f), and max_fail allows 0 hosts"),
        ("bd", "33%", "1", "aFaF--", "(b, d), and max_fail allows 33% of 6 hosts = 1"),
        ("abcdef", "100%", "1", "FFFFFF", ""),
    ],
)  # fmt: skip
def test_nothing_begins_once_more_failed_than_may(
    fleet: Fleet, failing: str, max_fail: str, serial: str, expected: str, words: str
) -> None:
    for name in failing:
        fleet[name].misbehave("restart_fails")
    was = before_all(fleet)
    text = play("all", max_fail=max_fail, serial=serial, sessions="ignore")
    # One worker: also within a batch the budget is looked at before each host.
    result = apply(fleet, text, "--forks", "1")
    assert ends(result) == expected
    assert result.exit_code == 4
    assert words in recorded(fleet)["budget"]
    assert ("max_fail allows" in result.stderr) is bool(words)
    assert words in result.stderr
    check_untouched(fleet, result, was)


def test_within_one_batch_the_next_host_waits_for_the_verdict(fleet: Fleet) -> None:
    fleet["b"].misbehave("restart_fails")
    result = apply(fleet, play("all", sessions="ignore"), "--forks", "1")
    assert ends(result) == "aF----"


def test_hosts_under_way_finish_when_the_budget_is_spent(fleet: Fleet) -> None:
    fleet["a"].misbehave("restart_fails")
    fleet["b"].misbehave("restart_hangs", 2, times=1)
    was = before_all(fleet)
    result = apply(fleet, play("all", sessions="ignore"), "--forks", "2")
    assert ends(result) == "Fa----"
    check_untouched(fleet, result, was)
    assert result.exit_code == 4


def test_failures_of_an_earlier_play_count_in_a_later_one(fleet: Fleet) -> None:
    fleet["a"].misbehave("restart_fails")
    result = apply(fleet, play("a:b", max_fail=1) + play("c:d") + play("e:f", max_fail="100%"))
    assert ends(result) == "Fa----"
    assert "and max_fail allows 0 hosts; nothing further is begun" in result.stderr
    assert result.exit_code == 4


def test_a_host_that_failed_has_no_part_in_later_plays(fleet: Fleet) -> None:
    fleet["a"].misbehave("restart_fails", times=1)
    text = play("a:b", max_fail=1) + play("a:b:c", max_fail=1, restart="always")
    result = apply(fleet, text)
    assert ends(result) == "Faa"
    restarts = {name: len(fleet[name].log("restart")) for name in "abc"}
    assert fleet["a"].loaded_provider() == "http://127.0.0.1:8/v1"
    assert restarts["b"] >= 2


def test_the_write_of_the_first_play_is_restored_where_the_second_fails(fleet: Fleet) -> None:
    for name in "ab":
        fleet[name].misbehave("dies", times=1)
    was = before_all(fleet)
    text = play("a:b:c", restart="never", max_fail="100%") + play(
        "a:c",
        max_fail="100%",
        verify="{health: true, timeout: 5s}",
        on_failure="rollback",
        sessions="ignore",
    )
    result = apply(fleet, text)
    assert ends(result) == "Bpa"
    assert fleet["a"].config_path.read_bytes() == was["a"].content
    assert fleet["a"].loaded_provider() == "http://127.0.0.1:8/v1"
    assert is_new(fleet["b"])
    assert fleet["c"].loaded_env() == fleet["c"].session_env()
    assert result.exit_code == 4
    [entry] = [host for host in recorded(fleet)["hosts"] if host["host"] == "a"]
    assert (entry["status"], entry["rolled_back"], entry["restart_owed"]) == (
        "rolled_back",
        True,
        False,
    )


def test_hosts_in_error_count_when_their_batch_comes(fleet: Fleet) -> None:
    fleet["c"].write_config(b"{")
    was = before_all(fleet)
    result = apply(fleet, play("all", serial=2))
    assert ends(result) == "aaR---"
    assert result.exit_code == 4
    assert "warning: the run will stop before batch 2" in result.stderr
    check_untouched(fleet, result, was)


@pytest.mark.parametrize(("max_fail", "expected", "code"), [("0", "aaU---", 4), ("1", "aaUaaa", 5)])
def test_unreachable_hosts_count_too(fleet: Fleet, max_fail: str, expected: str, code: int) -> None:
    inventory = with_settings(fleet, {"c": {"port": NOBODY_LISTENS}})
    result = apply(fleet, play("all", serial=2, max_fail=max_fail), *inventory)
    assert (ends(result), result.exit_code) == (expected, code)
    assert message_of(result, "c").startswith("connect: ")


def test_flags_override_every_play(fleet: Fleet) -> None:
    for name in "ac":
        fleet[name].misbehave("restart_fails")
    text = play("a:b", serial=2, max_fail=0) + play("c:d:e:f", serial="100%", max_fail=0)
    result = apply(fleet, text, "--serial", "1", "--max-fail", "1", "--forks", "4")
    assert ends(result) == "FaF---"


def test_without_a_playbook_no_failure_stops_a_run(fleet: Fleet) -> None:
    fleet["a"].write_config(b"{")
    fleet["b"].write_config(b"")
    result = fleet.call("apply", "--yes", "--format", "json", "--serial", "1")
    assert ends(result) == "RRpppp"
    assert result.exit_code == 4


def test_a_limit_leaves_the_others_alone(fleet: Fleet) -> None:
    was = before_all(fleet)
    result = apply(fleet, play("all", serial=1) + play("b:e"), "--limit", "b:c")
    assert result.statuses == {"b": "applied", "c": "applied"}
    now = before_all(fleet)
    assert {name for name in NAMES if now[name] != was[name]} == {"b", "c"}


@pytest.mark.parametrize(
    ("serial", "batches"),
    [
        ("1", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("4", [["a", "b", "c", "d"], ["e", "f"]]),
        ("50%", [["a", "b", "c"], ["d", "e", "f"]]),
        ("[1, 40%, 100%]", [["a"], ["b", "c"], ["d", "e", "f"]]),
    ],
)
def test_batches_are_listed_without_connecting_and_then_carried_out(
    fleet: Fleet, serial: str, batches: list[list[str]]
) -> None:
    book = fleet.playbook(play("all", serial=serial, restart="never"))
    earlier = logins(fleet)
    listed = fleet.call(
        "apply", book, "--list-hosts", "--format", "json", env={"GATEWAY_TOKEN": ""}
    )
    assert listed.exit_code == 0, listed.stderr
    assert logins(fleet) == earlier
    assert [play["batches"] for play in listed.json["plays"]] == [batches]
    done = fleet.call("apply", book, "--yes", "--format", "ndjson")
    begun = [line["hosts"] for line in done.lines if line["event"] == "batch_started"]
    assert begun == batches
    assert _barriers(done) == batches


def _barriers(result: CommandResult) -> list[list[str]]:
    """Return which hosts finished between the beginnings of batches."""
    found: list[list[str]] = []
    for line in result.lines:
        if line["event"] == "batch_started":
            found.append([])
        elif line["event"] == "host_finished":
            found[-1].append(line["host"])
    return [sorted(batch) for batch in found]
