"""The diff of a pin: what it shows is the edit, and twice the hosts are twice the work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.report import pin_report
from aegis_provision.report.pin_report import diff_text

if TYPE_CHECKING:
    from types import FrameType

    import pytest

LINES = st.lists(st.sampled_from("abcdefghij"), max_size=20)


@given(LINES, LINES)
def test_a_large_diff_is_one_of_its_two_texts(old: list[str], new: list[str]) -> None:
    matcher = pin_report.AnchoredMatcher(old, new)
    result: list[str] = []
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        assert tag != "equal" or old[old_from:old_to] == new[new_from:new_to]
        result += new[new_from:new_to] if tag != "equal" else old[old_from:old_to]
    assert result == new


def test_a_line_moves_the_others_of_a_large_diff_by_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = "".join(f"h{at}:\n# x\n" for at in range(40))
    new = old.replace("h7:\n", "h7: {provider: glm}\n").replace("h30:\n", "h30:\nh30a:\n")
    small = diff_text("f", old.encode(), new.encode())
    monkeypatch.setattr(pin_report, "_LARGE", 10)
    assert diff_text("f", old.encode(), new.encode()) == small
    assert small.count("\n+") == 3  # two lines and the head


def calls_of_diff(hosts: int) -> int:
    """Return how many calls the diff of as many pins takes."""
    head = "all:\n  vars: {provider: ollama}\n  hosts:\n"
    before = head + "".join(f"    h{at}:\n    # why\n" for at in range(hosts))
    after = before.replace(":\n    #", ":\n      provider: glm\n    #")
    count = 0

    def called(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(called)
    try:
        diff_text("inventory.yml", before.encode(), after.encode())
    finally:
        sys.setprofile(None)
    return count


def test_pins_of_twice_the_hosts_take_twice_the_work() -> None:
    calls_of_diff(10)
    assert calls_of_diff(1400) < 2.1 * calls_of_diff(700)
