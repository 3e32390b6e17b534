"""Durations mean what an operator expects, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.playbook.load import LONGEST_DURATION, parse_duration

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


@given(number=st.integers(0, 24), unit=st.sampled_from(sorted(SECONDS)))
def test_a_number_counts_its_unit(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * SECONDS[unit]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no duration"),
        ("soon", "is no duration"),
        ("5 m", "is no duration"),
        ("1m30s", "is no duration"),
        ("1.5m", "is no duration"),
        ("500ms", "is no duration"),
        ("1d", "is no duration"),
        ("5M", "is no duration"),
        ("٣s", "is no duration"),
        ("9999999999", "is no duration"),
        ("-5s", "is negative"),
        ("25h", "24h is the longest"),
        (str(LONGEST_DURATION + 1), "24h is the longest"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


def test_a_token_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="not shown") as caught:
        parse_duration("sk-verysecret")
    assert "verysecret" not in str(caught.value)
