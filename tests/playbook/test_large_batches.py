"""More than half of a fleet at once is worth a second question."""

from __future__ import annotations

import pytest

from aegis_provision.playbook.large_batches import LargeBatch, large_batches
from tests.playbook.schedules import schedule_of

TEN = "a b c d e f g h i j"


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
