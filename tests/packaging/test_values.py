"""Values are frozen: what is handed on can't be changed behind anybody's back."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from importlib import import_module

import pytest

import aegis_provision

MODULES = [
    module.name
    for module in pkgutil.walk_packages(aegis_provision.__path__, "aegis_provision.")
    if not module.name.endswith("__main__")
]


def _dataclasses(module: str) -> list[type]:
    return [
        found
        for found in vars(import_module(module)).values()
        if isinstance(found, type)
        and dataclasses.is_dataclass(found)
        and found.__module__ == module
    ]


def _is_frozen(kind: type) -> bool:
    return "__setattr__" in vars(kind)


@pytest.mark.parametrize("module", MODULES)
def test_a_class_that_is_said_to_be_frozen_is_and_has_slots_where_that_is_said(module: str) -> None:
    for found in _dataclasses(module):
        result, _, _ = inspect.getsource(found).partition("class ")
        frozen = "frozen=True" in result
        assert _is_frozen(found) is frozen, f"{found} and whether it can be changed"
        slots = "slots=True" in result
        assert ("__slots__" in vars(found)) is slots, f"{found} and its slots"
        library = found.__dataclass_params__  # type: ignore[attr-defined]
        assert not library.init, f"{found}: import dataclass from aegis_provision.values"


def test_values_are_among_them() -> None:
    frozen = [found for module in MODULES for found in _dataclasses(module) if _is_frozen(found)]
    assert len(frozen) > 100
