"""Recipes: the five that come with the tool, and those of an inventory, one shape for both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from aegis_provision.documents.nodes import Mapping as MappingNode
from aegis_provision.documents.nodes import Scalar
from aegis_provision.documents.reader import read_document
from aegis_provision.documents.source import Source
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.packaged_files import RECIPES, read_recipes
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.secret_rules import is_secret_setting
from aegis_provision.providers.session import VARIABLE_OF
from aegis_provision.providers.templates import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aegis_provision.documents.source import Span


@dataclass(frozen=True, slots=True)
class RecipeValue:
    """One value of a recipe: a template, where it stands, and whether the tool brought it."""

    template: str
    span: Span
    builtin: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """A provider with everything it inherits already in it.

    ``values`` is keyed by our five keys, in their order; ``env`` by variable. ``lineage`` names
    the recipes it was made of, itself first. ``broken`` recipes lack what an ``extends`` that
    leads nowhere would have brought; that is told where it stands.
    """

    name: str
    values: Mapping[str, RecipeValue]
    env: Mapping[str, RecipeValue]
    allow_http: bool
    lineage: tuple[str, ...]
    builtin: bool
    span: Span
    broken: bool = False


@cache
def builtin_recipes() -> Mapping[str, Recipe]:
    """Return the five recipes of Aegis' BYO-LLM page by name."""
    node, findings = read_document(Source(f"aegis_provision/{RECIPES}", read_recipes()))
    if findings or not isinstance(node, MappingNode):
        raise ValueError(f"{RECIPES} is damaged")
    return {
        entry.key.text: Recipe(
            name=entry.key.text,
            values=template_values(entry.value, builtin=True),
            env={},
            allow_http=False,
            lineage=(entry.key.text,),
            builtin=True,
            span=entry.key.span,
        )
        for entry in node
        if isinstance(entry.value, MappingNode)
    }


def template_values(body: MappingNode, *, builtin: bool) -> dict[str, RecipeValue]:
    """Return the five keys' values as far as ``body`` has them and they are of the right type."""
    found: dict[str, RecipeValue] = {}
    for key in VARIABLE_OF:
        entry = body.entry(key)
        if entry is None or not isinstance(entry.value, Scalar):
            continue
        value = entry.value.value
        if isinstance(value, str) or (key == "timeout_ms" and type(value) is int):
            found[key] = RecipeValue(str(value), entry.value.span, builtin)
    return found


def template_env(body: MappingNode) -> dict[str, RecipeValue]:
    """Return the further variables of ``body`` as far as they are of the right type."""
    entry = body.entry("env")
    return {
        item.key.text: RecipeValue(item.value.value, item.value.span, builtin=False)
        for item in (entry.value if entry and isinstance(entry.value, MappingNode) else ())
        if isinstance(item.value, Scalar) and isinstance(item.value.value, str)
    }


def _settings(recipe: Recipe) -> Iterator[tuple[str, RecipeValue]]:
    yield from recipe.values.items()
    yield from ((f"{ENV_PREFIX}{name}", value) for name, value in recipe.env.items())


def recipe_secrets(recipes: Mapping[str, Recipe], environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Return what ``environ`` holds for the secrets of ``recipes``, used by a host or not."""
    names = dict.fromkeys(
        reference.name
        for recipe in recipes.values()
        for setting, value in _settings(recipe)
        if is_secret_setting(setting, value.template)
        for reference in references(value.template)
    )
    return tuple(Secret(environ[name], f"${{{name}}}") for name in names if environ.get(name))
