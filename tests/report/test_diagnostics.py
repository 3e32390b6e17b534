"""Diagnostics as text and documents: each once, in order, and not too many of them."""

from __future__ import annotations

import pytest

from aegis_provision.documents.diagnostic import Diagnostic, Related, error, note, warning
from aegis_provision.documents.nodes import Source, Span
from aegis_provision.report.diagnostics import (
    deduplicate,
    diagnostics_fields,
    diagnostics_lines,
)
from tests.counted import Counted

LINES = 4000
SOURCE = Source("inventory.yml", "".join(f"word{line}:\n" for line in range(1, LINES + 1)))


def at(line: int) -> Span:
    return Span(SOURCE, line, 1, line, 5)


def text_of(diagnostics: list[Diagnostic]) -> list[str]:
    return [line.plain for line in diagnostics_lines(diagnostics)]


@pytest.mark.parametrize(
    ("count", "shown", "last"),
    [
        (1, 1, "1 error"),
        (50, 50, "50 errors"),
        (51, 50, "51 errors (1 of them not shown)"),
        (3000, 50, "3000 errors (2950 of them not shown)"),
    ],
)
def test_text_tells_fifty_and_counts_the_rest(count: int, shown: int, last: str) -> None:
    lines = text_of([error("bad-value", "this", at(line)) for line in range(count, 0, -1)])
    assert lines[-1] == last
    heads = [line for line in lines if ": error: " in line]
    assert heads == [f"inventory.yml:{line}:1: error: this" for line in range(1, shown + 1)]


def test_of_very_many_errors_come_before_warnings_and_these_before_notes() -> None:
    diagnostics = [
        *(note("n", f"note {line}", at(line)) for line in range(1, 11)),
        *(warning("w", f"warning {line}", at(line)) for line in range(11, 61)),
        *(error("e", f"error {line}", at(line)) for line in range(61, 91)),
    ]
    shown = deduplicate(diagnostics, 50)
    assert [item.message for item in shown.shown] == [
        *(f"warning {line}" for line in range(11, 31)),
        *(f"error {line}" for line in range(61, 91)),
    ]
    assert shown.omitted == 40
    assert text_of(diagnostics)[-1] == "30 errors, 50 warnings, 10 notes (40 of them not shown)"
    every = deduplicate(diagnostics, 90)
    assert [item.code for item in every.shown] == ["n"] * 10 + ["w"] * 50 + ["e"] * 30
    assert every.omitted == 0


def test_the_same_diagnostic_is_one_with_all_its_hosts_in_order() -> None:
    found = [error("e", "this", at(1), hosts=(host,)) for host in ("b", "a", "b", "c", "a")]
    shown = deduplicate(found, 50)
    assert [item.hosts for item in shown.shown] == [("b", "a", "c")]
    assert shown.omitted == 0


@pytest.mark.parametrize("count", [1000, 2000])
def test_hosts_are_not_compared_with_one_another(count: int) -> None:
    Counted.compared = 0
    hosts = tuple(Counted(f"h{number}") for number in range(count))
    [shown] = deduplicate(
        [error("e", "this", hosts=hosts), error("e", "this", hosts=hosts)], 50
    ).shown
    assert len(shown.hosts) == count
    assert Counted.compared < 10 * count


def test_documents_bound_the_hosts_and_places_of_a_diagnostic() -> None:
    related = tuple(Related(at(line), "there") for line in range(1, 1004))
    hosts = tuple(f"h{number}" for number in range(1002))
    found = diagnostics_fields(
        [error("e", "many", at(1), hosts=hosts, related=related), error("e", "one", at(2))]
    )
    many, one = found["diagnostics"]
    assert (len(many["hosts"]), many["hosts_omitted"]) == (1000, 2)
    assert (len(many["related"]), many["related_omitted"]) == (1000, 3)
    assert (one["hosts"], one["related"]) == ([], [])
    assert {"hosts_omitted", "related_omitted"}.isdisjoint(one)
    assert found["diagnostics_omitted"] == 0


@pytest.mark.parametrize(("places", "shown", "rest"), [(10, 10, None), (12, 10, 2)])
def test_text_bounds_the_places_of_a_diagnostic(places: int, shown: int, rest: int | None) -> None:
    related = tuple(Related(at(line), "there") for line in range(2, places + 2))
    lines = text_of([error("e", "this", at(1), related=related)])
    assert sum(line.endswith(": there") for line in lines) == shown
    assert [line for line in lines if "more places" in line] == (
        [f"  and {rest} more places"] if rest else []
    )


def test_a_line_that_one_diagnostic_hides_no_other_one_quotes() -> None:
    secret = Span(SOURCE, 2, 1, 3, 5)
    hidden = Diagnostic(error("e", "x").severity, "secret", "this", secret, quotable=False)
    others = [error("e", f"line {line}", at(line)) for line in range(1, 60)]
    lines = text_of([*others, hidden])
    withheld = [at for at, line in enumerate(lines) if "line not shown" in line]
    assert len(withheld) == 3
    assert not any("| word2:" in line or "| word3:" in line for line in lines)
    assert "   1 | word1:" in lines
    assert "   4 | word4:" in lines
