"""Pins that end, the days on which that is told, and where nothing of a pin may stand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from aegis_provision.documents.diagnostic import Diagnostic, Severity
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pins import parse_date, pin_diagnostics

TODAY = date(2026, 6, 15)


def found(text: str) -> tuple[Diagnostic, ...]:
    """Return what is found about the pins of an inventory today; it has to be right otherwise."""
    inventory, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert inventory is not None
    assert not diagnostics
    return pin_diagnostics(inventory.hosts.values(), TODAY)


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [
        (-400, Severity.ERROR, "ended on 2025-05-11"),
        (-1, Severity.ERROR, "ended on 2026-06-14"),
        (0, Severity.WARNING, "ends on 2026-06-15, today"),
        (1, Severity.WARNING, "ends on 2026-06-16, in 1 day"),
        (3, Severity.WARNING, "ends on 2026-06-18, in 3 days"),
        (4, Severity.NOTE, "this pin ends on 2026-06-19"),
        (7, Severity.NOTE, "this pin ends on 2026-06-22"),
    ],
)
def test_a_pin_is_reported_near_its_end(days: int, severity: Severity, words: str) -> None:
    until = TODAY + timedelta(days)
    [diagnostic] = found(f"all: {{hosts: {{h: {{provider: glm, pin_until: {until}}}}}}}")
    assert diagnostic.severity is severity
    assert diagnostic.message.endswith(words)
    assert diagnostic.hosts == ("h",)
    assert str(diagnostic.span) == "i.yml:1:45"
    assert diagnostic.reminder is (severity is not Severity.ERROR)


def test_a_pin_without_an_end_is_not_reported() -> None:
    assert not found("all: {hosts: {h: {provider: glm, pin_reason: for ever}}}")


def test_pins_that_are_alike_are_reported_once_with_the_reason() -> None:
    pin = "{provider: glm, pin_until: 2026-06-17, pin_reason: a trial}"
    [diagnostic] = found(f"all: {{hosts: {{h: {pin}, i: {pin}}}}}")
    assert diagnostic.message == "the pin to glm (a trial) ends on 2026-06-17, in 2 days"
    assert diagnostic.hosts == ("h", "i")


def test_of_pins_that_end_much_later_the_next_is_noted() -> None:
    [diagnostic] = found(
        "all: {hosts: {h: {provider: glm, pin_until: 2099-01-02},"
        " i: {provider: glm, pin_until: 2099-01-01}}}"
    )
    assert diagnostic.message == "2 pins have an end, the first of them on 2099-01-01"
    assert diagnostic.hosts == ("i",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: {vars: {provider: glm, pin_until: 2026-01-01}, hosts: {h: }}", "this is a group"),
        (
            "all: {vars: {provider: glm}, hosts: {h: {pin_until: 2026-01-01}}}",
            "this host has no provider of its own",
        ),
        (
            "all: {vars: {provider: glm}, hosts: {h: {pin_reason: x}}}",
            "this host has no provider of its own",
        ),
        ("all: {hosts: {h: {provider: glm, pin_until: soon}}}", '"pin_until" is no date'),
        ("all: {hosts: {h: {provider: glm, pin_until: 2026-02-30}}}", '"pin_until" is no date'),
        ("all: {hosts: {h: {provider: glm, pin_until: 20260101}}}", '"pin_until" must be a string'),
        ("all: {hosts: {h: {provider: glm, pin_reason: ' '}}}", '"pin_reason" is no reason'),
        (
            "all: {hosts: {h: {provider: glm, pin_reason: sk-live-4f1d}}}",
            '"pin_reason" holds what looks like a token',
        ),
    ],
)
def test_what_is_no_pin_is_an_error(text: str, words: str) -> None:
    _, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert [item.severity for item in diagnostics] == [Severity.ERROR]
    assert words in diagnostics[0].message
    assert "4f1d" not in str(diagnostics[0])


@pytest.mark.parametrize(
    "text", ["2026-1-1", "26-01-01", "2026-W01-1", "2026-01-01T00", "٢٠٢٦-01-01"]
)
def test_a_date_is_written_in_one_way(text: str) -> None:
    assert parse_date(text) is None
    assert parse_date("2026-01-01") == date(2026, 1, 1)
