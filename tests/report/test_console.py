"""How numbers, times and settings are said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aegis_provision.humanize import counted
from aegis_provision.planning.plan import Action, Change, ChangeKind
from aegis_provision.playbook.plays import Play, Schedule, ScheduledPlay
from aegis_provision.report.console import (
    duration,
    fine_duration,
    is_plain,
    play_title,
    setting_text,
)
from aegis_provision.report.plan_report import plan_lines
from tests.report.runs import plan

if TYPE_CHECKING:
    from aegis_provision.planning.plan import HostPlan


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "host", "0 hosts"),
        (1, "host", "1 host"),
        (2, "host", "2 hosts"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
    ],
)
def test_a_number_with_its_noun(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        ((), "none"),
        (("a", "b"), "a, b"),
        ("", '""'),
        (0, "0"),
        ("x y", "x y"),
    ],
)
def test_a_setting_as_an_inventory_would_have_it(value: object, text: str) -> None:
    assert setting_text(value) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (60, "1m 00s"),
        (3599.4, "59m 59s"),
        (3600, "1h 00m"),
        (3900, "1h 05m"),
        (90_061, "25h 01m"),
    ],
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (10, "10s"), (61, "1m 01s")],
)
def test_a_length_of_time_with_tenths(seconds: float, text: str) -> None:
    assert fine_duration(seconds) == text


def test_one_play_that_nobody_named_is_plain() -> None:
    nameless, named = ScheduledPlay(Play("", "all"), ()), ScheduledPlay(Play("x", "all"), ())
    assert is_plain(Schedule((nameless,)))
    assert not is_plain(Schedule((named,)))
    assert not is_plain(Schedule((nameless, nameless)))
    assert play_title(Schedule((nameless, named)), 0) == "Play 1/2"
    assert play_title(Schedule((nameless, named)), 1) == 'Play 2/2 "x"'


def _with(shown: HostPlan, *changes: Change) -> HostPlan:
    return replace(shown, changes=changes)


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        (None, "x" * 200, ChangeKind.ADDED, "x" * 200),
        (None, "x" * 201, ChangeKind.ADDED, f"{'x' * 200}... (201 characters)"),
        ("", "", ChangeKind.CHANGED, '"" -> ""'),
        ("a\x1b[2J", None, ChangeKind.REMOVED, "a\\x1b[2J removed"),
    ],
)
def test_a_value_is_shown_whole_up_to_a_bound(
    before: str | None, after: str | None, kind: ChangeKind, words: str
) -> None:
    change = Change("A", kind, before, after, sensitive=False)
    shown = plan(host="a", action=Action.UPDATE)
    lines = plan_lines([_with(shown, change)], width=100)
    sign = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}[kind]
    assert lines[1].plain == f"    {sign} {'A':<30}{words}"


@pytest.mark.parametrize(
    ("kind", "words", "diff"),
    [
        (ChangeKind.ADDED, "(secret) set", ["+A: (secret, set)"]),
        (ChangeKind.CHANGED, "(secret) changed", ["-A: (secret)", "+A: (secret, changed)"]),
        (ChangeKind.REMOVED, "(secret) removed", ["-A: (secret)"]),
    ],
)
def test_of_a_secret_only_what_becomes_of_it_is_shown(
    kind: ChangeKind, words: str, diff: list[str]
) -> None:
    shown = _with(plan("a"), Change("A", kind, None, None, sensitive=True))
    assert plan_lines([shown], width=100)[1].plain.endswith(f" {words}")
    lines = [line.plain.strip() for line in plan_lines([shown], width=100, as_diff=True)]
    assert lines[1:-1] == [f"--- {shown.path}", f"+++ {shown.path}", *diff]
