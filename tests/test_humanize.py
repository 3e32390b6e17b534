"""How a message states counts, lists of names, groups of items and text that is not ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aegis_provision.humanize import (
    blank_control,
    counted,
    escape_control,
    group_by,
    group_pairs,
    listed,
    size_text,
    span_text,
    utc_text,
    wait_text,
)


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (0, "host", "0 hosts"),
        (1, "host", "1 host"),
        (2, "host", "2 hosts"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
    ],
)
def test_a_number_with_its_noun(number: int, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected


def test_a_time_is_written_in_utc() -> None:
    when = datetime(2026, 3, 1, 1, 2, 3, 456789, timezone(timedelta(hours=2)))
    assert utc_text(when) == "2026-02-28T23:02:03Z"
    assert utc_text(when.astimezone(UTC), "milliseconds") == "2026-02-28T23:02:03.456Z"


def test_what_does_not_print_is_escaped_or_blank() -> None:
    text = "a\x1b[2J\u202e\u00e9\n"
    assert escape_control(text) == "a\\x1b[2J\\u202e\u00e9\\n"
    assert blank_control(text) == "a [2J \u00e9 "


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a; b; c"),
        (["a", "b", "c", "d"], "a; b; c; and 1 more"),
        (list("abcdefg"), "a; b; c; and 4 more"),
    ],
)
def test_the_first_names_and_how_many_more(names: list[str], expected: str) -> None:
    assert listed(iter(names), between="; ", most=3) == expected


def test_twenty_names_by_default() -> None:
    names = [str(number) for number in range(21)]
    assert listed(names[:20]) == ", ".join(names[:20])
    assert listed(names) == ", ".join(names[:20]) + ", and 1 more"


def test_groups_and_items_keep_their_order() -> None:
    assert list(group_by(["bb", "a", "cc", "d"], len).items()) == [
        (2, ["bb", "cc"]),
        (1, ["a", "d"]),
    ]


def test_pairs_are_grouped_by_their_first_part() -> None:
    assert group_pairs([("x", 2), ("y", 1), ("x", 1)]) == {"x": [2, 1], "y": [1]}
    assert group_pairs(()) == {}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (64 * 1024, "64 KiB"),
        (1024 * 1024 - 1, "1,023 KiB"),
        (16 * 1024 * 1024, "16 MiB"),
        (3 * 1024**4, "3,145,728 MiB"),
    ],
)
def test_a_size_in_its_largest_unit(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (42, "42 s"),
        (200.4, "3 min 20 s"),
        (300, "5 min"),
        (3601, "1 h"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_span_of_time_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_a_wait_is_never_told_too_short() -> None:
    assert [wait_text(seconds) for seconds in (0.1, 30.1, 59.5, 3600.5)] == [
        "1 s",
        "31 s",
        "1 min",
        "1 h",
    ]
