"""Names that count up are folded into the ranges of an inventory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.inventory.ranges import compress, expand_range

NAMES = st.lists(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["a", "b-", "r1-", "r2-"]),
        st.one_of(
            st.integers(0, 12).map(str),
            st.integers(0, 12).map("{:02d}".format),
            st.just("9" * 12),
        ),
        st.sampled_from(["", ".eu1", ".eu2"]),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["n1", "n2", "n3", "n4"], ["n[1:4]"]),
        (["n08", "n09", "n10", "n11"], ["n[08:11]"]),
        (["n8", "n9", "n10", "n11"], ["n[8:11]"]),
        (["r1-n01", "r1-n02", "r1-n03", "r1-n04", "r2-n01"], ["r1-n[01:04]", "r2-n01"]),
        (["r1.eu", "r2.eu", "r3.eu", "r4.eu"], ["r[1:4].eu"]),
        (["n1", "n2", "n3"], ["n1", "n2", "n3"]),
        (["n1", "n2", "n3", "n5", "n6"], ["n1", "n2", "n3", "n5", "n6"]),
        (["n4", "n3", "n2", "n1"], ["n4", "n3", "n2", "n1"]),
        (["n99", "n100", "n101", "n102"], ["n[99:102]"]),
        (["n099", "n100", "n101", "n102"], ["n[099:102]"]),
        (["n7", "n8", "n9", "n010"], ["n7", "n8", "n9", "n010"]),
        ([], []),
    ],
)
def test_only_long_runs_of_neighbours_are_folded(names: list[str], expected: list[str]) -> None:
    assert compress(names) == expected


@given(NAMES)
def test_what_is_folded_stands_for_the_same_hosts_in_the_same_order(names: list[str]) -> None:
    assert [name for item in compress(names) for name in expand_range(item)] == names


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["", "02", "04"]))
def test_a_whole_range_comes_back(first: int, length: int, width: str) -> None:
    names = [f"host-{number:{width}d}.x" for number in range(first, first + length + 4)]
    once = compress(names)
    assert [name for item in once for name in expand_range(item)] == names
    assert len(once) <= 4
