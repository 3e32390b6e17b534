"""The inventory of an imported fleet: settings for all hosts, and for single ones."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from aegis_provision.aegis.rules import sends_token_in_the_open
from aegis_provision.documents.secret_detection import HARMLESS_TOKENS, is_secret_name
from aegis_provision.humanize import group_by, listed
from aegis_provision.importing.recipe_match import NotExpressibleError, match_recipe
from aegis_provision.importing.result import (
    ImportedFleet,
    ImportedRecipe,
    ImportedSettings,
    RequiredVariable,
)
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.templates import references

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
    work = _Work(recipes, environ, _reserved(inventory, recipes))
    for item in found:
        work.take(item)
    return work.adoption()


def _reserved(inventory: Inventory, recipes: Mapping[str, Recipe]) -> frozenset[str]:
    """Return the variables that something refers to which the new inventory holds too."""
    templates = [
        value.template
        for recipe in recipes.values()
        for value in (*recipe.values.values(), *recipe.env.values())
    ]
    templates.extend(
        str(host.service.api_token.value)
        for host in inventory.hosts.values()
        if host.service.api_token is not None
    )
    return frozenset(name.name for template in templates for name in references(template))


@dataclass(slots=True)
class _Work:
    recipes: Mapping[str, Recipe]
    environ: Mapping[str, str]
    reserved: frozenset[str]
    refused: dict[str, str] = field(default_factory=dict)
    _taken: dict[str, tuple[InspectedFile, RecipeMatch]] = field(default_factory=dict)
    _names: VariableNames = field(init=False)
    _tokens: dict[str, str] = field(default_factory=dict)
    _needed: dict[tuple[str, str], RequiredVariable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = VariableNames(self.environ, self.reserved)

    def take(self, found: InspectedFile) -> None:
        """Take the next host."""
        try:
            recognised = match_recipe(found.values, self.recipes, self.environ)
        except NotExpressibleError as problem:
            self.refused[found.host.name] = str(problem)
            return
        gone = [name for name in recognised.unmanaged if name in found.managed]
        if gone:
            self.refused[found.host.name] = (
                f"{listed(gone)} can't stand in an inventory, and a plan would remove "
                "what this tool wrote there"
            )
            return
        self._taken[found.host.name] = found, recognised

    def adoption(self) -> ImportedFleet:
        """Return the settings of all hosts together."""
        providers = self._providers()
        wanted = {
            name: ImportedSettings(
                providers[name],
                self._overrides(name, providers[name], recognised),
                self._env(name, recognised),
            )
            for name, (_, recognised) in self._taken.items()
        }
        recipes = self._own_recipes(wanted)
        for name, settings in wanted.items():
            brought = recipes[settings.provider].values if settings.provider in recipes else {}
            wanted[name] = replace(settings, overrides=_less(settings.overrides, brought))
        self._note_what_recipes_need(wanted, recipes)
        common, own = _factored(wanted)
        common, extra = _without_strays(common, own, taken=(*self.recipes, *recipes))
        provider_of = {name: settings.provider or common.provider for name, settings in own.items()}
        return ImportedFleet(
            recipes=(*recipes.values(), *extra),
            common=common,
            own=own,
            providers=provider_of,
            needed=tuple(self._needed.values()),
            refused=self.refused,
            unmanaged={
                name: recognised.unmanaged
                for name, (_, recognised) in self._taken.items()
                if recognised.unmanaged
            },
        )

    def _providers(self) -> dict[str, str]:
        """Return each host's provider: a recipe's name, or a new one per unknown base URL."""
        of_url: dict[str, str] = {}
        found: dict[str, str] = {}
        for name, (_, recognised) in self._taken.items():
            if recognised.recipe is not None:
                found[name] = recognised.recipe.name
                continue
            url = recognised.base_url
            if url not in of_url:
                of_url[url] = recipe_name(url, (*self.recipes, *of_url.values()))
            found[name] = of_url[url]
        return found

    def _overrides(self, host: str, provider: str, recognised: RecipeMatch) -> dict[str, str]:
        found = dict(recognised.literal)
        if recognised.recipe is None:
            found["base_url"] = recognised.base_url
        if recognised.token is not None:
            found[_TOKEN] = self._token(host, provider, recognised.token)
        return {key: found[key] for key in VARIABLE_OF if key in found}

    def _token(self, host: str, provider: str, token: str) -> str:
        """Return the reference to a token, the same one wherever it is the same token."""
        base = variable_base(provider)
        harmless = token in HARMLESS_TOKENS
        if token not in self._tokens:
            self._tokens[token] = self._names.name(base, token, unset=harmless)
        name = self._tokens[token]
        if harmless:
            return f"${{{name}:-{token}}}"
        self._need(name, token, VARIABLE_OF[_TOKEN], host)
        return f"${{{name}}}"

    def _env(self, host: str, recognised: RecipeMatch) -> dict[str, str]:
        found = dict(recognised.env)
        for name, value in recognised.secret_env.items():
            base = name if is_secret_name(name) else f"{name}_SECRET"
            variable = self._names.name(base, value, unset=not value)
            if value:
                self._need(variable, value, name, host)
            found[name] = f"${{{variable}}}" if value else f"${{{variable}:-}}"
        return found

    def _need(self, name: str, value: str, holds: str, host: str) -> None:
        known = self._needed.get((name, holds))
        hosts = (*known.hosts, host) if known is not None else (host,)
        is_set = self.environ.get(name) == value
        self._needed[name, holds] = RequiredVariable(name, value, is_set, holds, hosts)

    def _own_recipes(self, wanted: Mapping[str, ImportedSettings]) -> dict[str, ImportedRecipe]:
        """Return a recipe for each provider that is none yet: what most of its hosts have."""
        unknown = (item for item in wanted.values() if item.provider not in self.recipes)
        return {
            name: ImportedRecipe(
                name,
                dict(_most_common(tuple(item.overrides.items()) for item in items)),
                allow_http=sends_token_in_the_open(items[0].overrides["base_url"]),
            )
            for name, items in group_by(unknown, lambda item: item.provider).items()
        }

    def _note_what_recipes_need(
        self, wanted: Mapping[str, ImportedSettings], own: Mapping[str, ImportedRecipe]
    ) -> None:
        """Note the variables that recipes take the hosts' values out of: they are set."""
        for host, (_, recognised) in self._taken.items():
            if recognised.recipe is None or wanted[host].provider in own:
                continue
            for part in recognised.bare:
                value = recognised.recipe.values.get(part) or recognised.recipe.env[part]
                for reference in references(value.template):
                    if self.environ.get(reference.name):
                        holds = VARIABLE_OF.get(part, part)
                        self._need(reference.name, self.environ[reference.name], holds, host)


