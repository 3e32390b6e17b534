"""The inventory of an imported fleet: settings for all hosts, and for single ones."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from aegis_provision.aegis.variable_rules import sends_token_in_the_open
from aegis_provision.documents.secret_detection import HARMLESS_TOKENS, is_secret_name
from aegis_provision.humanize import group_by, listed
from aegis_provision.importing.recipe_match import NotExpressibleError, match_recipe
from aegis_provision.importing.result import (
    ImportedFleet,
    ImportedRecipe,
    ImportedSettings,
    RequiredVariable,
)
from aegis_provision.inventory.host import LOGIN_SECRETS
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.templates import references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from aegis_provision.importing.recipe_match import RecipeMatch
    from aegis_provision.importing.result import InspectedFile
    from aegis_provision.inventory.host import Inventory
    from aegis_provision.providers.recipes import Recipe

_TOKEN = "auth_token"  # noqa: S105 - the key, not the token

Item = TypeVar("Item")


def build_inventory(
    found: Sequence[InspectedFile],
    inventory: Inventory,
    recipes: Mapping[str, Recipe],
    environ: Mapping[str, str],
) -> ImportedFleet:
    """Return the inventory settings under which the hosts should have what was ``found``.

    ``inventory`` names the hosts, ``recipes`` are those that it may refer to, and ``environ`` is
    the environment in which some of the tokens may be already.
    """
    # What something refers to that the new inventory holds too.
    templates = [
        value.template
        for recipe in recipes.values()
        for value in (*recipe.values.values(), *recipe.env.values())
    ]
    templates.extend(
        str(host.settings[key].value)
        for host in inventory.hosts.values()
        for key in ("api_token", *LOGIN_SECRETS)
        if key in host.settings
    )
    reserved = frozenset(name.name for template in templates for name in references(template))
    builder = _Builder(recipes, environ, _VariableNames(environ, reserved))
    for file in found:
        builder.add(file)
    return builder.fleet()


@dataclass(slots=True)
class _Builder:
    recipes: Mapping[str, Recipe]
    environ: Mapping[str, str]
    variables: _VariableNames
    refused: dict[str, str] = field(default_factory=dict)
    _matches: dict[str, RecipeMatch] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _needed: dict[tuple[str, str], RequiredVariable] = field(default_factory=dict)

    def add(self, file: InspectedFile) -> None:
        host = file.host.name
        try:
            match = match_recipe(file.values, self.recipes, self.environ)
        except NotExpressibleError as problem:
            self.refused[host] = str(problem)
            return
        removed = [name for name in match.unmanaged if name in file.managed]
        if removed:
            self.refused[host] = (
                f"{listed(removed)} can't stand in an inventory, and a plan would remove "
                "what this tool wrote there"
            )
            return
        self._matches[host] = match

    def fleet(self) -> ImportedFleet:
        providers = self._providers()
        settings_of = {
            host: ImportedSettings(
                providers[host],
                self._overrides(host, providers[host], match),
                self._env(host, match),
            )
            for host, match in self._matches.items()
        }
        recipes = self._own_recipes(settings_of)
        for host, settings in settings_of.items():
            inherited = recipes[settings.provider].values if settings.provider in recipes else {}
            settings_of[host] = replace(settings, overrides=_less(settings.overrides, inherited))
        self._add_variables_of_recipes(settings_of, recipes)
        common, own = _factored(settings_of)
        common, extra = _without_ignored_overrides(common, own, taken=(*self.recipes, *recipes))
        provider_of = {name: settings.provider or common.provider for name, settings in own.items()}
        return ImportedFleet(
            recipes=(*recipes.values(), *extra),
            common=common,
            own=own,
            providers=provider_of,
            needed=tuple(self._needed.values()),
            refused=self.refused,
            unmanaged={
                host: match.unmanaged for host, match in self._matches.items() if match.unmanaged
            },
        )

    def _providers(self) -> dict[str, str]:
        """Return each host's provider: a recipe's name, or a new one per unknown base URL."""
        of_url: dict[str, str] = {}
        providers: dict[str, str] = {}
        for host, match in self._matches.items():
            url = match.base_url
            if match.recipe is None and url not in of_url:
                of_url[url] = _recipe_name(url, (*self.recipes, *of_url.values()))
            providers[host] = match.recipe.name if match.recipe is not None else of_url[url]
        return providers

    def _overrides(self, host: str, provider: str, match: RecipeMatch) -> dict[str, str]:
        overrides = dict(match.literal)
        if match.recipe is None:
            overrides["base_url"] = match.base_url
        if match.token is not None:
            overrides[_TOKEN] = self._token(host, provider, match.token)
        return {key: overrides[key] for key in VARIABLE_OF if key in overrides}

    def _token(self, host: str, provider: str, token: str) -> str:
        """Return the reference to a token, the same one wherever it is the same token."""
        harmless = token in HARMLESS_TOKENS
        if token not in self._tokens:
            words = re.sub(r"[^A-Z0-9]+", "_", provider.upper()).strip("_")
            base = f"LLM_{words}_TOKEN" if not words or words[0].isdigit() else f"{words}_TOKEN"
            self._tokens[token] = self.variables.name(base, token, unset=harmless)
        name = self._tokens[token]
        if harmless:
            return f"${{{name}:-{token}}}"
        self._need(name, token, VARIABLE_OF[_TOKEN], host)
        return f"${{{name}}}"

    def _env(self, host: str, match: RecipeMatch) -> dict[str, str]:
        env = dict(match.env)
        for name, value in match.secret_env.items():
            base = name if is_secret_name(name) else f"{name}_SECRET"
            variable = self.variables.name(base, value, unset=not value)
            if value:
                self._need(variable, value, name, host)
            env[name] = f"${{{variable}}}" if value else f"${{{variable}:-}}"
        return env

    def _need(self, name: str, value: str, holds: str, host: str) -> None:
        needed = self._needed.get((name, holds))
        hosts = (*needed.hosts, host) if needed is not None else (host,)
        is_set = self.environ.get(name) == value
        self._needed[name, holds] = RequiredVariable(name, value, is_set, holds, hosts)

    def _own_recipes(
        self, settings_of: Mapping[str, ImportedSettings]
    ) -> dict[str, ImportedRecipe]:
        """Return a recipe for each provider that is none yet: what most of its hosts have."""
        unknown = (item for item in settings_of.values() if item.provider not in self.recipes)
        return {
            name: ImportedRecipe(
                name,
                dict(_most_common(tuple(item.overrides.items()) for item in items)),
                allow_http=sends_token_in_the_open(items[0].overrides["base_url"]),
            )
            for name, items in group_by(unknown, lambda item: item.provider).items()
        }

    def _add_variables_of_recipes(
        self, settings_of: Mapping[str, ImportedSettings], own: Mapping[str, ImportedRecipe]
    ) -> None:
        """Add the variables that recipes take the hosts' values out of: they are set."""
        for host, match in self._matches.items():
            if match.recipe is None or settings_of[host].provider in own:
                continue
            for part in match.inherited:
                value = match.recipe.values.get(part) or match.recipe.env[part]
                for reference in references(value.template):
                    if self.environ.get(reference.name):
                        holds = VARIABLE_OF.get(part, part)
                        self._need(reference.name, self.environ[reference.name], holds, host)


