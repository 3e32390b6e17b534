"""Batches hold every host once, in order, in the sizes that Ansible would make."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.playbook.host_counts import HostCount, parse_serial
from aegis_provision.playbook.schedule import LargeBatch, batches, large_batches
from tests.playbook.schedules import schedule_of

TEN = "a b c d e f g h i j"
SHARES = st.builds(HostCount, st.integers(1, 100).map(float), percent=st.booleans())
HOSTS = st.integers(0, 250).map(lambda count: tuple(f"h{index}" for index in range(count)))


@given(hosts=HOSTS, serial=st.lists(SHARES, min_size=1, max_size=5))
def test_batches_together_are_the_hosts_and_none_is_empty(
    hosts: tuple[str, ...], serial: list[HostCount]
) -> None:
    found = batches(hosts, serial)
    assert tuple(chain.from_iterable(found)) == hosts
    assert all(found)


@given(hosts=HOSTS, serial=st.lists(SHARES, min_size=1, max_size=5))
def test_only_the_last_batch_may_be_smaller_than_its_size(
    hosts: tuple[str, ...], serial: list[HostCount]
) -> None:
    for index, batch in enumerate(batches(hosts, serial)[:-1]):
        share = serial[min(index, len(serial) - 1)]
        whole = int(share.amount) * len(hosts) // 100 if share.percent else int(share.amount)
        assert len(batch) == max(1, whole)


@pytest.mark.parametrize(
    ("count", "serial", "sizes"),
    [
        (0, "100%", []),
        (5, "100%", [5]),
        (5, "2", [2, 2, 1]),
        (9, "3", [3, 3, 3]),
        (5, "99", [5]),
        (10, "30%", [3, 3, 3, 1]),
        (3, "10%", [1, 1, 1]),
        (10, "1,5,10", [1, 5, 4]),
        (20, "1,10%,50%", [1, 2, 10, 7]),
        (12, "1,2", [1, 2, 2, 2, 2, 2, 1]),
        (10, "10%,5", [1, 5, 4]),
        (100, "29%", [29, 29, 29, 13]),
    ],
)
def test_sizes_are_ansibles(count: int, serial: str, sizes: list[int]) -> None:
    hosts = [f"h{index}" for index in range(count)]
    assert [len(batch) for batch in batches(hosts, parse_serial(serial))] == sizes


@pytest.mark.parametrize(
    ("changing", "fleet", "found"),
    [
        ("a b c d e f", 10, (LargeBatch(0, 0, 6, 10),)),
        ("a b c d e", 10, ()),
        ("a b c d e f", 11, (LargeBatch(0, 0, 6, 11),)),
        ("a b c d e f", 12, ()),
        ("", 10, ()),
        (TEN, 9, ()),
    ],
)
def test_more_than_half_of_ten_or_more(
    changing: str, fleet: int, found: tuple[LargeBatch, ...]
) -> None:
    assert large_batches(schedule_of((TEN, "0")), changing.split(), fleet) == found


def test_each_batch_is_judged_by_itself() -> None:
    schedule = schedule_of(("a b c d e|f g h i j", "0"))
    assert large_batches(schedule, TEN.split(), 10) == ()
    schedule = schedule_of(("a|b c d e f g h|i j", "0"))
    assert large_batches(schedule, TEN.split(), 10) == (LargeBatch(0, 1, 7, 10),)


def test_a_host_changes_in_the_first_of_its_plays_only() -> None:
    schedule = schedule_of(("a b c|d e f", "0"), (TEN, "0"))
    assert large_batches(schedule, TEN.split(), 10) == ()
