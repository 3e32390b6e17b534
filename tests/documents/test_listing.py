"""Many names in one message."""

from __future__ import annotations

import pytest

from aegis_provision.documents.listing import listed
from aegis_provision.documents.suggestion import Suggestions


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


def test_suggestions_end_when_there_were_too_many_comparisons() -> None:
    suggestions = Suggestions(5)
    assert suggestions.did_you_mean("modle", ["model", "port"]) == 'did you mean "model"?'
    assert suggestions.did_you_mean("prot", ["model", "port"]) == 'did you mean "port"?'
    assert suggestions.did_you_mean("prot", ["model", "port"]) == ""
    assert Suggestions(2).did_you_mean("prot", ["model", "port"]) == 'did you mean "port"?'
