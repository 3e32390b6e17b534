"""Recipes for commands that can do without an inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.checks import check_session
from aegis_provision.documents.diagnostic import has_errors
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.suggestion import did_you_mean
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.humanize import listed
from aegis_provision.operations.load import DEFAULT_INVENTORY, load_fleet, missing_variables
from aegis_provision.providers.recipes import builtin_recipes
from aegis_provision.providers.session import recipe_spec, resolve_env

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.operations.environment import Environment
    from aegis_provision.operations.load import Fleet
    from aegis_provision.providers.recipes import Recipe
    from aegis_provision.providers.session import Session


def fleet_if_any(inventory: Sequence[Path], environ: Mapping[str, str]) -> Fleet | None:
    """Return the fleet of the inventory at hand, ``None`` where none is named and none is here."""
    if not inventory and not DEFAULT_INVENTORY.exists():
        return None
    return load_fleet(inventory, environ)


def find_recipe(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Return the recipe called ``name``. Raises :class:`Error` for an unknown one."""
    recipe = recipes.get(name)
    if recipe is None:
        raise InputError(
            f"no provider is called {quote(name)}",
            did_you_mean(name, recipes) or f"known: {listed(recipes)}",
        )
    return recipe


def recipe_session(
    inventory: Sequence[Path], name: str, environment: Environment
) -> tuple[Session, tuple[Diagnostic, ...]]:
    """Return what a host with nothing but the provider ``name`` would get, and the warnings.

    A built-in recipe needs no inventory. Raises :class:`InvalidInputError` and
    :class:`Error`.
    """
    recipes = builtin_recipes()
    if name not in recipes:
        fleet = fleet_if_any(inventory, environment.environ)
        recipes = fleet.recipes if fleet is not None else recipes
    session = resolve_env(recipe_spec(find_recipe(recipes, name)), environment.variables)
    findings = check_session(session)
    if session.missing:
        findings = (missing_variables(dict.fromkeys(session.missing, ())), *findings)
    if has_errors(findings):
        raise InvalidInputError(findings)
    return session, findings
