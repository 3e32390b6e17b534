"""What a host, or a host with nothing but one provider, would get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.operations.load import (
    Environment,
    find_host,
    find_recipe,
    fleet_if_any,
    load_fleet,
    require_providers,
)
from aegis_provision.operations.resolve_secrets import resolve_sessions, session_of
from aegis_provision.providers.recipes import builtin_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.providers.session_variables import Session


def host_session(
    inventory: Sequence[Path], name: str, environment: Environment
) -> tuple[Session, str, tuple[Diagnostic, ...]]:
    """Return what the host ``name`` would get, at which path, and the warnings.

    Raises :class:`InvalidInputError` and :class:`Error`.
    """
    fleet = load_fleet(inventory, environment.environ, of_all=False)
    path = find_host(fleet, name).target.config_path
    require_providers(fleet, [name])
    resolved, warnings = resolve_sessions(fleet, [name], environment.variables)
    return resolved.sessions[name], path, (*fleet.diagnostics, *warnings)


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
    return session_of(find_recipe(recipes, name), environment)
