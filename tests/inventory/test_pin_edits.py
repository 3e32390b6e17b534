"""The guard behind ``pin`` and ``unpin``: what an edit did beside what it was for."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.pin_edits import PinRequest, side_effects

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Inventory

BEFORE = """\
all:
  vars: {provider: ollama, port: 22, env: {A: "1"}}
  hosts:
    a: {user: u, env: {B: "2"}}
    b: {user: u}
    c: {provider: glm, model: m, pin_until: 2099-01-01, pin_reason: r}
  children:
    g: {hosts: {b: }}
"""
GLM = PinRequest("glm")
BY_HAND = "edit it by hand, then run 'aegis-provision validate'"
NO_EFFECT = "this edit would have no effect: something else decides these hosts' providers"
OTHERS = "with this edit something else of these hosts changes too"


def _inventory(text: str) -> Inventory:
    inventory, diagnostics = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert inventory is not None
    assert not [item for item in diagnostics if item.severity is Severity.ERROR], diagnostics
    return inventory


def _found(
    after: str, hosts: tuple[str, ...], request: PinRequest | None, before: str = BEFORE
) -> list[tuple[str, tuple[str, ...]]]:
    found = side_effects(_inventory(before), _inventory(after), hosts, request)
    assert {(item.severity, item.code, item.hint) for item in found} <= {
        (Severity.ERROR, "cannot-edit", BY_HAND)
    }
    return [(item.message, item.hosts) for item in found]


def _with(old: str, new: str, text: str = BEFORE) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


PINNED = _with("a: {user: u,", "a: {user: u, provider: glm,")
UNPINNED = _with("c: {provider: glm, model: m, pin_until: 2099-01-01, pin_reason: r}", "c: ")


def test_an_edit_that_does_what_it_is_for_and_nothing_else_has_none() -> None:
    assert _found(PINNED, ("a",), GLM) == []
    assert _found(UNPINNED, ("c",), None) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("b: {user: u}", "b: {user: u, provider: glm}"),
        ("b: {user: u}", "b: {user: v}"),
        ("b: {user: u}", "b: {user: u, model: m}"),
        ("b: {user: u}", "b: {user: u, env: {C: x}}"),
        ("b: {user: u}", "b: "),
    ],
)
def test_a_change_of_another_host_is_an_error(old: str, new: str) -> None:
    assert _found(_with(old, new, PINNED), ("a",), GLM) == [(OTHERS, ("b",))]


@pytest.mark.parametrize(
    "more",
    ["pin_until: 2099-01-02, pin_reason: r", "pin_until: 2099-01-01, pin_reason: s",
     "pin_until: 2099-01-01"],
)  # fmt: skip
def test_a_change_of_another_pin_is_an_error(more: str) -> None:
    after = _with("pin_until: 2099-01-01, pin_reason: r", more, PINNED)
    assert _found(after, ("a",), GLM) == [(OTHERS, ("c",))]


def test_all_hosts_that_change_are_named_in_order() -> None:
    after = _with("port: 22", "port: 23", PINNED)
    assert _found(after, ("a",), GLM) == [(OTHERS, ("b", "c"))]


def test_a_pin_that_is_not_there_has_no_effect() -> None:
    assert _found(BEFORE, ("a", "b"), GLM) == [(NO_EFFECT, ("a", "b"))]
    assert _found(BEFORE, ("c",), PinRequest("ollama")) == [(NO_EFFECT, ("c",))]
    assert _found(PINNED, ("a", "b"), GLM) == [(NO_EFFECT, ("b",))]


def test_a_group_s_provider_is_no_pin() -> None:
    text = _with("provider: ollama", "provider: glm")
    assert _found(text, ("a",), GLM, before=text) == [(NO_EFFECT, ("a",))]


def test_an_unpin_that_leaves_a_pin_has_no_effect() -> None:
    assert _found(BEFORE, ("c",), None) == [(NO_EFFECT, ("c",))]
    assert _found(UNPINNED, ("c", "a"), None) == []


FULL = PinRequest("glm", {"model": "m", "timeout_ms": 9000}, date(2099, 1, 1), "a trial")
WRITTEN = "provider: glm, model: m, timeout_ms: 9000, pin_until: 2099-01-01, pin_reason: a trial"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("provider: glm", "provider: ollama"),
        ("model: m", "model: n"),
        ("model: m, ", ""),
        ("timeout_ms: 9000", "timeout_ms: 9001"),
        ("pin_until: 2099-01-01", "pin_until: 2099-01-02"),
        (", pin_until: 2099-01-01", ""),
        ("pin_reason: a trial", "pin_reason: another"),
        (", pin_reason: a trial", ""),
    ],
)
def test_all_that_a_pin_says_must_count(old: str, new: str) -> None:
    pinned = _with("b: {user: u}", f"b: {{user: u, {WRITTEN}}}")
    assert _found(pinned, ("b",), FULL) == []
    other = pinned.replace(WRITTEN, _with(old, new, WRITTEN))
    assert _found(other, ("b",), FULL) == [(NO_EFFECT, ("b",))]


def test_both_kinds_of_error_are_reported_at_once() -> None:
    after = _with("b: {user: u}", "b: {user: v}")
    assert _found(after, ("a",), GLM) == [(OTHERS, ("b",)), (NO_EFFECT, ("a",))]
