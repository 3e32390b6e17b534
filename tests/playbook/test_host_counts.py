"""Numbers and shares of hosts: exact arithmetic, and reasons for what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.playbook.host_counts import (
    HostCount,
    batch_size,
    host_count,
    parse_max_fail,
    parse_serial,
)


@given(percent=st.integers(0, 100), hosts=st.integers(0, 100_000))
def test_a_share_is_rounded_down_by_the_arithmetic_of_whole_numbers(
    percent: int, hosts: int
) -> None:
    assert HostCount(percent, percent=True).of(hosts) == percent * hosts // 100


@given(thousandths=st.integers(1, 100_000), hosts=st.integers(0, 100_000))
def test_decimal_digits_count_as_written(thousandths: int, hosts: int) -> None:
    size = batch_size(f"{thousandths // 1000}.{thousandths % 1000:03}%")
    assert size.of(hosts) == thousandths * hosts // 100_000


@given(hosts=st.integers(0, 1000), number=st.integers(1, 999_999_999))
def test_a_number_is_itself_for_any_number_of_hosts(hosts: int, number: int) -> None:
    assert batch_size(str(number)).of(hosts) == number


@given(number=st.integers(1, 999_999_999))
def test_a_share_shows_as_it_was_written(number: int) -> None:
    assert str(batch_size(str(number))) == str(number)
    assert str(host_count(f"{number % 100}.5%")) == f"{number % 100}.5%"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "batches of no hosts"),
        ("0%", "batches of no hosts"),
        ("0.0%", "batches of no hosts"),
        ("-1", "no fewer hosts than none"),
        ("-10%", "no fewer hosts than none"),
        ("150%", "more than all hosts"),
        ("100.1%", "more than all hosts"),
        ("1.5", "hosts come whole"),
        ("half", "neither a number of hosts nor a share"),
        ("10 %", "neither a number of hosts nor a share"),
        ("10%%", "neither a number of hosts nor a share"),
        ("1e3", "neither a number of hosts nor a share"),
        ("", "neither a number of hosts nor a share"),
        ("9999999999", "neither a number of hosts nor a share"),
    ],
)
def test_a_size_that_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        batch_size(text)


def test_no_failure_at_all_is_an_allowance() -> None:
    assert host_count("0") == HostCount(0, percent=False)
    assert host_count("0%") == HostCount(0, percent=True)


def test_flags_say_what_a_playbook_says() -> None:
    assert parse_serial("1, 10%,50%") == (
        HostCount(1, percent=False),
        HostCount(10, percent=True),
        HostCount(50, percent=True),
    )
    assert parse_serial("5") == (HostCount(5, percent=False),)
    assert parse_max_fail("5%") == HostCount(5, percent=True)


@pytest.mark.parametrize("text", ["", "1,,2", "1,0", "1,200%", "1 2", ","])
def test_a_wrong_serial_flag_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number of hosts.*1,10%,50%"):
        parse_serial(text)


@pytest.mark.parametrize("text", ["", "-1", "101%", "1.5", "few", "1,2"])
def test_a_wrong_max_fail_flag_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write how many hosts may fail"):
        parse_max_fail(text)