def _less(settings: Mapping[str, str], brought: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if brought.get(key) != value}


def _most_common(items: Iterable[Item]) -> Item:
    """Return what occurs most often, the first of those that occur equally often."""
    return Counter(items).most_common(1)[0][0]


def _factored(
    wanted: Mapping[str, ImportedSettings],
) -> tuple[ImportedSettings, dict[str, ImportedSettings]]:
    """Return the settings common to all hosts, and those of each host beside them."""
    if not wanted:
        return ImportedSettings(), {}
    provider = _most_common(settings.provider for settings in wanted.values())
    overrides = dict(
        _most_common(
            tuple(settings.overrides.items())
            for settings in wanted.values()
            if settings.provider == provider
        )
    )
    everywhere = [
        name
        for name in next(iter(wanted.values())).env
        if all(name in settings.env for settings in wanted.values())
    ]
    env = {
        name: _most_common(settings.env[name] for settings in wanted.values())
        for name in everywhere
    }
    common = ImportedSettings(provider, overrides, env)
    return common, {name: _own(settings, common) for name, settings in wanted.items()}


def _own(settings: ImportedSettings, common: ImportedSettings) -> ImportedSettings:
    env = _less(settings.env, common.env)
    # A provider brings its own values, so a pin is also the way out of what is set for all.
    if (
        settings.provider == common.provider
        and common.overrides.keys() <= settings.overrides.keys()
    ):
        return ImportedSettings("", _less(settings.overrides, common.overrides), env)
    return ImportedSettings(settings.provider, settings.overrides, env)


def _without_strays(
    common: ImportedSettings, own: Mapping[str, ImportedSettings], taken: Sequence[str]
) -> tuple[ImportedSettings, tuple[ImportedRecipe, ...]]:
    """Return ``common`` with its overrides in a recipe of their own, if there are pins.

    A pin ignores the overrides of the group's provider, and every plan would warn of that.
    """
    if not common.overrides or not any(settings.provider for settings in own.values()):
        return common, ()
    name = unused(f"fleet-{common.provider}", taken)
    recipe = ImportedRecipe(name, {"extends": common.provider, **common.overrides})
    return replace(common, provider=name, overrides={}), (recipe,)


@dataclass(slots=True)
class VariableNames:
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


def variable_base(provider: str) -> str:
    """Return the name of the variable that holds the token of ``provider``."""
    words = re.sub(r"[^A-Z0-9]+", "_", provider.upper()).strip("_")
    return f"LLM_{words}_TOKEN" if not words or words[0].isdigit() else f"{words}_TOKEN"


def recipe_name(base_url: str, taken: Collection[str]) -> str:
    """Return a name for the recipe of ``base_url`` (a right one): its host's."""
    parts = urlsplit(base_url)
    place = parts.hostname or ""
    if parts.port is not None:
        place += f"-{parts.port}"
    return unused(re.sub(r"[^A-Za-z0-9]+", "-", place).strip("-") or "provider", taken)


def unused(base: str, taken: Collection[str]) -> str:
    """Return ``base``, with a number where it is taken."""
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)
