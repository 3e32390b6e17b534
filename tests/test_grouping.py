"""Items that have something in common, put together."""

from __future__ import annotations

from aegis_provision.grouping import group_by, group_pairs


def test_groups_and_items_keep_their_order() -> None:
    assert list(group_by(["bb", "a", "cc", "d"], len).items()) == [
        (2, ["bb", "cc"]),
        (1, ["a", "d"]),
    ]


def test_pairs_are_grouped_by_their_first_part() -> None:
    assert group_pairs([("x", 2), ("y", 1), ("x", 1)]) == {"x": [2, 1], "y": [1]}
    assert group_pairs(()) == {}
