"""Host ranges: what they stand for, and which are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.inventory.ranges import MOST_HOSTS, RangeError, expand_range


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("w[1:3]", ["w1", "w2", "w3"]),
        ("w[08:10].x", ["w08.x", "w09.x", "w10.x"]),
        ("w[1:9:4]", ["w1", "w5", "w9"]),
        ("w[1:10:4]", ["w1", "w5", "w9"]),
        ("w[a:c]", ["wa", "wb", "wc"]),
        ("w[A:C:2]", ["wA", "wC"]),
        ("w[5:5]", ["w5"]),
        ("w[00:01]", ["w00", "w01"]),
        ("[a:b][1:2]", ["a1", "a2", "b1", "b2"]),
        ("w[9:11]", ["w9", "w10", "w11"]),
    ],
)
def test_ranges(text: str, names: list[str]) -> None:
    assert expand_range(text) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w[08:01]", "backwards"), ("w[f:a]", "backwards"), ("w[1:9:0]", "step"),
        ("w[01:9]", "digits"), ("w[1:100001]", "100,000"), ("w[1:400][1:400]", "100,000"),
        ("w[1:999999999999]", "100,000"), ("w[1:2", "pair"), ("w1:2]", "pair"),
        ("w[[1:2]]", "pair"), ("w[]", "no range"), ("w[1]", "no range"), ("w[a:F]", "no range"),
        ("w[1:c]", "no range"), ("w[-1:3]", "no range"), ("w[1:2:3:4]", "no range"),
        ("w[\u0661:\u0663]", "no range"),
    ],
)  # fmt: skip
def test_no_ranges(text: str, words: str) -> None:
    with pytest.raises(RangeError, match=words) as caught:
        expand_range(text)
    assert caught.value.hint


def test_as_many_hosts_as_a_range_may_have() -> None:
    assert len(expand_range(f"w[1:{MOST_HOSTS}]")) == MOST_HOSTS


def test_what_is_no_range_is_not_repeated() -> None:
    with pytest.raises(RangeError) as caught:
        expand_range("w[canary]")
    assert "canary" not in str(caught.value) + caught.value.hint


@given(st.integers(0, 500), st.integers(0, 300), st.integers(1, 50), st.integers(3, 5))
def test_numbers_count_up_in_one_width(first: int, more: int, step: int, width: int) -> None:
    last = first + more
    names = expand_range(f"w[{first:0{width}d}:{last:0{width}d}:{step}]")
    assert [int(name[1:]) for name in names] == list(range(first, last + 1, step))
    if first < 10 ** (width - 1):
        assert {len(name) for name in names} == {width + 1}