def _less(settings: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if inherited.get(key) != value}


def _most_common(items: Iterable[Item]) -> Item:
    """Return what occurs most often, the first of those that occur equally often."""
    return Counter(items).most_common(1)[0][0]


def _factored(
    settings_of: Mapping[str, ImportedSettings],
) -> tuple[ImportedSettings, dict[str, ImportedSettings]]:
    """Return the settings common to all hosts, and those of each host beside them."""
    if not settings_of:
        return ImportedSettings(), {}
    provider = _most_common(settings.provider for settings in settings_of.values())
    overrides = dict(
        _most_common(
            tuple(settings.overrides.items())
            for settings in settings_of.values()
            if settings.provider == provider
        )
    )
    everywhere = [
        name
        for name in next(iter(settings_of.values())).env
        if all(name in settings.env for settings in settings_of.values())
    ]
    env = {
        name: _most_common(settings.env[name] for settings in settings_of.values())
        for name in everywhere
    }
    common = ImportedSettings(provider, overrides, env)
    return common, {name: _own(settings, common) for name, settings in settings_of.items()}


def _own(settings: ImportedSettings, common: ImportedSettings) -> ImportedSettings:
    env = _less(settings.env, common.env)
    # A provider brings its own values, so a pin is also the way out of what is set for all.
    if (
        settings.provider == common.provider
        and common.overrides.keys() <= settings.overrides.keys()
    ):
        return ImportedSettings("", _less(settings.overrides, common.overrides), env)
    return ImportedSettings(settings.provider, settings.overrides, env)


def _without_ignored_overrides(
    common: ImportedSettings, own: Mapping[str, ImportedSettings], taken: Sequence[str]
) -> tuple[ImportedSettings, tuple[ImportedRecipe, ...]]:
    """Return ``common`` with its overrides in a recipe of their own, if there are pins.

    A pin ignores the overrides of the group's provider, and every plan would warn of that.
    """
    if not common.overrides or not any(settings.provider for settings in own.values()):
        return common, ()
    name = _unused(f"fleet-{common.provider}", taken)
    recipe = ImportedRecipe(name, {"extends": common.provider, **common.overrides})
    return replace(common, provider=name, overrides={}), (recipe,)


@dataclass(slots=True)
class _VariableNames:
    """Hands out variables of the environment, one per value.

    A variable that is set keeps its value: it is taken only for that very value. ``reserved`` are
    those that recipes and settings refer to.
    """

    environ: Mapping[str, str] = field(repr=False)
    reserved: Collection[str]
    _values: dict[str, str] = field(default_factory=dict, repr=False)

    def name(self, base: str, value: str, *, unset: bool = False) -> str:
        """Return ``base``, or ``base`` with a number, as the name for ``value``.

        With ``unset`` the name must be of an unset variable, so that the default is taken.
        """
        for number in itertools.count(1):
            name = base if number == 1 else f"{base}_{number}"
            if name in self._values:
                if self._values[name] == value and not unset:
                    return name
                continue
            if self.environ.get(name):
                free = self.environ[name] == value and not unset
            else:
                free = name not in self.reserved
            if free:
                self._values[name] = value
                return name
        raise ValueError("there is no end to numbers")


def _recipe_name(base_url: str, taken: Collection[str]) -> str:
    """Return a name for the recipe of ``base_url`` (a right one): its host's."""
    parts = urlsplit(base_url)
    place = parts.hostname or ""
    if parts.port is not None:
        place += f"-{parts.port}"
    return _unused(re.sub(r"[^A-Za-z0-9]+", "-", place).strip("-") or "provider", taken)


def _unused(base: str, taken: Collection[str]) -> str:
    """Return ``base``, with a number where it is taken."""
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)
