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
WORKING = {
    "adoption.naming.VariableNames",
    "cli.invocation.Invocation",
    "documents.layout.Item",
    "documents.layout.Part",
    "inventory.settings.SettingsReader",
    "inventory.tree.RawGroup",
    "inventory.tree.RawHost",
    "ledger.past_host.HostStory",
    "rollout.host_connection.HostConnection",
    "transport.identities.Identities",
    "transport.lock.Lock",
}
"""Public classes that gather something while they work, and change meanwhile."""
CACHING = {"cli.invocation.Invocation", "cli.invocation.Output"}
"""Those that keep what they have made once."""


def _dataclasses(module: str) -> list[tuple[str, type]]:
    short = module.removeprefix("aegis_provision.")
    return [
        (f"{short}.{name}", found)
        for name, found in vars(import_module(module)).items()
        if isinstance(found, type)
        and dataclasses.is_dataclass(found)
        and found.__module__ == module
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_value_is_frozen_and_holds_nothing_but_its_fields(module: str) -> None:
    for name, found in _dataclasses(module):
        frozen = found.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert frozen is _is_value(name, found), name
        assert ("__slots__" in vars(found)) is (name not in CACHING), f"{name} and its slots"


def _is_value(name: str, found: type) -> bool:
    """Tell whether a class is meant to be a value; what is private to a module says so itself."""
    if not name.rpartition(".")[2].startswith("_"):
        return name not in WORKING
    decorators, _, _ = inspect.getsource(found).partition("class ")
    return "frozen" in decorators
