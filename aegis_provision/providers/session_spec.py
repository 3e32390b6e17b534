"""Hosts to the session variables they should have, as templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.suggestion import Suggestions
from aegis_provision.humanize import listed
from aegis_provision.providers.recipes import RecipeValue
from aegis_provision.providers.secret_rules import is_secret_setting
from aegis_provision.providers.session import VARIABLE_OF, SessionSpec, Variable
from aegis_provision.providers.template_checks import setting_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Host, Inventory, Setting
    from aegis_provision.providers.recipes import Recipe


def session_specs(
    inventory: Inventory, recipes: Mapping[str, Recipe]
) -> tuple[Mapping[str, SessionSpec], tuple[Diagnostic, ...]]:
    """Return the session variables of every host, and what is wrong with them.

    Hosts with the same settings share one spec. A host whose provider is not known has none.
    """
    work = _Work(recipes)
    for host in inventory.hosts.values():
        work.take(host)
    return work.specs, (*setting_problems(inventory), *work.all_findings())


def recipe_spec(recipe: Recipe) -> SessionSpec:
    """Return the session variables of a recipe alone, without any host's settings."""
    return _spec(recipe, recipe.values, recipe.env)


@dataclass(slots=True)
class _Work:
    recipes: Mapping[str, Recipe]
    specs: dict[str, SessionSpec] = field(default_factory=dict)
    _known: dict[tuple[object, ...], SessionSpec] = field(default_factory=dict)
    _unknown: dict[Setting, list[str]] = field(default_factory=dict)
    _incomplete: dict[tuple[Setting, tuple[str, ...]], list[str]] = field(default_factory=dict)

    def take(self, host: Host) -> None:
        """Take the next host."""
        if host.provider is None:
            return
        recipe = self.recipes.get(str(host.provider.value))
        if recipe is None:
            self._unknown.setdefault(host.provider, []).append(host.name)
            return
        spec = self._spec_of(host, recipe)
        self.specs[host.name] = spec
        present = {variable.setting for variable in spec.variables}
        absent = tuple(key for key in VARIABLE_OF if key not in present)
        if absent and not recipe.broken:
            self._incomplete.setdefault((host.provider, absent), []).append(host.name)

    def all_findings(self) -> tuple[Diagnostic, ...]:
        """Return what was found, once per place, with the hosts it concerns."""
        found: list[Diagnostic] = []
        suggestions = Suggestions()
        for setting, hosts in self._unknown.items():
            name = str(setting.value)
            hint = suggestions.did_you_mean(name, self.recipes) or f"known: {listed(self.recipes)}"
            message = f"no provider is called {quote(name)}"
            found.append(
                error("unknown-provider", message, setting.span, hint=hint, hosts=tuple(hosts))
            )
        for (setting, absent), hosts in self._incomplete.items():
            recipe = self.recipes[str(setting.value)]
            found.append(_incomplete(setting, recipe, absent, hosts))
        return tuple(found)

    def _spec_of(self, host: Host, recipe: Recipe) -> SessionSpec:
        signature = (
            recipe.name,
            tuple((key, item.span) for key, item in host.overrides.items()),
            tuple((name, item.span) for name, item in host.env.items()),
        )
        known = self._known.get(signature)
        if known is None:
            values = {**recipe.values, **_as_values(host.overrides)}
            env = {**recipe.env, **_as_values(host.env)}
            known = self._known[signature] = _spec(recipe, values, env)
        return known


def _as_values(settings: Mapping[str, Setting]) -> dict[str, RecipeValue]:
    return {
        key: RecipeValue(str(item.value), item.span, builtin=False)
        for key, item in settings.items()
    }


def _spec(
    recipe: Recipe, values: Mapping[str, RecipeValue], env: Mapping[str, RecipeValue]
) -> SessionSpec:
    variables = [
        _variable(variable, key, values[key])
        for key, variable in VARIABLE_OF.items()
        if key in values
    ]
    variables += [_variable(name, f"env.{name}", value) for name, value in env.items()]
    return SessionSpec(recipe.name, tuple(variables), recipe.allow_http, recipe.lineage)


def _variable(name: str, setting: str, value: RecipeValue) -> Variable:
    sensitive = is_secret_setting(setting, value.template)
    return Variable(name, value.template, setting, sensitive, value.span, value.builtin)


def _incomplete(
    setting: Setting, recipe: Recipe, absent: tuple[str, ...], hosts: list[str]
) -> Diagnostic:
    return error(
        "incomplete-provider",
        f"the provider {quote(recipe.name)} brings no {', no '.join(absent)}, "
        "and nothing nearer to the host does",
        recipe.span,
        hint="add what is missing, or let it extend a built-in recipe",
        related=(Related(setting.span, "it is chosen here"),),
        hosts=tuple(hosts),
    )
